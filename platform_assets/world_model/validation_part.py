"""The validation baskets that are looked at after every epoch: all of them, or as many as bear an epoch's verdict.

Those with the lowest hashes of their ids, so that the same ones are looked at in every epoch, by every rank, and of a cache
whose order is another. Only their columns are copied; the split's own arrays stay on the disk. What is hidden in a basket is
the loader's business (`world_model.loader`).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.questions import drawn
from platform_assets.world_model.tensor_cache import SplitArrays

# Not a training's own: two seeds are compared on the same baskets.
SEED = 0
# Columns by the place of a basket; the other two are its items and where they begin.
_COLUMNS = tuple(name for name in layout.SPLIT_ARRAYS if name not in ("offsets", "items"))


def part_of(dataset: WorldModelDataset, baskets: int) -> WorldModelDataset:
    """A dataset of so many baskets of the split, in the split's order; itself where it has no more, or for 0."""
    if not baskets or baskets >= len(dataset):
        return dataset
    found = copy.copy(dataset)
    found.arrays = _taken(dataset.arrays, np.flatnonzero(drawn(dataset.arrays.basket_id, baskets, SEED)))
    return found


def _taken(arrays: SplitArrays, rows: NDArray[np.int64]) -> SplitArrays:
    begins = arrays.offsets[rows]
    lengths = arrays.offsets[rows + 1] - begins
    columns: dict[str, NDArray[Any]] = {name: getattr(arrays, name)[rows] for name in _COLUMNS}
    items = arrays.items[ragged.places(begins, lengths)]
    return SplitArrays(arrays.name, offsets=ragged.offsets(lengths), items=items, **columns)
