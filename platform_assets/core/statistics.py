"""Paired comparisons of two policies on the same rows, where rows of one household hang together.

The bounds are a cluster bootstrap-t: households are drawn with replacement, with all their rows, and each resample's
difference is taken in units of its own standard error (Hall, "The Bootstrap and Edgeworth Expansion", 1992; Cameron,
Gelbach and Miller, "Bootstrap-Based Improvements for Inference with Clustered Errors", 2008). What does not belong here:
two groups of different households (`core.two_samples`), margins and verdicts (`core.gate`).

Type-I error in % of the one-sided lower bound at nominal 5 %, 4,000 simulated comparisons each, 1 to 10 rows a household
with correlation within it (`skew`: exponential, a few large losses; `rare`: nine in ten rows alike, the rest as skew):

    households           40                 100                250                350
                    even skew rare     even skew rare     even skew rare     even skew rare
    bootstrap-t      5.2  6.4  8.1      5.4  5.5  7.1      4.9  5.6  6.3      4.9  5.2  5.8
    BCa              6.3  7.6 11.3      5.9  6.0  8.3      5.2  5.7  6.8      4.9  5.4  6.2
    percentile       5.9  8.6 15.8      5.8  7.0 11.2      5.3  6.5  9.0      5.1  6.0  8.1
    basic            6.3  9.9 18.7      5.8  8.0 13.4      5.2  6.9 10.8      4.9  6.2  9.3
    t over rows     14.2 14.6 20.4     13.9 14.8 18.1     13.7 14.5 15.5     14.1 14.3 15.4

No method sees losses that no household of the sample had: 0 in n households still allows 3 / n of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, fsum, inf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
SEED = 20_260_102
MINIMUM_DRAWS = 2000
# A resample that happens to miss every household that differs has no spread of its own; without a floor it would send the
# bound to infinity. With a quarter of the sample's standard error one differing household in 350 costs 5 / 350, where the
# exact bound of a Poisson count is 4.7 / 350; the table above does not change.
_SPREAD_FLOOR = 0.25
# Weights of all resamples at once stay under 16 MB.
_CELLS_AT_ONCE = 2_000_000
_NORMAL = NormalDist()


@dataclass(frozen=True)
class PairedDifference:
    """The mean over rows of (candidate - baseline) and what the sample allows it to be, in the metric's unit.

    `lower` and `upper` are one-sided bounds, each at level 1 - alpha; `interval` is two-sided at level 1 - alpha.
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float
    interval: tuple[float, float]
    rows: int
    clusters: int
    alpha: float
    draws: int
    seed: int

    @property
    def deviation(self) -> float:
        """The standard deviation that a cluster's difference would need to give this standard error, clusters being equal."""
        return self.standard_error * sqrt(self.clusters)


def paired_difference(
    differences: ArrayLike, clusters: ArrayLike, *, alpha: float = 0.05, draws: int = MINIMUM_DRAWS, seed: int = SEED
) -> PairedDifference:
    """The mean difference with its bounds; (R,) differences and (R,) cluster names, in any order.

    The same rows give the same bits whatever their order and the machine's number of threads. Raises ValueError for values
    that are not finite, lengths that differ, fewer than two clusters, or too few draws.
    """
    _check_request(alpha, draws)
    sums, sizes = cluster_sums(differences, clusters)
    rows, count = int(sizes.sum()), len(sizes)
    if count < 2:
        raise ValueError(f"{count} cluster(s) say nothing about the spread between them; give two or more")
    estimate = fsum(sums) / rows
    residuals = sums - estimate * sizes
    error = sqrt(count / (count - 1) * fsum(residuals**2)) / rows
    studentised = _studentised(residuals, sizes, error, draws, seed)
    low, high, lowest, highest = np.quantile(studentised, [alpha, 1 - alpha, alpha / 2, 1 - alpha / 2]).tolist()
    return PairedDifference(
        estimate=estimate,
        standard_error=error,
        lower=min(estimate, estimate - high * error),
        upper=max(estimate, estimate - low * error),
        interval=(min(estimate, estimate - highest * error), max(estimate, estimate - lowest * error)),
        rows=rows,
        clusters=count,
        alpha=alpha,
        draws=draws,
        seed=seed,
    )


def _check_request(alpha: float, draws: int) -> None:
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; give a share above 0 and below 0.5")
    if draws < MINIMUM_DRAWS:
        raise ValueError(f"{draws} draws are too few for a bound at {alpha}; give {MINIMUM_DRAWS:,} or more")


def cluster_sums(values: ArrayLike, clusters: ArrayLike) -> tuple[Floats, Floats]:
    """Per cluster, in the order of their names: (C,) sums of values and (C,) numbers of rows; independent of row order."""
    numbers, names = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if numbers.ndim != 1 or numbers.shape != names.shape:
        raise ValueError(f"{numbers.shape} values but {names.shape} cluster names; give one of each per row")
    if not len(numbers):
        raise ValueError("there are no rows to compare")
    broken = int(np.count_nonzero(~np.isfinite(numbers)))
    if broken:
        raise ValueError(
            f"{broken:,} of {len(numbers):,} values are not finite; find out which rows could not be scored"
        )
    found, codes = np.unique(names, return_inverse=True)
    # Sums of floats depend on their order in the last bit, and a verdict must not depend on the rows' order.
    order = np.lexsort((numbers, codes))
    sizes = np.bincount(codes, minlength=len(found))
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    return np.add.reduceat(numbers[order], starts), sizes.astype(np.float64)


def chance_of_passing(
    margin: float, deviation: float, clusters: int, alpha: float = 0.05, at_least_equal: bool = False
) -> float:
    """How often a truly equal candidate is shown to be at most `margin` worse, means taken as normal.

    `deviation`: standard deviation of a cluster's mean difference. `at_least_equal`: the estimate must not be below 0
    either, which an equal candidate manages half of the time.
    """
    if deviation < 0 or clusters < 1 or margin < 0:
        raise ValueError(f"margin {margin}, deviation {deviation} and {clusters} clusters must not be negative")
    shift = margin * sqrt(clusters) / deviation if deviation else inf
    # An equal candidate without any spread ties on every row, and ties pass.
    chance = _NORMAL.cdf(shift - _NORMAL.inv_cdf(1 - alpha)) if shift < inf else 1.0
    return min(chance, 0.5) if at_least_equal and deviation else chance


def clusters_needed(margin: float, deviation: float, chance: float = 0.8, alpha: float = 0.05) -> int | None:
    """How many clusters give a truly equal candidate this chance of passing; None when no number does (margin 0)."""
    if not deviation:
        return 2
    if not margin:
        return None
    quantiles = _NORMAL.inv_cdf(1 - alpha) + _NORMAL.inv_cdf(chance)
    return max(2, ceil((quantiles * deviation / margin) ** 2))


def _studentised(residuals: Floats, sizes: Floats, error: float, draws: int, seed: int) -> Floats:
    """(draws,) how far each resample's mean lies from the sample's, in its own standard errors."""
    count = len(sizes)
    if error == 0:
        return np.zeros(draws)
    columns = (sizes, residuals, residuals**2, residuals * sizes, sizes**2)
    parts: list[Floats] = []
    for start in range(0, draws, _at_once(count)):
        weights = _weights(count, draws, seed, start)
        # Not a matrix product: those add in another order on another number of threads.
        n, u, uu, un, nn = ((weights * column).sum(axis=1) for column in columns)
        shift = u / n
        variance = np.maximum(uu - 2 * shift * un + shift**2 * nn, 0.0) * count / (count - 1)
        parts.append(shift / np.maximum(np.sqrt(variance) / n, _SPREAD_FLOOR * error))
    return np.concatenate(parts)


def _at_once(count: int) -> int:
    return max(1, _CELLS_AT_ONCE // count)


@lru_cache(maxsize=4)
def _weights(count: int, draws: int, seed: int, start: int) -> Floats:
    """(up to `_at_once`, count) how often each cluster is drawn; metrics on the same rows share them."""
    number = min(_at_once(count), draws - start)
    drawn = np.random.default_rng([seed, start]).integers(count, size=(number, count))
    cells = drawn + count * np.arange(number)[:, None]
    weights = np.bincount(cells.ravel(), minlength=number * count).reshape(number, count).astype(np.float64)
    weights.flags.writeable = False
    return weights
