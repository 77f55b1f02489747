"""What chance makes of PSI where a log consists of templates rather than of queries that know nothing of each other.

A text that a dashboard sends a thousand times is one observation, not a thousand. With shares of cells p and q, PSI is exactly the sum
of (q - p)^2 / L(p, q), L their logarithmic mean. What a template adds to each q - p, taken as an independent draw, gives the covariance
of these differences; scaled by L its eigenvalues weigh as many chi-squared variables of one degree each (Rao and Scott, "The Analysis
of Categorical Data From Complex Sample Surveys", 1981), and the sum is taken as one chi-squared by its first two moments (Satterthwaite,
"An Approximate Distribution of Estimates of Variance Components", 1946). A template that both sides have adds
only what changed between them, so that a fixed set of dashboards is not taken for noise. Where each row is a template of its own, this
is the noise of rows. What does not belong here: cells, limits (`feature_drift`).

T templates, K cells. Some arrays of T x K float64 are held at once: 60,000 templates and 22 cells are 11 MB each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.drift import chi_squared_quantile

Places = NDArray[np.int64]
Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Templates:
    """Which of T templates each row of either side is of."""

    before: Places
    now: Places
    count: int

    @classmethod
    def of(cls, before: NDArray[np.str_], now: NDArray[np.str_]) -> Templates:
        """By their names."""
        names, places = np.unique(np.concatenate([before, now]), return_inverse=True)
        return cls(places[: len(before)], places[len(before) :], len(names))


def noise(
    templates: Templates, cells: tuple[Places, Places], weights: tuple[Weights, Weights], count: int, floor: float
) -> float:
    """PSI that chance alone exceeds once in 10,000 times. `cells` are the rows' on both sides, of `count`; shares are raised to `floor`."""
    before, p = _scattered(templates.before, templates.count, cells[0], weights[0], count)
    now, q = _scattered(templates.now, templates.count, cells[1], weights[1], count)
    there = (p > 0) | (q > 0)
    scaled = (now - before)[:, there] / np.sqrt(_logarithmic_mean(np.maximum(p, floor), np.maximum(q, floor))[there])
    covariance = scaled.T @ scaled
    first, second = float(np.trace(covariance)), float((covariance**2).sum())
    if not second:
        return 0.0
    freedom = max(1.0, first**2 / second)
    return first / freedom * _quantile(freedom)


def _quantile(freedom: float) -> float:
    """Between two whole degrees in proportion."""
    whole, part = int(freedom), freedom % 1
    return (1 - part) * chi_squared_quantile(whole) + part * chi_squared_quantile(whole + 1)


def _scattered(
    of_row: Places, templates: int, cells: Places, weights: Weights, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[T, K], by how much each template moves each share from where the others have it; and the shares [K]."""
    held = np.bincount(of_row * count + cells, weights, templates * count).reshape(templates, count) / weights.sum()
    shares = held.sum(axis=0)
    return held - shares * held.sum(axis=1, keepdims=True), shares


def _logarithmic_mean(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = np.abs(q - p) > 1e-9 * p
    ratio = np.log(np.where(apart, q / p, np.e))
    return np.where(apart, (q - p) / ratio, p)
