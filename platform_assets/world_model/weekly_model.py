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
from platform_assets.core.tracking import DatasetReference
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.weekly_training import WeeklyTraining
from platform_assets.training import devices
from platform_assets.world_model import registration, trained_model, training_options


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
    program = training_options.PROGRAM
    code_version = training_options.CODE_VERSION
    decided = frozenset({"tensor_cache"})
    decided_by = "the week"

    def resolve(self) -> tuple[Mapping[str, str], str]:
        """The options with what `auto` means here, and the training's fingerprint."""
        options = trained_model.read_options(words(self.given))
        fingerprint = training_options.fingerprint(options, self.cache_fingerprint)
        return {**self.given, **devices.pinned(options, options.dropout)}, fingerprint

    @property
    def cache_fingerprint(self) -> str:
        """What the opened cache says of itself, here from its manifest: no byte of it is fetched to know it."""
        return self.inputs.tensor_cache.lineage.details["fingerprint"]

    def fetch(self) -> list[str]:
        """The tensor cache."""
        folder = fetch_folder(self.step.lake, self.inputs.tensor_cache, self.step.folder / "tensor_cache")
        return words({"tensor_cache": str(folder)})

    def trained_on(self) -> TrainedOn:
        """The tensor cache."""
        cache = self.inputs.tensor_cache
        name = f"{cache.address.asset}/{cache.address.partition}"
        baskets = sum(each["baskets"] for each in cache.lineage.details["splits"].values())
        return TrainedOn([DatasetReference(name, self.cache_fingerprint, cache.uri, baskets)])

    def options_on_record(self) -> list[str]:
        """As a command line."""
        return words(self.options)

    def judge(self, metrics: Mapping[str, Any]) -> list[Outcome]:
        """Whether it learned anything."""
        return [trained_model.judge_loss(metrics)]

    def serving_defaults(self, folder: Path) -> Mapping[str, Any]:
        """How the policy version answers."""
        return trained_model.serving_defaults(folder)
