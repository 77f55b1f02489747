"""What the auxiliary heads must beat: the majority class, and a look-up by what nearly gives the answer away.

The look-up: a basket's number of items, the department (prod_code_40) that most of its visible products are of, and how much
of them it is; said is the most frequent class of the train baskets that are alike in these. One item of each train basket is
left out, since one of each evaluated basket is hidden: the last, as items lie in a random order.

n baskets, D departments, T tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache

if TYPE_CHECKING:
    from platform_assets.world_model.questions import Integers, Questions

# The first length of each bucket.
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 16, 20, 25, 32, 40, 50)
# The least share of the dominant department of each bucket.
SHARES = (0.0, 0.35, 0.5, 0.75, 1.0)
_BASKETS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class AuxiliaryBaselines:
    """Counted on the train baskets."""

    majority: NDArray[np.int64]
    """[T] class."""
    look_up: tuple[NDArray[np.int64], ...]
    """Of each task, the class of every key."""
    departments: NDArray[np.int64]
    """[P] department of each token; D for what is no product."""
    counts: tuple[NDArray[np.int64], ...]
    """Of each task, [keys, classes] train baskets."""

    def predict(self, questions: Questions, lengths: Integers) -> Integers:
        """[n, T] classes by the look-up. `lengths`: items of each basket, the hidden one too."""
        keys = _keys(self.departments, lengths, questions.visible_rows, questions.visible_tokens)
        return np.stack([classes[keys] for classes in self.look_up], axis=1)


def count(cache: TensorCache, under: NDArray[np.int32] | None = None) -> AuxiliaryBaselines:
    """Count the classes of all train baskets of two or more items, block by block.

    `under` [train baskets], where it is given, is told the key that each was counted under; that of the others stays.
    """
    groups = cache.product_groups["prod_code_40"]
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    departments = np.concatenate([np.full(layout.FIRST_PRODUCT, len(names)), codes])
    train = cache.split("train")
    keys = keys_of(len(names))
    counts = [np.zeros((keys, len(classes) + 1), np.int64) for classes in layout.LABELS.values()]
    for baskets, lengths, rows, tokens, labels in _blocks(train):
        found = _keys(departments, lengths, rows, tokens)
        if under is not None:
            under[baskets] = found
        for task, table in enumerate(counts):
            places = found * table.shape[1] + labels[:, task]
            table += np.bincount(places, minlength=table.size).reshape(table.shape)
    # Stored as 1 + the class; the rows that say nothing are left out.
    known = [table[:, 1:] for table in counts]
    majority = np.array([table.sum(0).argmax() for table in known])
    look_up = tuple(
        np.where(table.any(1), table.argmax(1), common) for table, common in zip(known, majority, strict=True)
    )
    return AuxiliaryBaselines(majority, look_up, departments, tuple(known))


def keys_of(departments: int) -> int:
    """How many keys there are with so many departments."""
    return len(LENGTHS) * (departments + 1) * len(SHARES)


def key(length: Any, dominant: Any, share: Any, departments: int) -> Any:
    """The number of a key: bucket of LENGTHS, dominant department (D: there is none), bucket of SHARES; arrays or tensors."""
    return (length * (departments + 1) + dominant) * len(SHARES) + share


def _blocks(split: SplitArrays) -> Iterator[tuple[Integers, Integers, Integers, Integers, Integers]]:
    """Places, lengths, (row, token) of all items but the last, and labels of baskets of two or more items."""
    for begin in range(0, len(split), _BASKETS_AT_ONCE):
        offsets = np.asarray(split.offsets[begin : begin + _BASKETS_AT_ONCE + 1], dtype=np.int64)
        lengths = np.diff(offsets)
        tokens = np.asarray(split.items[offsets[0] : offsets[-1]], dtype=np.int64)
        rows = ragged.owners(lengths)
        shown = np.ones(len(tokens), dtype=bool)
        shown[offsets[1:][lengths > 0] - offsets[0] - 1] = False
        several = lengths >= 2
        # Numbered anew, without the baskets of one item.
        renumbered = np.cumsum(several) - 1
        labels = np.asarray(split.labels[begin : begin + len(lengths)], dtype=np.int64)
        yield begin + np.flatnonzero(several), lengths[several], renumbered[rows[shown]], tokens[shown], labels[several]


def _keys(departments: Integers, lengths: Integers, rows: Integers, tokens: Integers) -> Integers:
    """[n] the key of each basket."""
    kinds, n = int(departments[layout.PAD]), len(lengths)
    inside = departments[tokens] < kinds
    places = rows[inside] * kinds + departments[tokens[inside]]
    of_each = np.bincount(places, minlength=n * kinds).reshape(n, kinds)
    products = of_each.sum(1)
    dominant = np.where(products > 0, of_each.argmax(1), kinds)
    share = of_each.max(1, initial=0) / np.maximum(products, 1)
    length = np.searchsorted(LENGTHS, lengths, side="right") - 1
    mix = np.searchsorted(SHARES, share, side="right") - 1
    return key(length, dominant, mix, kinds)
