"""One week's planner, from pinned inputs to a registered version: what is read, with which options, and what comes of it.

In which order, and what is found of an earlier try, is the same for every pipeline (`core.weekly_training`). What does not
belong here: training itself (`planner.training`, a program), what is registered and how (`planner.registration`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from platform_assets.core.folders import fetch_dataset, fetch_folder
from platform_assets.core.lake import Revision
from platform_assets.core.quality import Outcome
from platform_assets.core.step import words
from platform_assets.core.tracking import DatasetReference
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.weekly_training import WeeklyTraining
from platform_assets.planner import registration, trained_model, training_options, training_record
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.model_documents import BASE, BaseModel
from platform_assets.training import devices

# Where things lie decides nothing; the program's parser asks for it.
_SOMEWHERE = {"dataset": ".", "model_base": ".", "recipes": ".", "output": "."}


@dataclass(frozen=True)
class Inputs:
    """The pinned revisions that a week's training reads; `datasets` oldest first, the newest is the week's own."""

    datasets: tuple[Revision, ...]
    recipes: Revision
    base: Revision

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [*self.datasets, self.recipes, self.base]


class WeeklyModel(WeeklyTraining[Inputs]):
    """`given` goes before the base's own advice."""

    model = registration.MODEL
    program = training_options.PROGRAM
    code_version = training_options.CODE_VERSION
    decided = frozenset({*_SOMEWHERE, "revision", "tiny_steps"})
    decided_by = "the week and by planner/base_model"

    @cached_property
    def _base(self) -> BaseModel:
        return BaseModel.from_document(json.loads(self.step.lake.read_side(self.inputs.base, BASE)))

    def resolve(self) -> tuple[Mapping[str, str], str]:
        """The options with what `auto` means here, and the training's fingerprint."""
        options = trained_model.read_options(words({**_SOMEWHERE, **self.given}), self._base.model_base)
        digests = sorted(each.digest for each in self.inputs.datasets)
        fingerprint = training_options.fingerprint(options, digests, self._base.identity, self.inputs.recipes.digest)
        return {**self.given, **devices.pinned(options, options.lora_dropout)}, fingerprint

    def fetch(self) -> list[str]:
        """Datasets, base and catalogue."""
        lake, folder = self.step.lake, self.step.folder
        datasets = [fetch_dataset(lake, revision, folder) for revision in self.inputs.datasets]
        where = {
            "model_base": str(fetch_folder(lake, self.inputs.base, folder / "base")),
            "recipes": str(lake.fetch(self.inputs.recipes, RECIPES, folder)),
        }
        return [*(word for path in datasets for word in ("--dataset", str(path))), *words(where)]

    def trained_on(self) -> TrainedOn:
        """The datasets, oldest first, and the base."""
        datasets = [
            DatasetReference(each.address.path.removeprefix("datasets/"), each.digest, each.uri, each.rows)
            for each in self.inputs.datasets
        ]
        return training_record.trained_on(datasets, self._base)

    def options_on_record(self) -> list[str]:
        """As a command line, with the base's advice."""
        return training_options.advised(words(self.options), self._base.model_base)

    def judge(self, metrics: Mapping[str, Any]) -> list[Outcome]:
        """Whether it learned anything."""
        return [trained_model.judge_loss(metrics)]

    def serving_defaults(self, folder: Path) -> Mapping[str, Any]:
        """How the policy version decodes."""
        return trained_model.serving_defaults(folder)
