"""Which baskets an evaluation asks about, and what it asks of each: settings, the loader, and the count of those left out.

Whoever ranks, tunes or compares is given the same questions: they are drawn by seed and basket id, from baskets of two items or
more. What is answered, and how it is measured, is `world_model.evaluation`'s; a question as plain arrays is
`world_model.questions`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import EvaluationDataLoader
from platform_assets.world_model.questions import Questions, drawn, of_batch

LEAST_ITEMS = 2
ONE_ITEM, NOTHING_KNOWN, NOT_DRAWN = "one item", "only unknown products", "not in the sample"
_BASKETS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Settings:
    """What is evaluated, and how."""

    split: str = "test"
    sample: int = 0
    """Baskets, drawn by a stable hash of their ids; 0 is all."""
    seed: int = 0
    """Of the sample and of what is hidden."""
    batch_size: int = 64
    device: str = "cpu"
    group_by: str | None = None
    """How the loader groups baskets; changes no number."""


def loader(
    dataset: WorldModelDataset, settings: Settings, history: int, next_basket: bool = False
) -> EvaluationDataLoader:
    """What is asked of the baskets in the sample: one hidden item each, or the whole next basket."""
    return EvaluationDataLoader(
        dataset, settings.batch_size, settings.group_by, seed=settings.seed, purchase_history=history,
        next_basket=next_basket, minimum_items=LEAST_ITEMS, chosen=_sample(dataset, settings) if settings.sample else None,
    )  # fmt: skip


def questions(dataset: WorldModelDataset, settings: Settings) -> list[Questions]:
    """What is asked, without a model: for the tuning of baselines."""
    return [asked for _, batch in loader(dataset, settings, 0) if len(asked := of_batch(batch))]


def excluded(dataset: WorldModelDataset, settings: Settings) -> dict[str, int]:
    """Reason -> baskets of the split that are not asked about.

    By the arrays alone: counted from what was asked, a lost batch would pass for one that was not drawn.
    """
    long_enough = dataset.arrays.lengths >= LEAST_ITEMS
    drawn_ones = _sample(dataset, settings) if settings.sample else long_enough
    return {
        ONE_ITEM: int((~long_enough).sum()),
        NOTHING_KNOWN: sum(_without_product(dataset, drawn_ones)),
        NOT_DRAWN: int(long_enough.sum() - drawn_ones.sum()),
    }


def _without_product(dataset: WorldModelDataset, wanted: NDArray[np.bool_]) -> Iterator[int]:
    """Of each block of baskets, how many of the wanted have no product of the train weeks among the items that are looked at."""
    arrays = dataset.arrays
    for start in range(0, len(arrays), _BASKETS_AT_ONCE):
        offsets = arrays.offsets[start : start + _BASKETS_AT_ONCE + 1] - arrays.offsets[start]
        items = arrays.items[arrays.offsets[start] : arrays.offsets[start] + offsets[-1]]
        known = np.concatenate([[0], np.cumsum(items >= layout.FIRST_PRODUCT)])
        ends = np.minimum(offsets[1:], offsets[:-1] + dataset.max_seq_len)
        yield int(((known[ends] == known[offsets[:-1]]) & wanted[start : start + _BASKETS_AT_ONCE]).sum())


def _sample(dataset: WorldModelDataset, settings: Settings) -> NDArray[np.bool_]:
    """[B] of the baskets that are long enough."""
    chosen = np.zeros(len(dataset), dtype=bool)
    long_enough = np.flatnonzero(dataset.arrays.lengths >= LEAST_ITEMS)
    ids = np.asarray(dataset.arrays.basket_id[long_enough])
    chosen[long_enough[drawn(ids, settings.sample, settings.seed)]] = True
    return chosen
