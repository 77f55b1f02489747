"""What a training's options point to: the tensor cache, opened once for each split, and pinned by its fingerprint.

What does not belong here: what a cache holds (`world_model.tensor_cache`), batches (`world_model.basket_batches`), training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from platform_assets.training.errors import TrainingError
from platform_assets.training.work_folder import WorkFolder
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.training_options import TrainingOptions, fingerprint

# By their documented names; the others are called as they are.
_DOCUMENTED = {"max_length": "max_seq_len", "mask_probability": "mask_prob"}


@dataclass(frozen=True)
class Inputs:
    """What the options point to; the options are resolved ones."""

    options: TrainingOptions
    train: WorldModelDataset
    validation: WorldModelDataset
    work: WorkFolder
    fingerprint: str

    @property
    def cache(self) -> TensorCache:
        """The cache of both splits."""
        return self.train.cache

    def parameters(self) -> dict[str, Any]:
        """What the tracking server is told: every option, and what the cache is."""
        apart = ("tensor_cache", "output", "work", "auxiliary")
        options = {name: value for name, value in asdict(self.options).items() if name not in apart}
        return {
            **{_DOCUMENTED.get(name, name): value for name, value in options.items()},
            "model_base": "none",
            "fine_tuning_method": "full",
            "enable_auxiliary_tasks": bool(self.options.auxiliary_weights),
            "auxiliary_weights": ",".join(f"{task}={each:g}" for task, each in self.options.auxiliary_weights.items()),
            "dataset_version": self.cache.weeks[-1],
            "dataset_digest": self.cache.fingerprint,
            "products": self.cache.tokens,
            **{f"baskets_{split}": size for split, size in self.sizes().items()},
        }

    def sizes(self) -> Mapping[str, int]:
        """Split -> its baskets."""
        return {each.split: len(each) for each in (self.train, self.validation)}


def work_folder(options: TrainingOptions) -> WorkFolder:
    """Where the training's state is kept."""
    return WorkFolder(options.work or options.output.with_name(f"{options.output.name}.work"))


def read_inputs(options: TrainingOptions, work: WorkFolder) -> Inputs:
    """Open what resolved options point to. Raises TensorCacheError, or TrainingError for a cache without train baskets."""
    tasks = bool(options.auxiliary_weights)
    train, validation = (
        WorldModelDataset(options.tensor_cache, split, options.max_length, options.mask_probability, tasks)
        for split in ("train", "validation")
    )
    if not len(train):
        raise TrainingError(
            f"{options.tensor_cache} has no train basket: name a cache of later weeks, or materialise the weeks before it"
        )
    return Inputs(options, train, validation, work, fingerprint(options, train.cache.fingerprint))
