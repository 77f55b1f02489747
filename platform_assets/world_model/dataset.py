"""A split of a tensor cache as a dataset: baskets by number, and the encoder that makes their tensors.

For training and evaluation in batches use the loaders (`world_model.loader`): a batch put together from single baskets takes
many times as long.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import WorldModelBatch
from platform_assets.world_model.encoder import TensorEncoder
from platform_assets.world_model.preparation import hide_nothing, prepare
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache, TensorCacheError
from platform_assets.world_model.windows import Cut

# Below the folder that was named.
PLACES = (".", "tensor_cache", "data/tensor_cache")


class WorldModelDataset:
    """Baskets of a split. `project_root` is a tensor cache's folder, or one with a cache in tensor_cache or data/tensor_cache.

    With auxiliary tasks their labels are given and T6 is withheld; without them it is the other way round. Without
    transactions no item is read: the columns of the baskets are there, batches are not. Raises TensorCacheError where there
    is no whole cache, and ValueError for a setting out of range.
    """

    def __init__(
        self, project_root: str | Path, split: str = "train", max_seq_len: int = 50, mask_prob: float = 0.15,
        enable_auxiliary_tasks: bool = True, load_transactions: bool = True,
    ) -> None:  # fmt: skip
        if max_seq_len < 1 or not 0 <= mask_prob <= 1:
            raise ValueError(
                f"max_seq_len must be 1 or more and mask_prob from 0 to 1, not {max_seq_len} and {mask_prob}"
            )
        self.cache = TensorCache(_cache_folder(Path(project_root)))
        arrays = self.cache.split(split)
        self.arrays = _plain(arrays if load_transactions else replace(arrays, items=np.zeros(0, np.uint16)))
        self.split, self.max_seq_len, self.mask_prob = split, max_seq_len, mask_prob
        self.enable_auxiliary_tasks, self.load_transactions = enable_auxiliary_tasks, load_transactions
        self._encoders: dict[torch.device, TensorEncoder] = {}

    def __len__(self) -> int:
        return len(self.arrays)

    @cached_property
    def encoder(self) -> TensorEncoder:
        """On the CPU; made at its first use."""
        return TensorEncoder(self.cache, self.max_seq_len)

    def encoder_on(self, device: torch.device) -> TensorEncoder:
        """On a device; its tables are copied there once."""
        if device.type == "cpu":
            return self.encoder
        if device not in self._encoders:
            self._encoders[device] = TensorEncoder(self.cache, self.max_seq_len).to(device)
        return self._encoders[device]

    def require_transactions(self) -> None:
        """Raises ValueError where items were left out."""
        if not self.load_transactions:
            raise ValueError(
                "this dataset was opened without its items: open it with load_transactions=True to make batches"
            )

    def __getitem__(self, row: int) -> WorldModelBatch:
        """One basket with nothing hidden, as a batch. Raises IndexError beyond the end."""
        self.require_transactions()
        if not -len(self) <= row < len(self):
            raise IndexError(f"the {self.split} split has {len(self):,} baskets, there is none with number {row}")
        chosen = Cut(np.array([row % len(self)]), np.array([0, 1]))
        window = prepare(self.arrays, chosen, hide_nothing, self.max_seq_len)
        trip = not self.enable_auxiliary_tasks
        return WorldModelBatch(
            window.indices(0), self.encoder_on, self.enable_auxiliary_tasks, window.counts(0), with_trip=trip
        )


def _plain(arrays: SplitArrays) -> SplitArrays:
    """The same memory without numpy's memmap class, which makes every look-up slower."""
    columns = {name: np.asarray(getattr(arrays, name)) for name in layout.SPLIT_ARRAYS}
    return SplitArrays(arrays.name, **columns)


def find_cache(root: Path) -> Path | None:
    """The folder of the cache that a folder is or has."""
    folders = (root / place for place in PLACES)
    names = (layout.CACHE, "manifest.json")
    return next((folder for folder in folders if any((folder / name).is_file() for name in names)), None)


def _cache_folder(root: Path) -> Path:
    if folder := find_cache(root):
        return folder
    raise TensorCacheError(
        f"{root} is no tensor cache and has none in tensor_cache or data/tensor_cache: give the folder that "
        "world_model/tensor_cache published, or a copy of it"
    )
