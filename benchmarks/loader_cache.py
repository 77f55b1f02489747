"""A random tensor cache of any size with the lengths of real baskets, written through the layout: for the loader's benchmark.

Baskets are random beyond a million, then repeated: a loader does not see it, and 47 million are written in seconds. Vectors
of customers repeat from snapshot to snapshot likewise.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import cache_files
from platform_assets.world_model import tensor_layout as layout

PRODUCTS, STORES, WEEKS = 5_000, 761, 117
FIRST = date(2006, 4, 10)
REPEATED = 2**20
LONGEST = 87
ONE_ITEM = 0.193
# Of baskets with more than one: so that the median of all is 4, the mean 6.4 and one in a hundred has above 30.
LOG_MEDIAN, LOG_SPREAD = 1.36, 0.96
ANONYMOUS = 0.205
# Purchases of each customer before any basket; enough for every length of history that is asked for.
PURCHASES = 300


def write_cache(folder: Path, baskets: int, customers: int, seed: int = 0) -> Path:
    """A cache with so many train baskets, and a handful for validation and test."""
    rng = np.random.default_rng(seed)
    products, people, stores = (
        [f"{name}{number:07}" for number in range(size)]
        for name, size in (("PRD", PRODUCTS), ("CUST", customers), ("STORE", STORES))
    )
    segments = {"seg_1": list("ABCD"), "seg_2": list("EFGHIJ")}
    groups = {level: products for level in layout.PRODUCT_GROUPS}
    _write_tables(folder, rng, customers)
    keys = [(FIRST + timedelta(weeks=week)).isoformat() for week in range(WEEKS)]
    counts = {}
    for split, size in zip(layout.SPLITS, (baskets, 1_000, 1_000), strict=True):
        items = _write_split(folder, split, size, rng, customers)
        counts[split] = cache_files.SplitCounts(WEEKS, keys[0], keys[-1], size, items)
    vocabulary = cache_files.Vocabulary(products, people, stores, segments, groups)
    return cache_files.write_documents(folder, cache_files.Document(keys, vocabulary, counts, seed))


def draw_lengths(rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Items of so many baskets."""
    more = 1 + np.ceil(rng.lognormal(LOG_MEDIAN, LOG_SPREAD, size))
    return np.where(rng.random(size) < ONE_ITEM, 1, np.minimum(more, LONGEST)).astype(np.int64)


def _write_tables(folder: Path, rng: np.random.Generator, customers: int) -> None:
    sizes = {"P": PRODUCTS + layout.FIRST_PRODUCT, "K": -(-WEEKS // layout.WEEKS_OF_SNAPSHOT), "W": WEEKS}
    sizes |= {"C+1": customers + 1, "S+1": STORES + 1, "C+2": customers + 2, "H": customers * PURCHASES}
    for name, kind in layout.TABLES.items():
        shape = tuple(sizes[size] if isinstance(size, str) else size for size in kind.shape)
        array = cache_files.create(folder, layout.table_file(name), kind.dtype, shape)
        if name == "customer_offsets":
            array[1:] = np.arange(customers + 1) * PURCHASES
        elif name == "purchases":
            array[:] = rng.integers(layout.FIRST_PRODUCT, sizes["P"], shape)
        elif name == "prices":
            array[:, layout.FIRST_PRODUCT :] = rng.lognormal(0.5, 0.6, (WEEKS, PRODUCTS, 4))
        elif name == "customer_snapshots":
            array[:] = rng.normal(0, 0.1, shape[1:]).astype(np.float16)
        elif np.issubdtype(array.dtype, np.floating) and name != "co_purchase":
            array[:] = rng.normal(0, 0.1, shape)


def _write_split(folder: Path, split: str, baskets: int, rng: np.random.Generator, customers: int) -> int:
    """Write a split's arrays; returns how many items they have."""
    once = min(baskets, REPEATED)
    lengths = draw_lengths(rng, once)
    ends = np.cumsum(lengths)
    whole, rest = divmod(baskets, once)
    items = whole * int(ends[-1]) + (int(ends[rest - 1]) if rest else 0)
    for name, kind in layout.SPLIT_ARRAYS.items():
        size = {"offsets": baskets + 1, "items": items}.get(name, baskets)
        shape = (size, *(part for part in kind.shape if isinstance(part, int)))
        array = cache_files.create(folder, layout.split_file(split, name), kind.dtype, shape)
        if name == "offsets":
            for start in range(0, baskets, once):
                part = array[start + 1 : start + 1 + once]
                part[:] = start // once * ends[-1] + ends[: len(part)]
        else:
            length = int(ends[-1]) if name == "items" else once
            drawn = _drawn(name, (length, *shape[1:]), rng, customers)
            for start in range(0, size, length):
                array[start : start + length] = drawn[: size - start]
    return items


def _drawn(name: str, shape: tuple[int, ...], rng: np.random.Generator, customers: int) -> NDArray[np.int64]:
    """Random values of a column, within what it may hold."""
    ranges = {
        "items": (layout.FIRST_PRODUCT, PRODUCTS + layout.FIRST_PRODUCT), "basket_id": (0, 2**40), "store": (1, STORES + 1),
        "week": (0, WEEKS), "day": (7 * WEEKS - 7, 7 * WEEKS), "weekday": (1, 8), "hour": (8, 23), "labels": (0, 4),
        "segments": (0, 5), "trips": (0, 200), "days_since_previous": (-1, 60), "prior_purchases": (0, PURCHASES + 1),
    }  # fmt: skip
    if name == "customer":
        return rng.integers(1, customers + 1, shape) * (rng.random(shape) >= ANONYMOUS)
    return rng.integers(*ranges[name], shape)
