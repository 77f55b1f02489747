"""One split's evaluation, from pinned inputs to recorded scores: its model and the tuned baselines on its test weeks.

Up to SAMPLE test baskets, drawn by a stable hash of their ids: the same ones for every model of these weeks, and more would not
move a verdict. What is published here is what gets judged; other samples are for the command line (`world_model.replay`).
What does not belong here: ranking and scoring baskets (`world_model.replay`), the records' form (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass
class WeeklyReplay:
    """`options` of the command line: how, not what, is evaluated; an empty one is left open."""

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
        beside = {replay.SUMMARY: self._output / replay.SUMMARY}
        scored = Scored(
            self._output / replay.SCORES, summary, replay_checks.judge(summary), replay_checks.CODE_VERSION, beside
        )
        publication = weekly_replay.publish(self.step, self.address, self.inputs.revisions, sides, scored, before)
        means = judgement.means(scored.scores)
        run = self._record(sides, publication, summary, means)
        pictures = {path.name: path.read_bytes() for path in sorted(self._output.glob("*.png"))}
        return Replayed(publication, scored, means, pictures, run)

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
        return words({**where, **{name: value or None for name, value in self.options.items()}})

    def _record(self, sides: Sides, publication: Publication, summary: Mapping[str, Any], means: Means) -> Run:
        cache, week = self.inputs.tensor_cache, self.step.partition
        name, fingerprint = f"{cache.address.asset}/{week}", self.inputs.cache_fingerprint
        dataset = DatasetReference(name, fingerprint, cache.uri, summary["rows"])
        recorded = Recorded(sides, week, dataset, publication.revision.digest, means, summary)
        run = recorded.keep(self.step)
        # Beside the two bars of the record: by week and hour, all rankers, the auxiliary tasks.
        for picture in sorted(self._output.glob("*.png")):
            run.log_file(picture)
        return run
