"""Whether a candidate may replace a baseline: a pure function from scores on the same rows to a verdict with reasons.

Non-inferiority, metric by metric: a metric passes when the lower bound of (candidate - baseline) is above minus its margin,
fails when even the upper bound is below it, and is inconclusive otherwise or with too few rows. A hard constraint is broken
by one row. What does not belong here: reading scores, keeping verdicts (`core.registry`), moving anything.

Nothing passes on fewer rows than the minimum. A metric whose own rows are too few, while the whole comparison has enough,
fails on a loss that these rows prove. Otherwise it is inconclusive, and so is the verdict, unless it may be left to an online
experiment ("anchored"): then the others decide.

A requirement is a demand on the candidate alone, judged elsewhere and handed in: the verdict is the worse of the comparison and of
the requirements that block.

Every slice is looked at with every metric at the same alpha, so that among many slices some bound is wrong; a slice blocks
only beyond the slice floor, which an equal candidate reaches in about none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.comparison import Comparison, Mask, Metric, Thresholds
from platform_assets.core.statistics import Floats, chance_of_passing, clusters_needed, paired_difference
from platform_assets.core.verdict import (
    Bounds,
    ConstraintResult,
    MetricResult,
    Outcome,
    Requirement,
    SliceResult,
    Status,
    Verdict,
    in_order,
    metric_sentence,
)

__all__ = ["Comparison", "Metric", "Thresholds", "Verdict", "decide"]

STANDARD_THRESHOLDS = Thresholds()
_NAMED_ROWS = 3


def decide(
    comparison: Comparison,
    metrics: Sequence[Metric],
    thresholds: Thresholds = STANDARD_THRESHOLDS,
    digests: Mapping[str, str] | None = None,
    requirements: Sequence[Requirement] = (),
) -> Verdict:
    """The verdict; `digests` names the inputs (datasets, replay, models) and is kept in it, as `requirements` are.

    Raises ValueError for scores that cannot be judged: none, not finite, of other lengths, rows that come twice.
    """
    comparison.check(metrics, thresholds)
    codes = comparison.cluster_codes()
    constraints = tuple(_judge_constraints(comparison))
    results = tuple(_judge_metric(metric, comparison, codes, thresholds) for metric in metrics)
    slices = tuple(_judge_slices(results, comparison, codes, thresholds))
    return Verdict(
        outcome=_outcome(constraints, results, slices, requirements),
        reasons=in_order(constraints, results, slices, requirements) + _unseen(comparison, thresholds),
        constraints=constraints,
        metrics=results,
        slices=slices,
        rows=len(comparison.row_ids),
        clusters=int(codes.max()) + 1,
        thresholds=thresholds,
        digests=dict(digests or {}),
        requirements=tuple(requirements),
    )


def _outcome(
    constraints: Sequence[ConstraintResult],
    metrics: Sequence[MetricResult],
    slices: Sequence[SliceResult],
    requirements: Sequence[Requirement],
) -> Outcome:
    judged = [each.status for each in metrics if each.is_judged]
    demanded = [each.status for each in requirements if each.blocks]
    if (
        any(each.broken for each in constraints)
        or any(each.blocks for each in slices)
        or "fail" in (*judged, *demanded)
    ):
        return "fail"
    return "pass" if judged and {*judged, *demanded} == {"pass"} else "inconclusive"


def _judge_constraints(comparison: Comparison) -> Iterator[ConstraintResult]:
    for name in sorted(comparison.constraints):
        is_broken = np.asarray(comparison.constraints[name], dtype=np.float64) != 1.0
        rows, broken = len(is_broken), int(np.count_nonzero(is_broken))
        first = tuple(sorted(str(comparison.row_ids[i]) for i in np.flatnonzero(is_broken).tolist()))[:_NAMED_ROWS]
        if broken:
            reason = f"{name} fails: {broken:,} of {rows:,} rows are not 1.0, and none may be; look at rows {', '.join(first)}"
        else:
            reason = (
                f"{name} passes: 1.0 on all {rows:,} rows, which still allows a share of {3 / rows:.4f} to break it"
            )
        yield ConstraintResult(name, rows, broken, first, 3 / rows, reason)


def _judge_metric(
    metric: Metric, comparison: Comparison, codes: NDArray[np.int64], thresholds: Thresholds
) -> MetricResult:
    everywhere = np.ones(len(codes), dtype=bool)
    inside = everywhere if metric.subset is None else comparison.subset(metric.subset)
    bounds = _bounds(metric, comparison, codes, inside, thresholds)
    on_all = None if metric.subset is None else _bounds_if_finite(metric, comparison, codes, everywhere, thresholds)
    is_whole_enough = _is_enough(len(codes), int(codes.max()) + 1, thresholds)
    status, why = _status(metric, bounds, is_whole_enough, thresholds)
    if bounds is None:
        return MetricResult(metric, status, f"{metric.name} is {status}{why}", None, on_all)
    return MetricResult(
        metric, status, metric_sentence(metric, status, bounds, thresholds.cluster, why), bounds, on_all
    )


def _is_enough(rows: int, clusters: int, thresholds: Thresholds) -> bool:
    return rows >= thresholds.minimum_rows and clusters >= thresholds.minimum_clusters


def _status(metric: Metric, bounds: Bounds | None, is_whole_enough: bool, thresholds: Thresholds) -> tuple[Status, str]:
    """A metric's status, and what to do about it."""
    if not metric.gated:
        return "reported", ""
    if bounds is None or not _is_enough(bounds.rows, bounds.clusters, thresholds):
        return _status_of_few(metric, bounds, is_whole_enough, thresholds)
    status = _against_margin(bounds)
    if status == "pass" and metric.at_least_equal and bounds.estimate < 0:
        return "inconclusive", "; within the margin, but the estimate must not be below the baseline's"
    return status, _advice(status, bounds, thresholds)


def _status_of_few(
    metric: Metric, bounds: Bounds | None, is_whole_enough: bool, thresholds: Thresholds
) -> tuple[Status, str]:
    """With fewer rows than the minimum: never a pass."""
    minimum = f"the minimum is {thresholds.minimum_rows:,} rows / {thresholds.minimum_clusters:,} {thresholds.cluster}s"
    if metric.subset is None:
        return "inconclusive", f"; {minimum}: {metric.more_rows}"
    rows, clusters = (bounds.rows, bounds.clusters) if bounds else (0, 0)
    found = f"; {metric.subset}: {rows:,} rows / {clusters:,} {thresholds.cluster}s, {minimum}"
    is_proof = is_whole_enough and clusters >= thresholds.slice_minimum_clusters
    if bounds is not None and is_proof and _against_margin(bounds) == "fail":
        return "fail", f"{found}, but they prove a loss beyond the margin"
    if metric.may_be_anchored:
        return "anchored", f"{found}: left to an online experiment"
    return "inconclusive", f"{found}: {metric.more_rows}"


def _against_margin(bounds: Bounds) -> Outcome:
    if bounds.is_tie:
        return "pass"
    if bounds.lower is None or bounds.upper is None:
        return "inconclusive"
    return "pass" if bounds.lower > -bounds.margin else "fail" if bounds.upper < -bounds.margin else "inconclusive"


def _advice(status: Outcome, bounds: Bounds, thresholds: Thresholds) -> str:
    if status == "fail":
        return "; worse by more than the margin: look at the rows that lost most"
    if status == "inconclusive" and bounds.clusters_needed:
        return f"; {bounds.clusters_needed:,} {thresholds.cluster}s give an equal candidate a chance of 80 %"
    return ""


def _judge_slices(
    results: Sequence[MetricResult], comparison: Comparison, codes: NDArray[np.int64], thresholds: Thresholds
) -> Iterator[SliceResult]:
    metrics = [each.metric for each in results if each.is_judged]
    for dimension, value, rows in comparison.slice_masks():
        for metric in metrics:
            inside = rows if metric.subset is None else rows & comparison.subset(metric.subset)
            bounds = _bounds(metric, comparison, codes, inside, thresholds)
            yield _judge_slice((dimension, value), metric, bounds, thresholds)


def _judge_slice(where: tuple[str, str], metric: Metric, bounds: Bounds | None, thresholds: Thresholds) -> SliceResult:
    name = "=".join(where)
    if bounds is None or bounds.clusters < thresholds.slice_minimum_clusters or bounds.upper is None:
        reason = f"{metric.name} in {name}: fewer than {thresholds.slice_minimum_clusters} {thresholds.cluster}s"
        return SliceResult(*where, metric.name, "too small", False, reason, bounds)
    status = _against_margin(bounds)
    is_below = bounds.upper < min(thresholds.slice_floor, -bounds.margin)
    is_named = where in thresholds.must_not_fail and status == "fail"
    why = f"; in {name}, where it must not fail" if is_named else f"; in {name}, the floor is {thresholds.slice_floor}"
    reason = metric_sentence(metric, status, bounds, thresholds.cluster, why)
    return SliceResult(*where, metric.name, status, is_below or is_named, reason, bounds)


def _unseen(comparison: Comparison, thresholds: Thresholds) -> tuple[str, ...]:
    """Slices that must not fail and have no row: nobody can tell, which is not a failure, but must be said."""
    there = {(dimension, value) for dimension, value, _ in comparison.slice_masks()}
    missing = [each for each in thresholds.must_not_fail if each not in there]
    return tuple(f"{dimension}={value} must not fail, but no row is in it: not judged" for dimension, value in missing)


def _bounds_if_finite(
    metric: Metric, comparison: Comparison, codes: NDArray[np.int64], inside: Mask, thresholds: Thresholds
) -> Bounds | None:
    """None for a metric that is not defined on all rows."""
    is_defined = all(np.isfinite(each).all() for each in comparison.scores(metric))
    return _bounds(metric, comparison, codes, inside, thresholds) if is_defined else None


def _bounds(
    metric: Metric, comparison: Comparison, codes: NDArray[np.int64], inside: Mask, thresholds: Thresholds
) -> Bounds | None:
    """A metric's numbers on some rows; None without rows."""
    candidate, baseline = (each[inside] for each in comparison.scores(metric))
    if not len(candidate):
        return None
    differences = candidate - baseline if metric.higher_is_better else baseline - candidate
    margin = metric.margin * (abs(_mean(baseline)) if metric.margin_is_share else 1.0)
    bounds = Bounds(
        rows=len(candidate),
        clusters=len(np.unique(codes[inside])),
        margin=margin,
        candidate_mean=_mean(candidate),
        baseline_mean=_mean(baseline),
        estimate=_mean(differences),
        is_tie=not differences.any(),
    )
    return bounds if bounds.clusters < 2 else _with_spread(bounds, metric, differences, codes[inside], thresholds)


def _with_spread(
    bounds: Bounds, metric: Metric, differences: Floats, codes: NDArray[np.int64], thresholds: Thresholds
) -> Bounds:
    found = paired_difference(differences, codes, alpha=thresholds.alpha, draws=thresholds.draws, seed=thresholds.seed)
    margin, alpha = bounds.margin, thresholds.alpha
    return replace(
        bounds,
        lower=found.lower,
        upper=found.upper,
        interval=found.interval,
        standard_error=found.standard_error,
        chance_equal_passes=chance_of_passing(margin, found.deviation, found.clusters, alpha, metric.at_least_equal),
        clusters_needed=None if metric.at_least_equal else clusters_needed(margin, found.deviation, alpha=alpha),
    )


def _mean(values: Floats) -> float:
    # fsum: the same for any order of the rows.
    return fsum(values) / len(values)
