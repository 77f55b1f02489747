"""Two groups of different units: intervals of a difference of means, valid at one look or at every look, and group sizes.

A mean comes with the variance of one unit's contribution: of a proportion, p (1 - p); of a ratio whose rows hang together
within a household, the delta method's, by household. Differences are absolute, b - a, with unpooled variances. What does
not belong here: the same rows under two policies (`core.statistics`), decisions.

The numbers agree with gbstats' to the digits it prints (the tests name them). The sequential interval is the asymptotic
confidence sequence of Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence sequences" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

from numpy.typing import ArrayLike

from platform_assets.core.statistics import cluster_sums


class Mean(NamedTuple):
    """A mean, the variance of one unit's contribution to it, and the number of units."""

    value: float
    variance: float
    units: int

    @property
    def squared_error(self) -> float:
        """The variance of the mean."""
        return self.variance / self.units


def proportion(successes: int, units: int) -> Mean:
    """A share of units; raises ValueError unless 0 <= successes <= units and units >= 2."""
    if units < 2 or not 0 <= successes <= units:
        raise ValueError(
            f"{successes} successes of {units} units are no proportion; give 0..units of two units or more"
        )
    share = successes / units
    return Mean(share, share * (1 - share), units)


def clustered_ratio(numerators: ArrayLike, denominators: ArrayLike, clusters: ArrayLike) -> Mean:
    """sum(numerators) / sum(denominators) over (R,) rows, its units being the clusters (delta method, linearised).

    Raises ValueError when the denominators sum to nothing above 0, or there are fewer than two clusters.
    """
    over, _ = cluster_sums(numerators, clusters)
    under, _ = cluster_sums(denominators, clusters)
    units, total = len(under), fsum(under)
    if units < 2 or total <= 0:
        raise ValueError(
            f"no ratio from {units} cluster(s) with denominators that sum to {total}; give two or more, above 0"
        )
    ratio = fsum(over) / total
    variance = fsum((over - ratio * under) ** 2) / (units - 1) / (total / units) ** 2
    return Mean(ratio, variance, units)


def t_interval(a: Mean, b: Mean, alpha: float = 0.05) -> tuple[float, float]:
    """Two-sided interval of b - a for one look: Welch's t (Satterthwaite's degrees of freedom)."""
    from scipy.stats import t

    spread = a.squared_error + b.squared_error
    if not spread:
        return b.value - a.value, b.value - a.value
    freedom = spread**2 / fsum(each.squared_error**2 / (each.units - 1) for each in (a, b))
    return _around(b.value - a.value, float(t.ppf(1 - alpha / 2, freedom)) * sqrt(spread))


def sequential_interval(a: Mean, b: Mean, alpha: float = 0.05, tuned_to: int = 5000) -> tuple[float, float]:
    """Two-sided interval of b - a that holds at every look at once; narrowest when both groups together have `tuned_to` units."""
    units = a.units + b.units
    half = sequential_half_width(units * (a.squared_error + b.squared_error), units, alpha, tuned_to)
    return _around(b.value - a.value, half)


def sequential_half_width(variance: float, units: int, alpha: float = 0.05, tuned_to: int = 5000) -> float:
    """Half the width of a mean's confidence sequence, in the mean's unit; `variance` is that of one unit's contribution."""
    if units < 1 or tuned_to < 1 or variance < 0 or not 0 < alpha < 1:
        raise ValueError(
            f"no interval from {units} units, variance {variance}, alpha {alpha}, tuned to {tuned_to} units"
        )
    rate = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tuned_to
    growth = units * rate + 1
    return sqrt(variance) * sqrt(2 * growth / (units**2 * rate) * log(sqrt(growth) / alpha))


def chance_to_win(a: Mean, b: Mean) -> float:
    """The posterior chance that b's mean is above a's, under a flat prior and normal means."""
    spread = a.squared_error + b.squared_error
    if not spread:
        return 0.5 if a.value == b.value else float(b.value > a.value)
    return NormalDist().cdf((b.value - a.value) / sqrt(spread))


def sample_ratio_mismatch(counts: Sequence[int], shares: Sequence[float]) -> float:
    """p-value of Pearson's chi-squared test that units fell into the groups at these shares (any positive numbers)."""
    from scipy.stats import chi2

    total, weight = sum(counts), fsum(shares)
    if len(counts) != len(shares) or len(counts) < 2 or total <= 0 or min(shares) <= 0 or min(counts) < 0:
        raise ValueError(f"counts {list(counts)} at shares {list(shares)}: give a count and a positive share per group")
    expected = [total * share / weight for share in shares]
    distance = fsum((count - wanted) ** 2 / wanted for count, wanted in zip(counts, expected, strict=True))
    return float(chi2.sf(distance, len(counts) - 1))


def _around(centre: float, half: float) -> tuple[float, float]:
    return centre - half, centre + half
