"""One evaluated week's replay of a planner: always all of its rows, against the version that is active.

Samples and other baselines are for the command line (`planner.replay`): what is published here is what gets judged. What does
not belong here: planning and scoring rows (`planner.replay`), the records' form (`core.replay_record`), the order of things, which
is the same for every pipeline (`core.weekly_replay`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.folders import dataset_version, fetch_dataset
from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.replay_record import Means
from platform_assets.core.tracking import DatasetReference
from platform_assets.planner import judgement, registration, replay, replay_record
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.replay_record import Recorded


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


class WeeklyReplay(weekly_replay.WeeklyReplay[Inputs]):
    """Of planner/replay_scores."""

    recorded, code_version = Recorded, replay_record.CODE_VERSION
    program, scores = "platform_assets.planner.replay", replay.SCORES

    @property
    def dataset_version(self) -> str:
        """The end of its window."""
        return dataset_version(self.inputs.dataset)

    @property
    def dataset(self) -> DatasetReference:
        """The evaluated week's."""
        pinned = self.inputs.dataset
        return DatasetReference(f"planner/{self.dataset_version}", pinned.digest, pinned.uri, pinned.rows)

    def where(self, sides: Sides) -> Mapping[str, str | None]:
        """Versions of the policy, dataset and recipes."""
        lake, folder = self.step.lake, self.step.folder
        return {
            "model_name": registration.MODEL_NAME, "model_version": sides.model_version,
            "baseline_version": str(sides.baseline.version),
            "dataset": str(fetch_dataset(lake, self.inputs.dataset, folder)),
            "recipes": str(lake.fetch(self.inputs.recipes, RECIPES, folder)),
        }  # fmt: skip

    def command_line(self, sides: Sides) -> list[str]:
        """Also the plans drawn at random, a file a day."""
        files = (
            self.step.lake.fetch(each, "enriched_plans.parquet", self.step.folder) for each in self.inputs.enriched
        )
        return [*super().command_line(sides), *(word for path in files for word in ("--logged", str(path)))]

    def summary_of(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """And the plans made in the week, of which the accepted ones are a selection; None where days were enriched before it was
        counted."""
        details = [revision.lineage.details for revision in self.inputs.enriched]
        is_counted = all("generated" in each for each in details)
        generated = sum(each["generated"] for each in details) if is_counted else None
        return {**super().summary_of(told), "generated_plans": generated}

    def judge(self, summary: Mapping[str, Any]) -> list[Outcome]:
        """Rows, rules, and what was proposed."""
        return replay_record.judge(summary, self.inputs.dataset.rows or 0, self.output / self.scores)

    def means(self, scores: Path) -> Means:
        """Of both sides."""
        return judgement.means(scores)

    def pictures(self, recorded: weekly_replay.Recorded) -> dict[str, bytes]:
        """Those of the record: the program draws none."""
        return recorded.pictures()
