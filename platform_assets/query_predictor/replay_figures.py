"""Pictures of a replay, each from plain arrays to PNG bytes. Those that a training has too are drawn by `model_plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.figures import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    SERIES,
    VERMILION,
    blank,
    horizontal_grid,
    plain,
    to_png,
)
from platform_assets.query_predictor import judgement, model_plots
from platform_assets.query_predictor.feature_drift import Distance
from platform_assets.query_predictor.judgement import BASELINE, CANDIDATE, FINGERPRINT, RULE, Columns
from platform_assets.query_predictor.replay_sides import MODEL, Side
from platform_assets.query_predictor.replay_tables import SEEN
from platform_assets.query_predictor.threshold import Threshold

_POINTS = 2_000
_SMALLEST = 1e-7


def pictures(
    columns: Columns, sides: Mapping[str, Side], threshold: Threshold, summary: Mapping[str, Any], name: str
) -> dict[str, bytes]:
    """File name -> PNG. Rankings and calibration are of the rows that reach the candidate."""
    reach = judgement.queries_of(columns, CANDIDATE).reach
    heavy = columns["is_heavy"].astype(bool)
    scores = {
        side: judgement.number(columns, side, "score")[reach] for side in (CANDIDATE, BASELINE, FINGERPRINT, RULE)
    }
    if sides[BASELINE].policy != MODEL:
        del scores[BASELINE]
    routed = {f"baseline: {sides[BASELINE].policy}": sides[BASELINE].routed[reach]}
    seen = (columns["slice_template"].astype(str) == SEEN)[reach]
    probabilities = {side: (each, heavy[reach]) for side, each in scores.items() if side in (CANDIDATE, BASELINE)}
    return {
        "precision_recall.png": model_plots.precision_recall(
            scores, heavy[reach], threshold, f"precision and recall, {name}", routed
        ),
        "cost.png": cost(columns, list(scores), threshold, f"cost, {name}"),
        "calibration.png": model_plots.calibration(probabilities, f"calibration, {name}"),
        "scores_by_template.png": model_plots.scores_by_template(
            scores[CANDIDATE], heavy[reach], seen, threshold, f"candidate's scores by template, {name}"
        ),
        "by_day.png": by_day(summary["tables"]["day"], f"routed share and recall by day, {name}"),
    }


def cost(columns: Columns, rankings: Sequence[str], threshold: Threshold, title: str) -> bytes:
    """Mean cost of a query over the share that is routed, for every cut of each ranking; a point for what was decided.

    What is missed before the candidate's score is missed at any cut of it, and costs as much in every line.
    """
    figure = blank(4.2)
    axes = figure.subplots()
    heavy, reach = columns["is_heavy"].astype(bool), judgement.queries_of(columns, CANDIDATE).reach
    before = threshold.cost_fn * judgement.queries_of(columns, CANDIDATE).free_heavy
    for side, color in zip(rankings, (BLUE, ORANGE, GREY, PURPLE), strict=False):
        scores = judgement.number(columns, side, "score")[reach]
        sent, missed, false_alarms = cuts(scores, heavy[reach])
        costs = before + threshold.cost_fn * missed + threshold.cost_fp * false_alarms
        shown = np.unique(np.linspace(0, len(sent) - 1, min(len(sent), _POINTS)).round().astype(np.int64))
        axes.plot((sent / len(heavy))[shown], (costs / len(heavy))[shown], color=color, label=side)
    for side, mark in ((CANDIDATE, "o"), (BASELINE, "s")):
        share = columns[f"{side}_routed"].astype(bool).mean()
        mean = judgement.number(columns, side, judgement.COST).mean()
        axes.plot(share, mean, mark, color=VERMILION, label=f"{side} as it decides")
    axes.set_xlabel("share of queries routed as heavy")
    axes.set_ylabel(f"cost of a query ({threshold.cost_fn:g} missed, {threshold.cost_fp:g} false alarm)")
    axes.legend(frameon=False, fontsize=8)
    horizontal_grid(axes)
    figure.suptitle(plain(title))
    return to_png(figure)


def cuts(
    scores: NDArray[np.float64], is_heavy: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Routed, missed and wrongly routed queries at each cut, from none routed to all; equal scores go together."""
    places = np.unique(-scores, return_inverse=True)[1]
    found = (np.concatenate([[0], np.cumsum(np.bincount(places[part]))]) for part in (slice(None), is_heavy))
    sent, caught = found
    caught = np.concatenate([caught, np.full(len(sent) - len(caught), caught[-1])])
    return sent, caught[-1] - caught, sent - caught


def by_day(table: Mapping[str, Mapping[str, Any]], title: str) -> bytes:
    """Routed share above, recall below; behind the recall how many queries were heavy."""
    figure = blank(5.0)
    above, below = figure.subplots(2, 1, sharex=True)
    places = range(len(table))
    for side, color in ((CANDIDATE, BLUE), (BASELINE, ORANGE)):
        above.plot(places, [each[f"{side}_routed_share"] for each in table.values()], "o-", color=color, label=side)
        recalls = [np.nan if (each := day[f"{side}_recall"]) is None else each for day in table.values()]
        below.plot(places, recalls, "o-", color=color, label=side)
    behind = below.twinx()
    behind.bar(places, [each["heavy"] for each in table.values()], color=GREY, alpha=0.4)
    behind.set_ylabel("heavy queries")
    behind.spines[["top"]].set_visible(False)
    below.set_zorder(behind.get_zorder() + 1)
    below.patch.set_visible(False)
    above.set_ylabel("routed share")
    below.set_ylabel("recall")
    below.set_ylim(-0.03, 1.03)
    below.set_xticks(places, [day[5:] for day in table], fontsize=8)
    for axes in (above, below):
        horizontal_grid(axes)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(plain(title))
    return to_png(figure)


def score_drift(before: NDArray[np.floating], now: NDArray[np.floating], distance: Distance, title: str) -> bytes:
    """How the candidate's scores (as log10 odds) are spread on the days that its threshold was chosen on, and on the new ones."""
    odds = [np.log10(each / (1 - each)) for each in (np.clip(part, _SMALLEST, 1 - _SMALLEST) for part in (before, now))]
    low, high = (
        bound(each.min() for each in odds) if bound is min else bound(each.max() for each in odds)
        for bound in (min, max)
    )
    figure = blank(4.2)
    axes = figure.subplots()
    for each, name, color in zip(odds, ("validation days of the model", "replayed days"), SERIES, strict=False):
        weights = np.full(len(each), 1 / len(each))
        edges = list(np.linspace(np.floor(low), np.ceil(high) + 1e-9, 57))
        axes.hist(each, bins=edges, weights=weights, color=color, alpha=0.55, label=f"{name} ({len(each):,})")
    axes.set_xlabel("log10 odds of the score")
    axes.set_ylabel("share of queries")
    horizontal_grid(axes)
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle(plain(f"{title}: PSI {distance.psi:.3f}, limit {distance.limit:.3f}"))
    return to_png(figure)
