"""One split's evaluation: its model and the tuned baselines on its test weeks.

Up to SAMPLE test baskets, drawn by a stable hash of their ids: the same ones for every model of these weeks, and more would not
move a verdict. What is published here is what gets judged; other samples are for the command line (`world_model.replay`).
What does not belong here: ranking and scoring baskets (`world_model.replay`), the records' form (`core.replay_record`), the order of
things, which is the same for every pipeline (`core.weekly_replay`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import replay_record, weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.folders import fetch_folder
from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.replay_record import Means
from platform_assets.core.tracking import DatasetReference
from platform_assets.world_model import judgement, registration, replay, replay_checks

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


class WeeklyReplay(weekly_replay.WeeklyReplay[Inputs]):
    """Of world_model/replay_scores."""

    recorded, code_version = Recorded, replay_checks.CODE_VERSION
    program, scores, beside = "platform_assets.world_model.replay", replay.SCORES, (replay.SUMMARY,)

    @property
    def dataset(self) -> DatasetReference:
        """The tensor cache, by its last week known."""
        cache = self.inputs.tensor_cache
        name = f"{cache.address.asset}/{self.step.partition}"
        return DatasetReference(name, self.inputs.cache_fingerprint, cache.uri)

    def where(self, sides: Sides) -> Mapping[str, str | None]:
        """The cache and the model, and how much of the cache's test weeks."""
        lake, folder = self.step.lake, self.step.folder
        return {
            "tensor_cache": str(fetch_folder(lake, self.inputs.tensor_cache, folder / "tensor_cache")),
            "model": str(fetch_folder(lake, self.inputs.model, folder / "model")),
            "sample": str(SAMPLE),
        }

    def judge(self, summary: Mapping[str, Any]) -> list[Outcome]:
        """Every basket, and the model above what anybody would guess."""
        return replay_checks.judge(summary)

    def means(self, scores: Path) -> Means:
        """Of all rankers."""
        return judgement.means(scores)
