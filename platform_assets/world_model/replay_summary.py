"""What the rows of an evaluation say together: means, intervals, and the same means by date, hour, week and customer.

A customer's baskets hang together in every interval; an anonymous basket stands alone. Weeks in which too many baskets repeat
earlier ones of the same customer are named, and the others are judged apart. The rows are `world_model.replay_tables`', the
verdict on them is `world_model.judgement`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.statistics import cluster_sums, paired_difference
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.evaluation import MAJORITY
from platform_assets.world_model.judgement import (
    BASELINE,
    CANDIDATE,
    HIT_AT_10,
    NEXT_HIT_AT_10,
    RANK,
    from_ranks,
    rankers_of,
)
from platform_assets.world_model.replay_tables import NEXT_PRECISION, NEXT_RECALL, SIDES_OF_HEADS, Columns

if TYPE_CHECKING:
    import pyarrow as pa

# Customers hardly ever buy four products or more twice alike: weeks with a larger share hold copies of earlier ones.
MOST_REPEATED = 0.05
TABLES = {"date": "date", "hour": "hour", "week": "week", "customer": "slice_customer", "repeated": "repeated"}
_NORMAL_95 = 1.959964
_NEXT = {"precision_at_10": NEXT_PRECISION, "recall_at_10": NEXT_RECALL, "hit_rate_at_10": NEXT_HIT_AT_10}
_CORRECT = "_correct"


def summary_of(scores: pa.Table) -> dict[str, Any]:
    """Counts, means of all rankers, heads and next baskets, intervals by customer, and tables of the means (`TABLES`)."""
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
        "tables": tables(columns, metrics),
    }


def clustered(values: NDArray[Any], clusters: NDArray[Any]) -> dict[str, float]:
    """Mean and its 95 % interval by the normal law, rows of a cluster hanging together; no interval with one cluster."""
    sums, sizes = cluster_sums(values, clusters)
    mean, count = float(sums.sum() / sizes.sum()), len(sums)
    if count < 2:
        return {"mean": mean}
    error = sqrt(count / (count - 1) * float(((sums - mean * sizes) ** 2).sum())) / float(sizes.sum())
    return {"mean": mean, "low": mean - _NORMAL_95 * error, "high": mean + _NORMAL_95 * error}


def tables(columns: Columns, metrics: dict[str, Columns]) -> dict[str, dict[str, dict[str, float]]]:
    """Table -> key -> `baskets` and means over them, each named as the column of scores that it is the mean of.

    Of all rankers hit@1/5/10 and reciprocal rank; of whoever ranks next baskets precision, recall and hit rate at 10; of every
    head the share of right classes, over those `{task}_baskets` of the group whose class is known: no share where there are none.
    """
    means = {f"{ranker}_{metric}": each for ranker, found in metrics.items() for metric, each in found.items()}
    means |= {name: each for name, each in columns.items() if name.endswith((*_NEXT.values(), _CORRECT))}
    counted = {f"{task}_baskets": ~np.isnan(columns[f"{MAJORITY}_{task}{_CORRECT}"]) for task in layout.LABELS}
    return {name: _table(columns[column], means, counted) for name, column in TABLES.items()}


def _next_means(columns: Columns) -> dict[str, dict[str, float]]:
    rankers = [name.removesuffix(f"_{NEXT_RECALL}") for name in columns if name.endswith(f"_{NEXT_RECALL}")]
    return {ranker: {short: _mean(columns[f"{ranker}_{name}"]) for short, name in _NEXT.items()} for ranker in rankers}


def _auxiliary(columns: Columns) -> Iterator[tuple[str, dict[str, float]]]:
    """Task -> share of right classes: model, look_up, majority; and on how many baskets. Tasks without a label are left out."""
    for task in layout.LABELS:
        named = {who: f"{side}_{task}{_CORRECT}" for who, side in SIDES_OF_HEADS.items()}
        there = {who: np.asarray(columns[name], np.float64) for who, name in named.items() if name in columns}
        known = ~np.isnan(there[MAJORITY])
        if known.any():
            yield task, {"rows": int(known.sum()), **{who: _mean(each[known]) for who, each in there.items()}}


def _table(keys: NDArray[Any], means: Columns, counted: Columns) -> dict[str, dict[str, float]]:
    """Key -> its baskets, those of them that are `counted`, and the mean of each other column over those where it is known."""
    values, codes = np.unique(keys.astype(str), return_inverse=True)
    found: dict[str, dict[str, float]] = {str(value): {} for value in values}
    for name, column in {"baskets": np.ones(len(keys)), **counted}.items():
        for each, count in zip(found.values(), np.bincount(codes, column).tolist(), strict=True):
            each[name] = int(count)
    for name, column in means.items():
        known = ~np.isnan(column)
        sizes = np.bincount(codes[known], minlength=len(values)).tolist()
        sums = np.bincount(codes[known], column[known], len(values)).tolist()
        for each, size, total in zip(found.values(), sizes, sums, strict=True):
            if size:
                each[name] = total / size
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
