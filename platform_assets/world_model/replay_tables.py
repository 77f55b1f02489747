"""What an evaluation is kept as: a row of scores per basket, whose it is, when it was, and how every ranker did.

The candidate is the model, the baseline the tuned mixture; other rankers have their ranks beside them. A basket that the same
customer had bought before in train weeks, item for item, is marked: whoever remembers baskets finds the hidden product of such a
one, which says nothing of other weeks. What the rows say together is `world_model.replay_summary`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.baselines import MIXTURE
from platform_assets.world_model.batch import NO_TARGET
from platform_assets.world_model.evaluation import LOOK_UP, MAJORITY, MODEL, Evaluated
from platform_assets.world_model.judgement import (
    BASELINE,
    CANDIDATE,
    HIT_AT_1,
    HIT_AT_5,
    HIT_AT_10,
    NEXT_HIT_AT_10,
    RANK,
    RECIPROCAL_RANK,
    from_ranks,
)
from platform_assets.world_model.rankings import TOP
from platform_assets.world_model.stable_hash import stable_hash
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = {MODEL: CANDIDATE, MIXTURE: BASELINE}
SIDES_OF_HEADS = {MODEL: CANDIDATE, LOOK_UP: BASELINE, MAJORITY: MAJORITY}
COLD_TRIPS = 5
# Shorter baskets are alike by chance.
LEAST_REPEATED = 4
NEXT_PRECISION, NEXT_RECALL = "next_basket_precision_at_10", "next_basket_recall_at_10"
_BASKETS_AT_ONCE = 1 << 18

Columns = dict[str, NDArray[Any]]


def table_of(found: Evaluated, cache: TensorCache, arrays: SplitArrays) -> pa.Table:
    """A row per evaluated basket, by date, hour and basket."""
    import pyarrow as pa

    rows = found.rows
    first = np.datetime64(date.fromisoformat(cache.document["first_day"]), "D")
    columns: Columns = {
        "basket_id": arrays.basket_id[rows],
        "cluster": _clusters(cache, arrays, rows),
        "date": np.datetime_as_string(first + arrays.day[rows].astype("timedelta64[D]")),
        "hour": arrays.hour[rows].astype(np.int32),
        "week": np.asarray(cache.weeks)[arrays.week[rows]],
        "slice_customer": _kinds(arrays, rows),
        "repeated": repeated(cache, arrays)[rows],
    }
    for ranker, ranks in found.ranks.items():
        columns |= _ranked(SIDES.get(ranker, ranker), ranks, ranker in SIDES)
    for ranker, hits in found.next_found.items():
        columns |= _next_basket(SIDES.get(ranker, ranker), hits, found.next_size)
    fields = {name: pa.array(values) for name, values in columns.items()}
    for task, classes in found.classes.items():
        fields |= _correct(task, classes, found.labels[task])
    return pa.table(fields).sort_by([("date", "ascending"), ("hour", "ascending"), ("basket_id", "ascending")])


def repeated(cache: TensorCache, arrays: SplitArrays) -> NDArray[np.bool_]:
    """[B] whether the customer had bought exactly this basket, of four items or more, in the train weeks."""
    known = np.sort(np.concatenate([np.zeros(0, np.uint64), *_fingerprints(cache.split("train"))]))
    asked = np.concatenate([np.zeros(0, np.uint64), *_fingerprints(arrays, with_others=True)])
    if not len(known):
        return np.zeros(len(asked), dtype=bool)
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return (known[places] == asked) & _long_known(arrays)


def _long_known(arrays: SplitArrays) -> NDArray[np.bool_]:
    return (arrays.lengths >= LEAST_REPEATED) & (np.asarray(arrays.customer) != layout.NOBODY)


def _fingerprints(arrays: SplitArrays, with_others: bool = False) -> Iterator[NDArray[np.uint64]]:
    """Of each block of baskets, a hash of customer and items in any order; of long ones of known customers, or of all."""
    for begin in range(0, len(arrays), _BASKETS_AT_ONCE):
        offsets = np.asarray(arrays.offsets[begin : begin + _BASKETS_AT_ONCE + 1], np.int64)
        items = stable_hash(np.asarray(arrays.items[offsets[0] : offsets[-1]], np.uint64))
        customer = np.asarray(arrays.customer[begin : begin + len(offsets) - 1])
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(items, dtype=np.uint64)])
        whole = sums[offsets[1:] - offsets[0]] - sums[offsets[:-1] - offsets[0]]
        kept = (np.diff(offsets) >= LEAST_REPEATED) & (customer != layout.NOBODY)
        hashes = stable_hash(whole ^ stable_hash(customer.astype(np.uint64)))
        yield hashes if with_others else hashes[kept]


def _clusters(cache: TensorCache, arrays: SplitArrays, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Customer's id, or the basket of an anonymous one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    samples = pq.read_table(cache.samples_path(arrays.name), columns=["basket_id", "customer_id"])
    ids = samples["basket_id"].to_numpy()
    order = np.argsort(ids)
    wanted = np.asarray(arrays.basket_id[rows])
    # Of these alone: as Python's strings the ids of all baskets would be the largest thing in memory.
    places = pa.array(order[np.searchsorted(ids, wanted, sorter=order)])
    customers = samples["customer_id"].take(places).to_numpy(zero_copy_only=False)
    known = np.asarray(arrays.customer[rows]) != layout.NOBODY
    return np.where(known, customers, np.char.add("basket ", wanted.astype(str))).astype(object)


def _kinds(arrays: SplitArrays, rows: NDArray[np.int64]) -> NDArray[Any]:
    cold = np.where(arrays.trips[rows] < COLD_TRIPS, "cold", "warm")
    return np.where(arrays.customer[rows] == layout.NOBODY, "anonymous", cold)


def _ranked(name: str, ranks: NDArray[Any], whole: bool) -> Columns:
    columns = {f"{name}_{RANK}": ranks.astype(np.int32)}
    if not whole:
        return columns
    metrics = from_ranks(ranks)
    hits = {f"{name}_{metric}": metrics[metric].astype(np.int8) for metric in (HIT_AT_1, HIT_AT_5, HIT_AT_10)}
    return {**columns, **hits, f"{name}_{RECIPROCAL_RANK}": metrics[RECIPROCAL_RANK]}


def _next_basket(name: str, hits: NDArray[Any], size: NDArray[Any]) -> Columns:
    return {
        f"{name}_{NEXT_HIT_AT_10}": (hits > 0).astype(np.int8),
        f"{name}_{NEXT_PRECISION}": hits / TOP,
        f"{name}_{NEXT_RECALL}": hits / size,
    }


def _correct(task: str, classes: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> dict[str, Any]:
    """Whether each was right, null where the basket's class is unknown."""
    import pyarrow as pa

    unknown = labels == NO_TARGET
    return {
        f"{SIDES_OF_HEADS[who]}_{task}_correct": pa.array((each == labels).astype(np.int8), mask=unknown)
        for who, each in classes.items()
    }


def write(scores: pa.Table, path: Path) -> None:
    """Write replay_scores.parquet."""
    import pyarrow.parquet as pq

    pq.write_table(scores, path)
