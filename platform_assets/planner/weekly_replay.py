"""One evaluated week's replay, from pinned inputs to recorded scores: always all of its rows, against the version that is active.

Samples and other baselines are for the command line (`planner.replay`): what is published here is what gets judged. What does
not belong here: planning and scoring rows (`planner.replay`), the records' form (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import compared, weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.folders import dataset_version, fetch_dataset
from platform_assets.core.lake import Address, Revision
from platform_assets.core.replay_record import run_program
from platform_assets.core.step import Step, words
from platform_assets.core.tracking import DatasetReference
from platform_assets.core.weekly_replay import Replayed, Scored
from platform_assets.planner import judgement, registration, replay, replay_record
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.replay_record import Recorded

PROGRAM = "platform_assets.planner.replay"


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a replay reads; `enriched` are the week's days, which know the plans drawn at random."""

    dataset: Revision
    model: Revision
    recipes: Revision
    enriched: tuple[Revision, ...]

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [self.dataset, self.model, self.recipes, *self.enriched]


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
        summary = {**self._replay(sides), "generated_plans": self._generated()}
        scores, pinned = self._output / replay.SCORES, self.inputs.dataset
        scored = Scored(
            scores, summary, replay_record.judge(summary, pinned.rows or 0, scores), replay_record.CODE_VERSION
        )
        publication = weekly_replay.publish(self.step, self.address, self.inputs.revisions, sides, scored, before)
        means, version = judgement.means(scores), dataset_version(pinned)
        dataset = DatasetReference(f"planner/{version}", pinned.digest, pinned.uri, pinned.rows)
        recorded = Recorded(sides, version, dataset, publication.revision.digest, means, summary)
        run = recorded.keep(self.step)
        return Replayed(publication, scored, means, recorded.pictures(), run)

    @property
    def _output(self) -> Path:
        return self.step.folder / "replay"

    def _generated(self) -> int | None:
        """Plans made in the week, of which the accepted ones are a selection; None where days were enriched before it was counted."""
        details = [revision.lineage.details for revision in self.inputs.enriched]
        return sum(each["generated"] for each in details) if all("generated" in each for each in details) else None

    def _replay(self, sides: Sides) -> dict[str, Any]:
        dataset = self.inputs.dataset
        return run_program(self.step, PROGRAM, self._words(sides), sides, dataset_version(dataset), dataset.digest)

    def _words(self, sides: Sides) -> list[str]:
        lake, folder = self.step.lake, self.step.folder
        options = {
            "model_name": registration.MODEL_NAME, "model_version": sides.model_version,
            "baseline_version": str(sides.baseline.version),
            "dataset": str(fetch_dataset(lake, self.inputs.dataset, folder)),
            "recipes": str(lake.fetch(self.inputs.recipes, RECIPES, folder)),
            "output": str(self._output), **{name: value or None for name, value in self.options.items()},
        }  # fmt: skip
        logged = [lake.fetch(revision, "enriched_plans.parquet", folder) for revision in self.inputs.enriched]
        return [*words(options), *(word for path in logged for word in ("--logged", str(path)))]
