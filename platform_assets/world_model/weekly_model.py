"""One split's world model, from its pinned tensor cache to a registered version: what is read, with which options.

In which order, and what is found of an earlier try, is the same for every pipeline (`core.weekly_training`). What does not
belong here: training itself (`world_model.training`, a program), what is registered and how (`world_model.registration`).
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
from platform_assets.core.tracking import DatasetReference, Run
from platform_assets.core.weekly_training import WeeklyTraining
from platform_assets.world_model import registration, trained_model, training_options, training_record

# Where things lie decides nothing; the program's parser asks for it.
_SOMEWHERE = {"tensor_cache": ".", "output": "."}


@dataclass(frozen=True)
class Inputs:
    """The pinned revision that a training reads."""

    tensor_cache: Revision

    @property
    def revisions(self) -> list[Revision]:
        """All of them."""
        return [self.tensor_cache]


class WeeklyModel(WeeklyTraining[Inputs]):
    """`given` goes before the program's defaults."""

    model = registration.MODEL
    program = "platform_assets.world_model.training"
    code_version = training_options.CODE_VERSION
    decided = frozenset(_SOMEWHERE)
    decided_by = "the week"

    def resolve(self) -> tuple[Mapping[str, str], str]:
        """The options with what `auto` means here, and the training's fingerprint."""
        options = trained_model.read_options(words({**_SOMEWHERE, **self.given}))
        fingerprint = training_options.fingerprint(options, self.cache_fingerprint)
        return {**self.given, **training_options.pinned(options)}, fingerprint

    @property
    def cache_fingerprint(self) -> str:
        """What the opened cache says of itself, here from its manifest: no byte of it is fetched to know it."""
        return self.inputs.tensor_cache.lineage.details["fingerprint"]

    def fetch(self, run: Run) -> list[str]:
        """The tensor cache."""
        run.log_dataset(self._reference(), "training")
        folder = fetch_folder(self.step.lake, self.inputs.tensor_cache, self.step.folder / "tensor_cache")
        return words({"tensor_cache": str(folder)})

    def tags(self) -> dict[str, str]:
        """As those of a training without the asset."""
        return training_record.tags(self.step.warehouse, self.fingerprint, self._reference())

    def options_on_record(self) -> list[str]:
        """As a command line."""
        return words(self.options)

    def read_metrics(self, folder: Path) -> Mapping[str, Any]:
        """What metrics.json says."""
        return trained_model.read_metrics(folder)

    def judge(self, metrics: Mapping[str, Any]) -> list[Outcome]:
        """Whether it learned anything."""
        return [trained_model.judge_loss(metrics)]

    def serving_defaults(self, folder: Path) -> Mapping[str, Any]:
        """How the policy version answers."""
        return trained_model.serving_defaults(folder)

    def _reference(self) -> DatasetReference:
        cache = self.inputs.tensor_cache
        splits = cache.lineage.details["splits"]
        name = f"{cache.address.asset}/{cache.address.partition}"
        return DatasetReference(
            name, self.cache_fingerprint, cache.uri, sum(each["baskets"] for each in splits.values())
        )
