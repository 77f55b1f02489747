"""What a training's options point to: the tensor cache, opened once for each split, and pinned by its fingerprint.

What does not belong here: what a cache holds (`world_model.tensor_cache`), batches (`world_model.basket_batches`), training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from platform_assets.training.errors import TrainingError
from platform_assets.training.work_folder import WorkFolder
from platform_assets.world_model.dataset import PLACES, WorldModelDataset, find_cache
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.training_options import TrainingOptions, fingerprint
from platform_assets.world_model.validation_part import part_of

# By their documented names; the others are called as they are.
_DOCUMENTED = {"max_length": "max_seq_len", "mask_probability": "mask_prob"}


@dataclass(frozen=True)
class Inputs:
    """What the options point to; the options are resolved ones."""

    options: TrainingOptions
    train: WorldModelDataset
    validation: WorldModelDataset
    full_validation: WorldModelDataset
    """Of the validation baskets those that are looked at after every epoch."""
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


def require_cache(options: TrainingOptions) -> None:
    """Raises TrainingError where no cache was named and the working folder has none: before anything is written there."""
    if options.tensor_cache != TrainingOptions.tensor_cache or find_cache(options.tensor_cache):
        return
    raise TrainingError(
        f"there is no tensor cache in {options.tensor_cache.absolute()}, nor in its {' or '.join(PLACES[1:])}: name one with "
        "--tensor_cache, or run the command in a folder that has one there, as world_model/tensor_cache published it or a copy"
    )


def read_inputs(options: TrainingOptions, work: WorkFolder) -> Inputs:
    """Open what resolved options point to.

    Raises TensorCacheError, or TrainingError for a cache without the baskets that the options need: before anything is written
    into the work folder, so that the same command with other options may follow.
    """
    tasks = bool(options.auxiliary_weights)
    train, validation = (
        WorldModelDataset(options.tensor_cache, split, options.max_length, options.mask_probability, tasks)
        for split in ("train", "validation")
    )
    if not len(train):
        raise TrainingError(
            f"{options.tensor_cache} has no train basket: name the cache of a later week, or materialise the transactions of its "
            "train weeks, and then the cache again"
        )
    if options.patience and not len(validation):
        raise TrainingError(
            "early stopping needs validation baskets, and the validation weeks of this tensor cache have none: name the cache of "
            "a later week, materialise the transactions of these weeks and then the cache again, or give --patience 0"
        )
    looked_at = part_of(validation, options.full_validation_baskets)
    return Inputs(options, train, validation, looked_at, work, fingerprint(options, train.cache.fingerprint))
