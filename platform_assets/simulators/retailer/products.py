"""Products: their place in the category tree, popularity, season, price tier and complements.

Legend: P products; 250 / 90 / 31 / 9 categories from finest to coarsest, each inside exactly one of the next level.
What does not belong here: prices of a week (prices), and what a mission likes (demand).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.slots import apportion

LEAVES, DEPARTMENTS, GROUPS, AREAS = 250, 90, 31, 9
FRESH, GROCERY, NONFOOD, SERVICE = range(4)
# Per area: groups, share of the products, share of the lines, kind. Services are newspapers, fuel and the like: an
# item of one is a trip of its own.
_AREA_GROUPS = np.array([3, 6, 7, 4, 3, 2, 1, 3, 2])
_AREA_PRODUCTS = np.array([0.075, 0.36, 0.355, 0.03, 0.14, 0.003, 0.001, 0.032, 0.004])
_AREA_LINES = np.array([0.09, 0.5, 0.275, 0.0075, 0.105, 0.0006, 0.0002, 0.018, 0.003])
AREA_KINDS = np.array([FRESH, FRESH, GROCERY, NONFOOD, NONFOOD, SERVICE, NONFOOD, GROCERY, GROCERY])
CHEAP, MIDDLE, DEAR = range(3)
NO_TIER = -1
_UNTIERED_AREAS = (5, 6, 8)
SEASONAL_SHARE = 0.3
GROUPED_SHARE = 0.4
GROUP_SIZE = 4
WEEKS_PER_YEAR = 365.25 / 7


@dataclass(frozen=True)
class Catalogue:
    """P products. `partners` (P, GROUP_SIZE - 1) are a product's complements, itself where it has none."""

    leaf: np.ndarray
    department: np.ndarray
    group: np.ndarray
    area: np.ndarray
    popularity: np.ndarray
    base_cents: np.ndarray
    tier: np.ndarray
    partners: np.ndarray
    season_swing: np.ndarray
    season_peak: np.ndarray
    """Week of the year, from the calendar's first, in which a seasonal product sells most; swing 0: no season."""

    def __len__(self) -> int:
        return len(self.leaf)

    @property
    def kind(self) -> np.ndarray:
        """(P,) FRESH, GROCERY, NONFOOD or SERVICE."""
        return AREA_KINDS[self.area]

    def season(self, position: int) -> np.ndarray:
        """(P,) log odds that the season adds in the week at this position of the calendar."""
        return self.season_swing * np.cos(2 * np.pi * (position - self.season_peak) / WEEKS_PER_YEAR)

    @property
    def codes(self) -> list[str]:
        """PROD_CODE by number."""
        return [f"PRD{900_000 + number:07d}" for number in range(len(self))]


def draw_catalogue(rng: np.random.Generator, count: int, seasons: float) -> Catalogue:
    """`count` products; numbers say nothing about categories. `seasons` scales the seasonal swing."""
    leaf, tree = _draw_leaves(rng, count)
    department, group, area = (level[leaf] for level in tree)
    popularity = _draw_popularity(rng, area)
    base_cents = _draw_base_prices(rng, leaf)
    seasonal = rng.random(count) < SEASONAL_SHARE
    return Catalogue(
        leaf, department, group, area, popularity, base_cents,
        tier=_tier(leaf, area, base_cents),
        partners=_draw_partners(rng, popularity),
        season_swing=np.where(seasonal, rng.uniform(0.6, 1.2, count), 0.0) * seasons,
        season_peak=rng.uniform(0, WEEKS_PER_YEAR, count),
    )  # fmt: skip


def _draw_leaves(rng: np.random.Generator, count: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """(P,) finest category of each product, and for each of them its category on the three coarser levels."""
    departments = apportion(DEPARTMENTS, _AREA_PRODUCTS, _AREA_GROUPS)
    leaves = apportion(LEAVES, _AREA_PRODUCTS, departments)
    department, group, area = [], [], []
    for number in range(AREAS):
        below = np.arange(leaves[number]) * departments[number] // leaves[number]
        department.append(below + departments[:number].sum())
        group.append(below * _AREA_GROUPS[number] // departments[number] + _AREA_GROUPS[:number].sum())
        area.append(np.full(leaves[number], number))
    tree = tuple(np.concatenate(level).astype(np.int16) for level in (department, group, area))
    weights = (_AREA_PRODUCTS / leaves)[tree[2]] * rng.lognormal(0, 0.6, LEAVES)
    leaf = np.repeat(np.arange(LEAVES, dtype=np.int16), apportion(count, weights, 1))
    return rng.permutation(leaf), tree


def _draw_popularity(rng: np.random.Generator, area: np.ndarray) -> np.ndarray:
    """(P,) shares of lines: a power law over products, scaled so that every area sells its share."""
    popularity = (rng.permutation(len(area)) + 0.7) ** -0.8
    popularity *= (_AREA_LINES / np.bincount(area, popularity, AREAS))[area]
    return popularity / popularity.sum()


def _draw_base_prices(rng: np.random.Generator, leaf: np.ndarray) -> np.ndarray:
    """(P,) cents: products of one category cost about the same."""
    level = rng.normal(np.log(115), 0.5, LEAVES)[leaf]
    return np.maximum(np.exp(level + rng.normal(0, 0.4, len(leaf))), 8.0)


def _tier(leaf: np.ndarray, area: np.ndarray, cents: np.ndarray) -> np.ndarray:
    """(P,) CHEAP, MIDDLE or DEAR: a product's rank by base price inside its finest category; services have none."""
    order = np.lexsort((cents, leaf))
    sizes = np.bincount(leaf, minlength=LEAVES)
    rank = np.empty(len(leaf))
    rank[order] = np.arange(len(leaf)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = (rank + 0.5) / sizes[leaf]
    tier = np.where(place < 0.18, CHEAP, np.where(place > 0.8, DEAR, MIDDLE))
    return np.where(np.isin(area, _UNTIERED_AREAS), NO_TIER, tier).astype(np.int8)


def _draw_partners(rng: np.random.Generator, popularity: np.ndarray) -> np.ndarray:
    """(P, GROUP_SIZE - 1): groups of products from anywhere in the tree, popular ones more often than others."""
    count = len(popularity)
    luck = np.log(popularity) * 0.5 + rng.gumbel(size=count)
    members = int(count * GROUPED_SHARE) // GROUP_SIZE * GROUP_SIZE
    groups = rng.permutation(np.argsort(-luck)[:members]).reshape(-1, GROUP_SIZE)
    partners = np.repeat(np.arange(count, dtype=np.uint16)[:, None], GROUP_SIZE - 1, axis=1)
    for place in range(GROUP_SIZE):
        partners[groups[:, place]] = np.delete(groups, place, axis=1)
    return partners
