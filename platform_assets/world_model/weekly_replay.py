"""One split's evaluation, from pinned inputs to recorded scores: its model and the tuned baselines on its test weeks.

Up to SAMPLE test baskets, drawn by a stable hash of their ids: the same ones for every model of these weeks, and more would not
move a verdict. What is published here is what gets judged; other samples are for the command line (`world_model.replay`).
What does not belong here: ranking and scoring baskets (`world_model.replay`), the records' form (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import compared, replay_record
from platform_assets.core.compared import Sides
from platform_assets.core.folders import fetch_folder
from platform_assets.core.lake import Address, Lineage, Publication, Revision
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.step import Step, words
from platform_assets.core.tracking import DatasetReference, Run
from platform_assets.world_model import judgement, registration, replay, replay_checks

PROGRAM = "platform_assets.world_model.replay"
# About a millisecond of processor time each: all nine million of the documented data would take hours, and their bootstrap
# minutes a metric.
SAMPLE = 200_000


class Recorded(replay_record.Recorded):
    """One finished evaluation of a world model."""

    model = registration.MODEL
    columns = {"offline_eval_score": judgement.HIT_AT_10}
    clusters = "customers"


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that an evaluation reads."""

    tensor_cache: Revision
    model: Revision

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [self.tensor_cache, self.model]

    @property
    def cache_fingerprint(self) -> str:
        """By which the training names its dataset too."""
        return self.tensor_cache.lineage.details["fingerprint"]


@dataclass(frozen=True)
class Replayed:
    """What an evaluation became."""

    publication: Publication
    scores: Path
    summary: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    run: Run
    outcomes: Sequence[Outcome]


@dataclass
class WeeklyReplay:
    """`options` of the command line: how, not what, is evaluated."""

    step: Step
    inputs: Inputs
    address: Address
    options: Mapping[str, str]

    def produce(self) -> Replayed:
        """Run the program, publish, record; raises NotRegistered when there is nothing to compare."""
        before = self.step.lake.current(self.address)
        sides = compared.sides(self.step.warehouse, self.step.tracking, registration.MODEL, self.inputs.model)
        told = replay_record.run_program(
            self.step, PROGRAM, self._words(), sides, self.step.partition, self.inputs.cache_fingerprint
        )
        # Its tables by date, hour and week lie beside the scores: a manifest is read whenever a revision is looked up.
        summary = {name: value for name, value in told.items() if name != "tables"}
        scores = self._output / replay.SCORES
        outcomes = replay_checks.judge(summary)
        lineage = Lineage(
            inputs=tuple(revision.as_input() for revision in self.inputs.revisions),
            code_version=replay_checks.CODE_VERSION, run_id=self.step.run_id,
            details={**sides.document(), "summary": summary, "checks": to_details(outcomes)},
        )  # fmt: skip
        side_files = {replay.SUMMARY: self._output / replay.SUMMARY}
        publication = self.step.lake.publish_table(
            self.address, {replay.SCORES: scores}, lineage, side_files=side_files, expected=before
        )
        run = self._record(sides, publication, summary)
        pictures = {path.name: path.read_bytes() for path in sorted(self._output.glob("*.png"))}
        return Replayed(publication, scores, summary, pictures, run, outcomes)

    @property
    def _output(self) -> Path:
        return self.step.folder / "replay"

    def _words(self) -> list[str]:
        lake, folder = self.step.lake, self.step.folder
        where = {
            "tensor_cache": str(fetch_folder(lake, self.inputs.tensor_cache, folder / "tensor_cache")),
            "model": str(fetch_folder(lake, self.inputs.model, folder / "model")),
            "output": str(self._output),
            "sample": str(SAMPLE),
        }
        return words({**where, **self.options})

    def _record(self, sides: Sides, publication: Publication, summary: Mapping[str, Any]) -> Run:
        cache, week = self.inputs.tensor_cache, self.step.partition
        name, fingerprint = f"{cache.address.asset}/{week}", self.inputs.cache_fingerprint
        dataset = DatasetReference(name, fingerprint, cache.uri, summary["rows"])
        means = judgement.means(self._output / replay.SCORES)
        recorded = Recorded(sides, week, dataset, publication.revision.digest, means, summary)
        run = recorded.keep(self.step)
        # Beside the two bars of the record: by week and hour, all rankers, the auxiliary tasks.
        for picture in sorted(self._output.glob("*.png")):
            run.log_file(picture)
        return run
