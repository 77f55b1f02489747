"""How likely a light query is kept in the week's sample, and what it then weighs.

A light query at distance d has the weight 1 below .5, and max_boost - (max_boost - min_multiplier) * min(d, 1) from there on,
min_multiplier at least. It is kept with probability p = min(1, k * weight), k such that the probabilities sum up to balance_ratio
times the heavy queries, all of which are kept. Multiplying by a base rate and filling up at random would make nine tenths of the
sample uniform. 1 / p is stored as the weight, capped and scaled so that its expected mean is 1: metrics weighed by it speak of the
queries as they come. What does not belong here: days, files and the draw itself (`sampling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from platform_assets.query_predictor.documented_keys import BoundarySampling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Weights are counted in millionths.
UNIT = 1_000_000
# A probability as 13 hexadecimal digits: 52 bits, which a double holds exactly.
_DIGITS = 13
# Greater than every digit: p = 1 takes every hash.
_ALWAYS = "g"


@dataclass(frozen=True)
class Inclusion:
    """For each weight that occurs, in units: how likely a query of it is kept, and what it then weighs."""

    k: float
    target: float
    units: NDArray[np.int64]
    queries: NDArray[np.int64]
    probability: NDArray[np.float64]
    weight: NDArray[np.float64]
    heavy_weight: float

    @property
    def expected(self) -> float:
        """Expected number of light queries kept."""
        return float((self.queries * self.probability).sum())

    @property
    def deviation(self) -> float:
        """Standard deviation of that number."""
        return float((self.queries * self.probability * (1 - self.probability)).sum() ** 0.5)


def boundary_weight(distance: float, options: BoundarySampling) -> float:
    """The weight of a light query at a distance: the formula that the .sql files hold, for people and tests."""
    if distance < 0.5:
        return 1.0
    fall = options.max_boost - options.min_multiplier
    return max(options.min_multiplier, options.max_boost - fall * min(distance, 1.0))


def solve_k(units: NDArray[np.int64], queries: NDArray[np.int64], target: float) -> float:
    """k with sum(queries * min(1, k * units / UNIT)) = target; where the target is out of reach, the least that keeps all.

    The sum grows with k in straight pieces that end where a weight reaches 1: with the heaviest m weights at 1, k is
    (target - their queries) / the other queries' weights. Sums are of whole numbers, and therefore exact.
    """
    import numpy as np

    order = np.argsort(-units, kind="stable")
    units, queries = units[order], queries[order]
    total = int(queries.sum())
    if total == 0 or target >= total:
        return UNIT / int(units[-1]) if total else 0.0
    capped = np.concatenate([[0], np.cumsum(queries)])[:-1]
    rest = np.cumsum((queries * units)[::-1])[::-1]
    k = (target - capped) / rest * UNIT
    # The first m for which the next weight is not yet at 1.
    return float(k[int(np.argmax(k * units <= UNIT))])


def of(units: NDArray[np.int64], queries: NDArray[np.int64], heavy: int, options: BoundarySampling) -> Inclusion:
    """Probabilities and weights of the light queries, counted by weight, beside `heavy` heavy ones."""
    import numpy as np

    target = options.balance_ratio * heavy
    k = solve_k(units, queries, target)
    probability = np.minimum(1.0, k * (units / UNIT))
    if target >= queries.sum():
        probability = np.ones(len(units))
    inverse = np.minimum(1 / probability, options.weight_cap)
    # The mean over what is expected to be kept; heavy queries are kept for certain, and weigh 1 before scaling.
    scale = float((heavy + (queries * probability).sum()) / (heavy + (queries * probability * inverse).sum()))
    return Inclusion(k, target, units, queries, probability, inverse * scale, scale)


def hash_threshold(probability: float) -> str:
    """What a hash's digits must be below: a share `probability` of all hashes is."""
    number = ceil(probability * 16**_DIGITS)
    return _ALWAYS if number >= 16**_DIGITS else f"{number:0{_DIGITS}x}"
