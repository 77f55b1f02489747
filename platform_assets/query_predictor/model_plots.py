"""Pictures of a trained query predictor: precision and recall, calibration, cost, importance, scores by seen and unseen template.

Each is a PNG from plain arrays. The paper they are drawn on is `core.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.figures import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    blank,
    horizontal_grid,
    plain,
    shorten,
    to_png,
)
from platform_assets.query_predictor import ranking_metrics
from platform_assets.query_predictor.features import BASE_FEATURES, HISTORICAL_FEATURES
from platform_assets.query_predictor.threshold import CostCurve, Threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Scores = NDArray[np.floating]
Flags = NDArray[np.bool_]
_SHOWN = 20
_MOST_POINTS = 2_000
_GROUP_OF = {feature.name: feature.group for feature in (*BASE_FEATURES, *HISTORICAL_FEATURES)}
_TERMS = "terms"


def precision_recall(
    scores: Mapping[str, Scores],
    is_heavy: Flags,
    threshold: Threshold,
    title: str,
    also: Mapping[str, Flags] | None = None,
) -> bytes:
    """Precision over recall, a line for each ranking (the first is the model's), and the point of the frozen threshold.

    `also` are further routings, by name: a point each.
    """
    figure = blank(4.2)
    axes = figure.subplots()
    for (name, each), color in zip(scores.items(), (BLUE, ORANGE, GREY, PURPLE), strict=False):
        recall, precision = _precision_recall(each, is_heavy)
        axes.plot(recall, precision, color=color, label=plain(name), drawstyle="steps-pre")
    first = next(iter(scores.values()))
    at = ranking_metrics.of_routing(threshold.routes(first.astype(np.float32)), is_heavy)
    axes.plot(at["recall"], at["precision"], "o", color=VERMILION, label=f"threshold {threshold.value:.4g}")
    for name, routes in (also or {}).items():
        at = ranking_metrics.of_routing(routes, is_heavy)
        axes.plot(at["recall"], at["precision"], "s", color=DARK, label=plain(name))
    _frame(axes, "recall", "precision")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    return _finished(figure, axes, title)


def calibration(parts: Mapping[str, tuple[Scores, Flags]], title: str) -> bytes:
    """Share of heavy queries over the mean score, in ten bins of equally many rows, both on a logarithmic scale."""
    figure = blank(4.2)
    axes = figure.subplots()
    lowest = 1e-5
    axes.plot([lowest, 1], [lowest, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
    for (name, (scores, is_heavy)), color in zip(parts.items(), (BLUE, VERMILION), strict=False):
        bins = ranking_metrics.calibration(scores, is_heavy)
        # A bin without a heavy query has no place on this scale: it stands on the lower edge.
        shares = [max(each["heavy_share"], lowest) for each in bins]
        axes.plot([max(each["score"], lowest) for each in bins], shares, "o-", color=color, label=plain(name))
    axes.set_xscale("log")
    axes.set_yscale("log")
    _frame(axes, "mean score of the bin", "share of heavy queries")
    return _finished(figure, axes, title)


def cost(curve: CostCurve, threshold: Threshold, title: str) -> bytes:
    """Cost over the routed share of the rows that the threshold was chosen on."""
    figure = blank(4.2)
    axes = figure.subplots()
    routed = (curve.caught + curve.false_positives) / max(1, threshold.rows)
    shown = _thinned(len(routed))
    axes.plot(routed[shown], curve.cost[shown], color=BLUE, label="cost")
    chosen = (threshold.heavy - threshold.false_negatives + threshold.false_positives) / max(1, threshold.rows)
    axes.plot(chosen, threshold.cost, "o", color=VERMILION, label=f"threshold {threshold.value:.4g}")
    _frame(
        axes,
        "share of queries routed as heavy",
        f"{threshold.cost_fn:g} x missed + {threshold.cost_fp:g} x false alarms",
    )
    return _finished(figure, axes, title)


def importance(gains: NDArray[np.float64], names: Sequence[str], title: str) -> bytes:
    """Shares of the gain of all splits: the features with most on the left, groups of features on the right."""
    order = [place for place in np.argsort(-gains, kind="stable")[:_SHOWN].tolist() if gains[place] > 0]
    most = [(str(names[place]), float(gains[place])) for place in order]
    groups: dict[str, float] = {}
    for name, gain in zip(names, gains.tolist(), strict=True):
        group = _GROUP_OF.get(name, _TERMS)
        groups[group] = groups.get(group, 0.0) + gain
    figure = blank(1.9 + 0.22 * _SHOWN)
    left, right = figure.subplots(1, 2, width_ratios=(5, 4))
    _bars(left, most, BLUE)
    _bars(right, sorted(groups.items(), key=lambda each: -each[1]), GREEN)
    figure.suptitle(plain(title))
    return to_png(figure)


def scores_by_template(scores: Scores, is_heavy: Flags, seen: Flags, threshold: Threshold, title: str) -> bytes:
    """How scores are spread (as log10 odds): light and heavy queries, of templates that train had and of those it had not."""
    odds = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    odds = np.log10(odds / (1 - odds))
    figure = blank(5.0)
    rows = figure.subplots(2, 1, sharex=True)
    edges = np.linspace(np.floor(odds.min(initial=-1.0)), np.ceil(odds.max(initial=1.0)), 57)
    for axes, (name, part) in zip(rows, {"seen": seen, "unseen": ~seen}.items(), strict=True):
        for kind, chosen, color in (("light", part & ~is_heavy, SKY), ("heavy", part & is_heavy, VERMILION)):
            label = f"{kind} ({int(chosen.sum()):,})"
            weights = np.full(int(chosen.sum()), 1 / max(1, chosen.sum()))
            axes.hist(odds[chosen], bins=list(edges), weights=weights, color=color, alpha=0.7, label=label)
        value = min(max(threshold.value, 1e-7), 1 - 1e-7)
        axes.axvline(np.log10(value / (1 - value)), color=DARK, linestyle="--", linewidth=1)
        axes.set_ylabel(f"share of {name}")
        horizontal_grid(axes)
        axes.legend(frameon=False, fontsize=8)
    rows[-1].set_xlabel("log10 odds of the score (dashed: the threshold)")
    figure.suptitle(plain(title))
    return to_png(figure)


def _precision_recall(scores: Scores, is_heavy: Flags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    places = np.unique(-scores, return_inverse=True)[1]
    caught, routed = np.cumsum(np.bincount(places, is_heavy)), np.cumsum(np.bincount(places))
    shown = _thinned(len(caught))
    return (caught / max(1, is_heavy.sum()))[shown], (caught / routed)[shown]


def _thinned(count: int) -> NDArray[np.int64]:
    """Places of as many points as a picture can show, the first and the last among them."""
    return np.unique(np.linspace(0, max(0, count - 1), min(count, _MOST_POINTS)).round().astype(np.int64))


def _bars(axes: Axes, values: Sequence[tuple[str, float]], color: str) -> None:
    places = range(len(values))
    axes.barh([-place for place in places], [value for _, value in values], color=color, height=0.7)
    axes.set_yticks([-place for place in places], [plain(shorten(name, 30)) for name, _ in values], fontsize=8)
    axes.set_xlabel("share of gain")
    axes.spines[["top", "right"]].set_visible(False)


def _frame(axes: Axes, horizontal: str, vertical: str) -> None:
    axes.set_xlabel(plain(horizontal))
    axes.set_ylabel(plain(vertical))
    horizontal_grid(axes)


def _finished(figure: Figure, axes: Axes, title: str) -> bytes:
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(plain(title))
    return to_png(figure)
