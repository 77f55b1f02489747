"""Whether a basket of a tensor cache is told something of itself or of later weeks: the check `no_leak`.

It reads what was written and not what the builder meant to write: the arrays of all splits against each other, chunk by chunk.
The checks that need no knowledge of time (files, shapes, counts) are `world_model.cache_quality`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.quality import Outcome
from platform_assets.world_model import ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache

SHOWN = 10
# Baskets that are looked at together: a few hundred megabytes at the most.
CHUNK_BASKETS = 500_000
CHUNK_ITEMS = 5_000_000


def no_leak(cache: TensorCache, recounted: Sequence[str] = ()) -> Outcome:
    """Nothing that a basket is given comes from itself or from later.

    Its prior purchases are of earlier baskets of the customer; a customer's snapshot is empty until the first visit is before
    the snapshot's weeks; products, their counts and the stores are those of train baskets. `recounted` are faults that
    `world_model.snapshot_recount` found in the snapshots, by the published baskets.
    """
    leaks = [*_purchase_leaks(cache), *_snapshot_leaks(cache), *_weekly_leaks(cache), *_train_leaks(cache)]
    leaks += recounted[:SHOWN]
    counted = {
        "purchases": len(cache.table("purchases")),
        "baskets": sum(len(cache.split(each)) for each in layout.SPLITS),
    }
    reason = "; ".join(leaks) or (
        f"{counted['purchases']} purchases lie behind one another, each in its own basket of {counted['baskets']}; snapshots "
        "and products know what they may"
    )
    return Outcome("no_leak", not leaks, reason, counted)


def _purchase_leaks(cache: TensorCache) -> Iterator[str]:
    """Each basket's own items stand where its prior purchases end, and a customer's baskets follow one another in time."""
    baskets = _Visits(cache)
    for name in layout.SPLITS:
        split = cache.split(name)
        for start in range(0, len(split), CHUNK_BASKETS):
            yield from baskets.add(split, slice(start, min(start + CHUNK_BASKETS, len(split))))
    yield from baskets.faults()


class _Visits:
    """What is known of every basket of a known customer, by customer and visit: filled in any order, then looked at."""

    def __init__(self, cache: TensorCache) -> None:
        self._offsets = cache.table("customer_offsets")
        self._purchases, self._days = cache.table("purchases"), cache.table("purchase_days")
        counts = np.zeros(len(self._offsets) - 1, np.int64)
        for name in layout.SPLITS:
            counts += np.bincount(cache.split(name).customer, minlength=len(counts))
        counts[layout.NOBODY] = 0
        self._counts, self._starts, total = counts, ragged.offsets(counts)[:-1], int(counts.sum())
        self._bought, self._prior = np.zeros(total, np.int32), np.full(total, -1, np.int32)
        self._hour, self._id = np.zeros(total, np.int32), np.zeros(total, np.int64)

    def add(self, split: SplitArrays, rows: slice) -> Iterator[str]:
        """Take in some baskets; says which do not find their own items behind their prior purchases."""
        known = np.flatnonzero(split.customer[rows]) + rows.start
        customer, trips = split.customer[known].astype(np.int64), split.trips[known]
        if (trips < 0).any() or (trips >= self._counts[customer]).any():
            yield f"{split.name}: a basket counts more trips than its customer has baskets"
            return
        place = self._starts[customer] + trips
        bought, items, day = _items_of(split, known)
        self._bought[place], self._prior[place] = bought, split.prior_purchases[known]
        self._hour[place], self._id[place] = split.day[known] * np.int32(24) + split.hour[known], split.basket_id[known]
        begin = self._offsets[customer] + split.prior_purchases[known]
        if (begin + bought > self._offsets[customer + 1]).any():
            yield f"{split.name}: prior purchases go beyond the customer's own"
            return
        own = ragged.places(begin, bought)
        if not np.array_equal(self._purchases[own], items) or not np.array_equal(self._days[own], day):
            yield f"{split.name}: where the prior purchases of a basket end, there are not its own items of its day"

    def faults(self) -> Iterator[str]:
        """What is wrong between the baskets of a customer."""
        if (self._prior < 0).any():
            yield "two baskets of a customer count the same number of trips"
            return
        if not np.array_equal(self._prior, self._bought_before()):
            yield "the prior purchases of a basket are not those of the customer's baskets before it"
        if self._out_of_order():
            yield "a basket counts trips that come after it"

    def _bought_before(self) -> NDArray[np.int64]:
        """Of every basket, the purchases of the same customer's baskets before it."""
        come = self._counts > 0
        before = ragged.offsets(self._bought)[:-1]
        before -= np.repeat(before[self._starts[come]], self._counts[come])
        return before

    def _out_of_order(self) -> bool:
        """Whether some basket has one before it that comes later: by day and hour, then by id."""
        same = np.ones(len(self._hour), bool)
        same[self._starts[self._counts > 0]] = False
        same = same[1:]
        later = np.diff(self._hour)
        return bool(((later < 0) & same).any() or ((later == 0) & same & (self._id[1:] <= self._id[:-1])).any())


def _items_of(split: SplitArrays, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Of some baskets: how many products of the train weeks each holds, these, and the day of each."""
    begin = split.offsets[rows]
    lengths = split.offsets[rows + 1] - begin
    tokens = split.items[ragged.places(begin, lengths)]
    known, basket = tokens >= layout.FIRST_PRODUCT, ragged.owners(lengths)
    bought = np.bincount(basket[known], minlength=len(rows))
    return bought, tokens[known], split.day[rows][basket[known]]


def _snapshot_leaks(cache: TensorCache) -> Iterator[str]:
    first = np.full(cache.document["customers"] + 1, len(cache.weeks), np.int64)
    for name in layout.SPLITS:
        split = cache.split(name)
        np.minimum.at(first, split.customer, split.week)
    first[layout.NOBODY] = len(cache.weeks)
    for number, snapshot in enumerate(cache.table("customer_snapshots")):
        early = np.flatnonzero(first >= number * layout.WEEKS_OF_SNAPSHOT)
        if (told := early[snapshot[early].any(axis=1)]).size:
            yield (
                f"snapshot {number} knows {told.size} customers who first come in its weeks or later, or nobody: indices "
                f"{told[:SHOWN].tolist()}"
            )


def _weekly_leaks(cache: TensorCache) -> Iterator[str]:
    """What a week's baskets are said to hold is read as known after it: of another week, it might be of a later one."""
    held = np.zeros((len(cache.weeks), cache.tokens), np.int64)
    for name in layout.SPLITS:
        split = cache.split(name)
        for start in range(0, len(split), CHUNK_BASKETS):
            offsets = split.offsets[start : start + CHUNK_BASKETS + 1]
            tokens = split.items[offsets[0] : offsets[-1]].astype(np.int64)
            weeks = np.repeat(split.week[start : start + CHUNK_BASKETS].astype(np.int64), np.diff(offsets))
            held += np.bincount(weeks * cache.tokens + tokens, minlength=held.size).reshape(held.shape)
    held[:, : layout.FIRST_PRODUCT] = 0
    wrong = np.flatnonzero((held != cache.table("weekly_baskets")).any(axis=1))
    if wrong.size:
        yield f"weekly_baskets is not what the baskets of {', '.join(cache.weeks[week] for week in wrong[:SHOWN])} hold"


def _train_leaks(cache: TensorCache) -> Iterator[str]:
    train = cache.split("train")
    counts = np.zeros(cache.tokens, np.int64)
    for start in range(0, len(train.items), CHUNK_ITEMS):
        counts += np.bincount(train.items[start : start + CHUNK_ITEMS], minlength=cache.tokens)
    counts[: layout.FIRST_PRODUCT] = 0
    wrong = np.flatnonzero(counts != cache.table("product_baskets"))
    if wrong.size:
        names = [cache.product_ids[token] for token in wrong[:SHOWN]]
        yield f"{wrong.size} products are not in as many train baskets as product_baskets says: {', '.join(names)}"
    if (never := np.flatnonzero(counts[layout.FIRST_PRODUCT :] == 0)).size:
        yield f"{never.size} products have a token, and are in no train basket"
    stores = np.bincount(train.store, minlength=cache.document["stores"] + 1)[1:]
    if (stores == 0).any():
        yield f"{int((stores == 0).sum())} stores have an index, and no train basket"
