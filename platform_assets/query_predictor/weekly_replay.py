"""One evaluated week's replay of a query predictor: the model of the week before, against the version that is active.

Always all queries of the newest 14 days: what is published here is what gets judged; other models and rules are for the command
line (`query_predictor.replay`). What does not belong here: asking models (`replay_sides`), the records' form
(`core.replay_record`), the order of things, which is the same for every pipeline (`core.weekly_replay`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from platform_assets.core import compared, replay_record, weekly_replay
from platform_assets.core.compared import Sides
from platform_assets.core.folders import fetch_folder
from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import PolicyVersion
from platform_assets.core.replay_record import Means
from platform_assets.core.tracking import DatasetReference
from platform_assets.query_predictor import judgement, opened_model, registration, replay, replay_checks, zero_cost


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
class WeeklyReplay(weekly_replay.WeeklyReplay[Inputs]):
    """Of query_predictor/replay_scores."""

    _models: dict[str, Path] = field(default_factory=dict, init=False)
    """Policy version -> its model's folder: the active one is looked into before it is compared with."""

    recorded, code_version = Recorded, replay_checks.CODE_VERSION
    program, scores, beside = replay.PROGRAM, replay.SCORES, (replay.SUMMARY,)

    @property
    def dataset(self) -> DatasetReference:
        """The evaluated week's features."""
        features = self.inputs.features
        return DatasetReference(f"{features.address.asset}/{self.step.partition}", features.digest, features.uri)

    def sides(self) -> Sides:
        """With the rule in place of an active version of a release with other features or models, which this one cannot ask."""
        found = super().sides()
        if found.baseline.model_version is None:
            return found
        if reason := opened_model.of_another_release(self._model_of(found.baseline)):
            found = compared.pass_over(found, self.step.warehouse, registration.MODEL, reason)
            self.step.say(compared.reason_of(found.document()))
        return found

    def where(self, sides: Sides) -> Mapping[str, str | None]:
        """Models and the week's files."""
        lake, folder, inputs = self.step.lake, self.step.folder, self.inputs
        read = {
            "model": inputs.model,
            "model_features": inputs.model_features,
            "features": inputs.features,
            "sample": inputs.sample,
        }
        return {
            **{name: str(fetch_folder(lake, revision, folder / name)) for name, revision in read.items()},
            "zero_cost": str(lake.fetch(inputs.zero_cost, zero_cost.NAME, folder / "fetched")),
            "baseline": str(self._model_of(sides.baseline)) if sides.baseline.model_version else replay.RULE,
        }

    def _model_of(self, version: PolicyVersion) -> Path:
        if version.id not in self._models:
            folder = self.step.folder / f"version_{version.version}"
            self._models[version.id] = registration.MODEL.fetch_model(
                self.step.tracking, version.model_version or "", folder
            )
        return self._models[version.id]

    def summary_of(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ValueError for features that say they are of another week."""
        week, asset = self.step.partition, self.inputs.features.address.asset
        if told["week"] != week:
            raise ValueError(
                f"the features of {week} say that they are of {told['week']}: materialise {asset} of {week} again"
            )
        return super().summary_of(told)

    def judge(self, summary: Mapping[str, Any]) -> list[Outcome]:
        """Every query of the sample; and, as warnings, what has moved or was let by."""
        return replay_checks.judge(summary, self.inputs.rows)

    def means(self, scores: Path) -> Means:
        """Of both sides, and of the rankings beside them."""
        return judgement.means(scores)
