"""One evaluated week's replay, from pinned inputs to recorded scores: the model of the week before, against the version that is active.

Always all queries of the newest 14 days: what is published here is what gets judged; other models and rules are for the command
line (`query_predictor.replay`). What does not belong here: asking models (`replay_sides`), the records' form
(`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from platform_assets.core import compared, replay_record, weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.folders import fetch_folder
from platform_assets.core.lake import Address, Publication, Revision
from platform_assets.core.replay_record import Means
from platform_assets.core.step import Step, words
from platform_assets.core.tracking import DatasetReference, Run
from platform_assets.core.weekly_replay import Replayed, Scored
from platform_assets.query_predictor import judgement, registration, replay, replay_checks, zero_cost


class Recorded(replay_record.Recorded):
    """One finished replay of a query predictor; its dataset is named by the Monday of the newer week."""

    model = registration.MODEL
    columns = {"offline_eval_score": judgement.MINUS_COST}
    clusters = "templates"

    @property
    def days(self) -> str:
        """What was replayed, for a title."""
        first, last = (date.fromisoformat(self.dataset_version) + timedelta(days=number) for number in (-7, 6))
        return f"the 14 days from {first} to {last}"


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a replay reads: a model and what it was trained on, and the evaluated week's rows and counts."""

    model: Revision
    model_features: Revision
    features: Revision
    sample: Revision
    zero_cost: Revision

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [self.model, self.model_features, self.features, self.sample, self.zero_cost]

    @property
    def rows(self) -> dict[str, int]:
        """Queries of the replayed days by label, as the sample counted them."""
        counted = [self.sample.lineage.details["rows"][name] for name in ("validation", "test")]
        return {label: sum(each[label] for each in counted) for label in ("light", "heavy")}


@dataclass
class WeeklyReplay:
    """`options` of the command line: how, not what, is replayed; an empty one is left open."""

    step: Step
    inputs: Inputs
    address: Address
    options: Mapping[str, str]

    def produce(self) -> Replayed:
        """Run the program, publish, record; raises NotRegistered when there is nothing to compare."""
        before = self.step.lake.current(self.address)
        sides = compared.sides(self.step.warehouse, self.step.tracking, registration.MODEL, self.inputs.model)
        features, week = self.inputs.features, self.step.partition
        told = replay_record.run_program(self.step, replay.PROGRAM, self._words(sides), sides, week, features.digest)
        if told["week"] != week:
            raise ValueError(
                f"the features of {week} say that they are of {told['week']}: materialise {features.address.asset} of {week} again"
            )
        # Its tables by day and feature lie beside the scores: a manifest is read whenever a revision is looked up.
        summary = {name: value for name, value in told.items() if name != "tables"}
        outcomes, beside = (
            replay_checks.judge(summary, self.inputs.rows),
            {replay.SUMMARY: self._output / replay.SUMMARY},
        )
        scored = Scored(self._output / replay.SCORES, summary, outcomes, replay_checks.CODE_VERSION, beside)
        publication = weekly_replay.publish(self.step, self.address, self.inputs.revisions, sides, scored, before)
        means = judgement.means(scored.scores)
        run = self._record(sides, publication, summary, means)
        pictures = {path.name: path.read_bytes() for path in sorted(self._output.glob("*.png"))}
        return Replayed(publication, scored, means, pictures, run)

    @property
    def _output(self) -> Path:
        return self.step.folder / "replay"

    def _words(self, sides: Sides) -> list[str]:
        lake, folder, inputs = self.step.lake, self.step.folder, self.inputs
        read = {
            "model": inputs.model,
            "model_features": inputs.model_features,
            "features": inputs.features,
            "sample": inputs.sample,
        }
        where = {
            **{name: str(fetch_folder(lake, revision, folder / name)) for name, revision in read.items()},
            "zero_cost": str(lake.fetch(inputs.zero_cost, zero_cost.NAME, folder / "fetched")),
            "baseline": self._baseline(sides),
            "output": str(self._output),
        }
        return words({**where, **{name: value or None for name, value in self.options.items()}})

    def _baseline(self, sides: Sides) -> str:
        """The rule, or the folder of the active version's model."""
        version = sides.baseline.model_version
        if not version:
            return replay.RULE
        return str(registration.MODEL.fetch_model(self.step.tracking, version, self.step.folder / "baseline"))

    def _record(self, sides: Sides, publication: Publication, summary: Mapping[str, Any], means: Means) -> Run:
        features, week = self.inputs.features, self.step.partition
        dataset = DatasetReference(f"{features.address.asset}/{week}", features.digest, features.uri, summary["rows"])
        recorded = Recorded(sides, week, dataset, publication.revision.digest, means, summary)
        run = recorded.keep(self.step)
        # Beside the bars of the record: rankings, cost, calibration, days, drift.
        for picture in sorted(self._output.glob("*.png")):
            run.log_file(picture)
        return run
