"""The baskets of a tensor cache as a training takes them: from the loaders, by position, with the counts of whole steps.

Which baskets make a batch and what is hidden in them is `world_model.loader`'s; here a batch learns what its tasks count, and
a training where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from platform_assets.training.data import Batch, Loader, Position, SteppedData
from platform_assets.world_model import objective
from platform_assets.world_model.batch import NO_TARGET, Indices, WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import WorldModelDataLoader

# What is hidden in validation baskets, the same for every training.
VALIDATION_SEED = 1


class Shown(NamedTuple):
    """What a network is shown of a batch, and what each task's sum of losses is multiplied by (`objective.scales`)."""

    indices: Indices
    scales: Tensor  # [K] float32


class BasketBatches(SteppedData):
    """Train baskets in the order of (seed, epoch), validation baskets always the same; a batch is an optimizer step.

    `weights` are those of the auxiliary tasks; `quick` is how many batches a look at the validation baskets takes, before the
    first step and in the middle of an epoch.
    """

    unit = "baskets"

    def __init__(
        self, train: WorldModelDataset, validation: WorldModelDataset, *, batch_size: int, seed: int, fingerprint: str,
        weights: Mapping[str, float], purchase_history: int, quick: int = 100,
    ) -> None:  # fmt: skip
        super().__init__(batch_size=batch_size, accumulate=1, seed=seed, fingerprint=fingerprint)
        self.train, self.validation = train, validation
        self._weights, self._history, self._quick = dict(weights), purchase_history, quick

    @property
    def batches_per_epoch(self) -> int:
        """Global batches."""
        return -(-len(self.train) // self.batch_size)

    @property
    def has_validation(self) -> bool:
        """Whether the split has baskets."""
        return len(self.validation) > 0

    @property
    def compared_batches(self) -> int:
        """Those of a quick look: an untrained network needs no whole validation to be told from a trained one."""
        return self._quick

    def batches_from(self, position: Position) -> Iterator[Batch]:
        """This rank's shares of the rest of an epoch."""
        loader = self._loader(self.train, shuffle=True, seed=self.seed)
        return map(self._batch, loader.epoch_batches(position.epoch, position.batches))

    def val_dataloader(self) -> Loader | list[Batch]:
        """All validation baskets; nothing where there are none."""
        if not self.has_validation:
            return []
        loader = self._loader(self.validation, shuffle=False, seed=VALIDATION_SEED)
        return Loader(len(loader), lambda: map(self._batch, loader.epoch_batches(0)))

    def quick_batches(self) -> Iterator[Batch]:
        """The first of them: of all lengths, and always the same."""
        loader = self._loader(self.validation, shuffle=False, seed=VALIDATION_SEED)
        return map(self._batch, islice(loader.epoch_batches(0), self._quick))

    def _loader(self, dataset: WorldModelDataset, shuffle: bool, seed: int) -> WorldModelDataLoader:
        rank, world_size = self.rank_and_world
        return WorldModelDataLoader(
            dataset,
            self.batch_size,
            shuffle,
            seed=seed,
            rank=rank,
            world_size=world_size,
            purchase_history=self._history,
        )

    def _batch(self, batch: WorldModelBatch) -> Batch:
        scales = objective.scales(self._weights, batch.global_targets, batch.global_labels)
        # A rank without a basket of its own has one whose targets and labels are none.
        mine = int((batch.masked_targets != NO_TARGET).sum())
        # A rank's share has gaps in memory: what works on it would copy it again and again, or refuse.
        indices = Indices(*(each.contiguous() for each in batch.indices))
        return Batch(Shown(indices, torch.tensor(scales)), 1.0, mine, mine, batch.global_baskets)
