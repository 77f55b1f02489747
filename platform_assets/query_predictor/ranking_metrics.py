"""Numbers of a ranking by score against labels, rows weighed: AUC, average precision, log loss, what a routing catches, calibration.

NaN where a class is missing: a number that is not defined must not look like a bad or a good one. What does not belong here:
which of them a model must reach (`requirements`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
_SMALLEST = 1e-7


def auc(scores: NDArray[np.floating], is_heavy: Flags, weights: Numbers | None = None) -> float:
    """The chance that a heavy row has the higher score than a light one, equal ones counting half (Mann and Whitney 1947)."""
    heavy, light = _by_score(scores, is_heavy, weights)
    if not heavy.sum() or not light.sum():
        return math.nan
    below = np.cumsum(light) - light
    return float((heavy * (below + light / 2)).sum() / (heavy.sum() * light.sum()))


def average_precision(scores: NDArray[np.floating], is_heavy: Flags, weights: Numbers | None = None) -> float:
    """The mean precision over the steps of recall, without interpolation, as scikit-learn defines it."""
    heavy, light = (part[::-1] for part in _by_score(scores, is_heavy, weights))
    if not heavy.sum():
        return math.nan
    caught, routed = np.cumsum(heavy), np.cumsum(heavy + light)
    return float((heavy * caught / routed).sum() / heavy.sum())


def log_loss(scores: NDArray[np.floating], is_heavy: Flags, weights: Numbers | None = None) -> float:
    """Mean negative log likelihood, in nats; probabilities are kept 1e-7 away from 0 and 1."""
    if not len(scores):
        return math.nan
    chance = np.clip(scores.astype(np.float64), _SMALLEST, 1 - _SMALLEST)
    return float(np.average(-np.log(np.where(is_heavy, chance, 1 - chance)), weights=weights))


def of_routing(routed: Flags, is_heavy: Flags) -> dict[str, float]:
    """Precision, recall, F1 and the routed share of a routing."""
    caught, sent, heavy = int((routed & is_heavy).sum()), int(routed.sum()), int(is_heavy.sum())
    return {
        "precision": caught / sent if sent else math.nan,
        "recall": caught / heavy if heavy else math.nan,
        "f1": 2 * caught / (sent + heavy) if sent + heavy else math.nan,
        "routed_share": sent / len(routed) if len(routed) else math.nan,
    }


def calibration(
    scores: NDArray[np.floating], is_heavy: Flags, weights: Numbers | None = None, bins: int = 10
) -> list[dict[str, float]]:
    """Bins of about equally many rows by score: the mean score, the share of heavy rows, how many rows."""
    weights = np.ones(len(scores)) if weights is None else weights
    found = []
    for part in np.array_split(np.argsort(scores, kind="stable"), bins):
        if len(part):
            mean, share = (np.average(each[part], weights=weights[part]) for each in (scores, is_heavy))
            found.append({"score": float(mean), "heavy_share": float(share), "rows": float(len(part))})
    return found


def finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """As JSON can hold them: None for what is not defined."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def _by_score(scores: NDArray[np.floating], is_heavy: Flags, weights: Numbers | None) -> tuple[Numbers, Numbers]:
    """Weight of heavy and of light rows at every different score, rising."""
    weights = np.ones(len(scores)) if weights is None else weights
    places = np.unique(scores, return_inverse=True)[1]
    total = int(places.max()) + 1 if len(places) else 0
    return tuple(np.bincount(places, part, total) for part in (weights * is_heavy, weights * ~is_heavy))  # type: ignore[return-value]
