"""What an evaluation is kept as: a row of scores per basket, and a summary with means, intervals and tables.

The candidate is the model, the baseline the tuned mixture; other rankers have their ranks beside them. A customer's baskets hang
together in every interval; an anonymous basket stands alone. A basket that the same customer had bought before in train weeks,
item for item, is marked: whoever remembers baskets finds the hidden product of such a one, which says nothing of other weeks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.statistics import cluster_sums, paired_difference
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.baselines import MIXTURE
from platform_assets.world_model.evaluation import LOOK_UP, MAJORITY, MODEL, NO_TARGET, Evaluated
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
    rankers_of,
)
from platform_assets.world_model.questions import stable_hash
from platform_assets.world_model.rankings import TOP
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache

if TYPE_CHECKING:
    import pyarrow as pa

SIDES = {MODEL: CANDIDATE, MIXTURE: BASELINE}
COLD_TRIPS = 5
# Shorter baskets are alike by chance.
LEAST_REPEATED = 4
# Customers hardly ever buy four products or more twice alike: weeks with a larger share hold copies of earlier ones.
MOST_REPEATED = 0.05
NEXT_PRECISION, NEXT_RECALL = "next_basket_precision_at_10", "next_basket_recall_at_10"
TABLES = {"date": "date", "hour": "hour", "week": "week", "customer": "slice_customer", "repeated": "repeated"}
_NORMAL_95 = 1.959964
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


def summary_of(scores: pa.Table) -> dict[str, Any]:
    """Counts, means of all rankers, intervals by customer, and tables by date, hour, week and kind of customer."""
    columns: Columns = {
        name: column.to_numpy() for name, column in zip(scores.column_names, scores.columns, strict=True)
    }
    clusters = columns["cluster"]
    metrics = {ranker: from_ranks(columns[f"{ranker}_{RANK}"]) for ranker in rankers_of(columns)}
    difference = metrics[CANDIDATE][HIT_AT_10] - metrics[BASELINE][HIT_AT_10]
    copied = _copied_weeks(columns)
    elsewhere = ~np.isin(columns["week"], copied)
    return {
        "rows": len(clusters),
        "customers": len(np.unique(clusters)),
        "rankers": {name: {metric: _mean(each) for metric, each in found.items()} for name, found in metrics.items()},
        "hit_at_10_intervals": {name: clustered(found[HIT_AT_10], clusters) for name, found in metrics.items()},
        "hit_at_10_above_mixture": _bootstrapped(difference, clusters),
        "copied_weeks": copied,
        "hit_at_10_above_mixture_in_other_weeks": _bootstrapped(difference[elsewhere], clusters[elsewhere]),
        "hit_at_10_above": {
            name: clustered(metrics[CANDIDATE][HIT_AT_10] - found[HIT_AT_10], clusters)
            for name, found in metrics.items()
            if name != CANDIDATE
        },
        "next_basket": _next_means(columns),
        "auxiliary": dict(_auxiliary(columns)),
        "tables": {name: _table(columns[column], metrics) for name, column in TABLES.items()},
    }


def clustered(values: NDArray[Any], clusters: NDArray[Any]) -> dict[str, float]:
    """Mean and its 95 % interval by the normal law, rows of a cluster hanging together; no interval with one cluster."""
    sums, sizes = cluster_sums(values, clusters)
    mean, count = float(sums.sum() / sizes.sum()), len(sums)
    if count < 2:
        return {"mean": mean}
    error = sqrt(count / (count - 1) * float(((sums - mean * sizes) ** 2).sum())) / float(sizes.sum())
    return {"mean": mean, "low": mean - _NORMAL_95 * error, "high": mean + _NORMAL_95 * error}


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

    sides = {MODEL: CANDIDATE, LOOK_UP: BASELINE, MAJORITY: MAJORITY}
    unknown = labels == NO_TARGET
    return {
        f"{sides[who]}_{task}_correct": pa.array((each == labels).astype(np.int8), mask=unknown)
        for who, each in classes.items()
    }


def _next_means(columns: Columns) -> dict[str, dict[str, float]]:
    names = {"precision_at_10": NEXT_PRECISION, "recall_at_10": NEXT_RECALL, "hit_rate_at_10": NEXT_HIT_AT_10}
    rankers = [name.removesuffix(f"_{NEXT_RECALL}") for name in columns if name.endswith(f"_{NEXT_RECALL}")]
    return {ranker: {short: _mean(columns[f"{ranker}_{name}"]) for short, name in names.items()} for ranker in rankers}


def _auxiliary(columns: Columns) -> Iterator[tuple[str, dict[str, float]]]:
    """Task -> share of right classes: model, look_up, majority; and on how many baskets. Tasks without a label are left out."""
    for task in layout.LABELS:
        named = {who: f"{side}_{task}_correct" for who, side in
                 ((MODEL, CANDIDATE), (LOOK_UP, BASELINE), (MAJORITY, MAJORITY))}  # fmt: skip
        there = {who: np.asarray(columns[name], np.float64) for who, name in named.items() if name in columns}
        known = ~np.isnan(there[MAJORITY])
        if known.any():
            yield task, {"rows": int(known.sum()), **{who: _mean(each[known]) for who, each in there.items()}}


def _table(keys: NDArray[Any], metrics: Mapping[str, Columns]) -> dict[str, dict[str, float]]:
    """Key -> baskets, and hit@10 and reciprocal rank of every ranker on them."""
    values, codes = np.unique(keys.astype(str), return_inverse=True)
    counts = np.bincount(codes)
    found: dict[str, dict[str, float]] = {
        str(value): {"baskets": int(count)} for value, count in zip(values, counts, strict=True)
    }
    for ranker, columns in metrics.items():
        for metric in (HIT_AT_10, RECIPROCAL_RANK):
            sums = np.bincount(codes, columns[metric])
            for value, mean in zip(values, (sums / counts).tolist(), strict=True):
                found[str(value)][f"{ranker}_{metric}"] = mean
    # Numbers of hours in their own order, not that of their digits.
    return dict(sorted(found.items(), key=lambda each: (len(each[0]), each[0])))


def _copied_weeks(columns: Columns) -> list[str]:
    """Weeks of which too many baskets had been bought before, item for item."""
    weeks, codes = np.unique(columns["week"].astype(str), return_inverse=True)
    shares = np.bincount(codes, columns["repeated"]) / np.bincount(codes)
    return [str(week) for week in weeks[shares > MOST_REPEATED]]


def _bootstrapped(difference: NDArray[Any], clusters: NDArray[Any]) -> dict[str, Any]:
    """The mean with its 95 % interval, one-sided bounds at 5 %, by cluster bootstrap; the mean alone with one cluster."""
    if not len(difference):
        return {}
    if len(np.unique(clusters)) < 2:
        return {"estimate": _mean(difference)}
    found = paired_difference(difference, clusters)
    return {
        "estimate": found.estimate, "interval": list(found.interval), "lower": found.lower, "upper": found.upper,
        "clusters": found.clusters,
    }  # fmt: skip


def _mean(values: NDArray[Any]) -> float:
    return float(np.asarray(values, np.float64).mean())


def write(scores: pa.Table, path: Path) -> None:
    """Write replay_scores.parquet."""
    import pyarrow.parquet as pq

    pq.write_table(scores, path)
