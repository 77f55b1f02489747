"""One week's heavy-query predictor, from pinned features and categories to a registered version: what is read, with which options.

In which order, and what is found of an earlier try, is the same for every pipeline (`core.weekly_training`). What does not
belong here: training itself (`query_predictor.training`, a program), what is registered and how (`query_predictor.registration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets.core.folders import fetch_folder
from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.step import words
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.training_metrics import Shown
from platform_assets.core.weekly_training import WeeklyTraining
from platform_assets.query_predictor import (
    registration,
    trained_model,
    training_options,
    training_record,
    training_summary,
    zero_cost,
)

# Where they lie decides nothing; that they are given is all that reading the options asks.
_PLACES = {name: name for name in ("features", "zero_cost", "output")}


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a training reads."""

    features: Revision
    zero_cost: Revision

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [self.features, self.zero_cost]


class WeeklyModel(WeeklyTraining[Inputs]):
    """`given` goes before the program's defaults."""

    model = registration.MODEL
    program = training_options.PROGRAM
    code_version = training_options.CODE_VERSION
    decided = frozenset({"features", "zero_cost"})
    decided_by = "the week"

    def resolve(self) -> tuple[Mapping[str, str], str]:
        """The options as given, and the training's fingerprint by the digests that the lake tells: nothing is fetched for it."""
        options = trained_model.read_options(words({**_PLACES, **self.given}))
        digests = (self.inputs.features.digest, self.zero_cost_digest)
        return dict(self.given), training_options.fingerprint(options, *digests)

    @property
    def zero_cost_digest(self) -> str:
        """Of the categories' file."""
        return self.inputs.zero_cost.file(zero_cost.NAME).sha256

    def fetch(self) -> list[str]:
        """The features' folder and the categories' file."""
        features = fetch_folder(self.step.lake, self.inputs.features, self.step.folder / "features")
        categories = self.step.lake.fetch(self.inputs.zero_cost, zero_cost.NAME, self.step.folder / "fetched")
        return words({"features": str(features), "zero_cost": str(categories)})

    def trained_on(self) -> TrainedOn:
        """The features, and the categories beside them."""
        features = self.inputs.features
        rows = sum(features.lineage.details["rows"].values())
        week = features.address.partition
        return training_record.trained_on(week, features.digest, features.uri, rows, self.zero_cost_digest)

    def options_on_record(self) -> list[str]:
        """As a command line."""
        return words(self.options)

    def judge(self, metrics: Mapping[str, Any]) -> list[Outcome]:
        """Whether it learned anything, whether what serves is what was trained, and what the test days say of it."""
        learned, agrees = trained_model.judge_loss(metrics), trained_model.judge_onnx(metrics)
        return [learned, agrees, *trained_model.judge_requirements(metrics)]

    def show(self, metrics: Mapping[str, Any]) -> Shown:
        """The requirements and the headline of the test days as tables; of 160 numbers only a handful by themselves."""
        return training_summary.shown(metrics)

    def serving_defaults(self, folder: Path) -> Mapping[str, Any]:
        """How the policy version answers."""
        return trained_model.serving_defaults(folder)
