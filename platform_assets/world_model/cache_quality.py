"""The checks of a tensor cache: what each asks of the finished folder, and what it says.

They read what was written and not what the builder meant to write: the arrays, chunk by chunk, against the published rows and
against each other. The checks of the sample index are in samples.py; which of them block is said with the asset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import samples
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.cache_items import ranks_within, starts_of
from platform_assets.world_model.splits import Split
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache, TensorCacheError

SHOWN = 10
# Baskets that are looked at together: a few hundred megabytes at the most.
CHUNK_BASKETS = 500_000
CHUNK_ITEMS = 5_000_000


def outcomes(engine: Engine, folder: Path, inputs: CacheInputs, split: Split) -> list[Outcome]:
    """Every check of a finished cache. Arrays that are not whole are not looked into."""
    found = [arrays_whole(folder)]
    if found[0].passed:
        cache = TensorCache(folder)
        indices = {name: cache.samples_path(name) for name in layout.SPLITS}
        return [
            *found,
            samples.one_split_per_basket(engine, indices),
            samples.samples_reconcile(engine, indices, inputs.baskets, split),
            counts_reconcile(cache, inputs.transactions),
            no_leak(cache),
        ]
    unread = ("one_split_per_basket", "samples_reconcile", "counts_reconcile", "no_leak")
    return [*found, *(Outcome(name, False, "not looked at: the arrays are not whole") for name in unread)]


def arrays_whole(folder: Path) -> Outcome:
    """Opened anew with every byte verified; every array has the layout's type and shape, and its indices lead somewhere."""
    try:
        cache = TensorCache(folder, verify=True)
        faults = [*_misshapen(cache), *_out_of_range(cache)]
    except (TensorCacheError, OSError, ValueError) as error:
        faults = [str(error)]
    files = len(faults) or len(cache.document["files"])
    reason = "; ".join(faults[:SHOWN]) if faults else f"{files} files, all as written and as the layout says"
    return Outcome("arrays_whole", not faults, reason, {"files": files})


def counts_reconcile(cache: TensorCache, transactions: Mapping[str, Path]) -> Outcome:
    """By week, and so by split: the items of the arrays are the rows of the transactions."""
    import pyarrow.parquet as pq

    rows = [pq.read_metadata(transactions[week]).num_rows for week in cache.weeks]
    items, documented = np.zeros(len(rows), np.int64), {}
    for name in layout.SPLITS:
        split, told = cache.split(name), cache.document["splits"][name]
        items += np.bincount(split.week, split.lengths, len(rows)).astype(np.int64)
        documented[name] = (told["baskets"], told["items"]) == (len(split), len(split.items))
    other = {
        week: f"{found} items of {expected} rows"
        for week, found, expected in zip(cache.weeks, items.tolist(), rows, strict=True)
        if found != expected
    }
    wrong = [name for name, right in documented.items() if not right]
    parts = [f"{len(other)} weeks differ: {dict(list(other.items())[:SHOWN])}" if other else ""]
    parts += [f"cache.json counts other baskets or items of {', '.join(wrong)}" if wrong else ""]
    reason = "; ".join(filter(None, parts)) or f"{sum(rows)} items of {sum(rows)} rows in {len(rows)} weeks"
    return Outcome("counts_reconcile", not other and not wrong, reason, {"items": int(items.sum()), "rows": sum(rows)})


def no_leak(cache: TensorCache) -> Outcome:
    """Nothing that a basket is given comes from itself or from later.

    Its prior purchases are of earlier baskets of the customer; a customer's snapshot is empty until the first visit is before
    the snapshot's weeks; products, their counts and the stores are those of train baskets.
    """
    leaks = [*_purchase_leaks(cache), *_snapshot_leaks(cache), *_weekly_leaks(cache), *_train_leaks(cache)]
    counted = {
        "purchases": len(cache.table("purchases")),
        "baskets": sum(len(cache.split(each)) for each in layout.SPLITS),
    }
    reason = "; ".join(leaks) or (
        f"{counted['purchases']} purchases lie behind one another, each in its own basket of {counted['baskets']}; snapshots "
        "and products know what they may"
    )
    return Outcome("no_leak", not leaks, reason, counted)


def _misshapen(cache: TensorCache) -> Iterator[str]:
    document = cache.document
    sizes = {
        "P": document["tokens"], "C": document["customers"], "S": document["stores"], "W": len(cache.weeks),
        "K": layout.snapshots_of(len(cache.weeks)), "H": int(cache.table("customer_offsets")[-1]),
    }  # fmt: skip
    for name, kind in layout.TABLES.items():
        yield from _differs(layout.table_file(name), cache.table(name), kind, sizes)
    for split in layout.SPLITS:
        arrays, told = cache.split(split), document["splits"][split]
        sizes |= {"B": told["baskets"], "I": told["items"]}
        for name, kind in layout.SPLIT_ARRAYS.items():
            yield from _differs(layout.split_file(split, name), getattr(arrays, name), kind, sizes)


def _differs(name: str, array: NDArray[Any], kind: layout.Array, sizes: Mapping[str, int]) -> Iterator[str]:
    shape = kind.shape_of(sizes)
    if array.dtype != np.dtype(kind.dtype) or array.shape != shape:
        yield f"{name} is {array.dtype} {array.shape}, not {kind.dtype} {shape}"


def _out_of_range(cache: TensorCache) -> Iterator[str]:
    document, values = cache.document, cache.segment_values
    most = {
        "items": cache.tokens - 1, "customer": document["customers"], "store": document["stores"],
        "week": len(cache.weeks) - 1, "weekday": 7, "hour": 23,
        "labels": [len(classes) for classes in layout.LABELS.values()],
        "segments": [len(values[name]) for name in layout.SEGMENTS],
    }  # fmt: skip
    for split in layout.SPLITS:
        arrays = cache.split(split)
        ends = (int(arrays.offsets[0]), int(arrays.offsets[-1]))
        if ends != (0, len(arrays.items)) or (np.diff(arrays.offsets) < 1).any():
            yield f"{split}: offsets do not cut {len(arrays.items)} items into baskets of one or more"
        for name, limit in most.items():
            array = getattr(arrays, name)
            if len(array) and (array.max(0) > limit).any():
                yield f"{split}: {name} goes up to {array.max(0)}, and may go up to {limit}"
        if len(arrays.items) and arrays.items.min() < layout.UNK:
            yield f"{split}: an item is PAD"


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
        self._counts, self._starts, total = counts, starts_of(counts), int(counts.sum())
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
        own = np.repeat(begin, bought) + ranks_within(bought)
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
        before = starts_of(self._bought)
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
    tokens = split.items[np.repeat(begin, lengths) + ranks_within(lengths)]
    known, basket = tokens >= layout.FIRST_PRODUCT, np.repeat(np.arange(len(rows)), lengths)
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
