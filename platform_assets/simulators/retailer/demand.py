"""Demand: what a basket of a mission and a price class buys in a week, as slot tables.

A product's weight is popularity x mission's liking x season x response to the week's promotions x the class's taste for
its price tier. Legend: P products, M missions, K price classes; table number = class * M + mission.
What does not belong here: favourites, complements and local ranges, which lines take instead of these tables.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.prices import Prices
from platform_assets.simulators.retailer.products import DEAR, GROUPS, NO_TIER, Catalogue
from platform_assets.simulators.retailer.scenario import Structure
from platform_assets.simulators.retailer.slots import PRODUCT_SLOTS, slot_tables

MISSIONS = ("fresh", "cupboard", "trolley", "household", "occasion", "errand")
CLASSES = ("LA", "MM", "UM")
CLASS_SHARES = np.array([0.29, 0.38, 0.33])
# Log odds per kind of product: fresh, grocery, nonfood, service.
_LIKING = np.array(
    [
        [1.0, -1.2, -1.3, -3.0],
        [-1.7, 1.5, -1.1, -3.0],
        [-0.3, 0.4, 0.3, -3.0],
        [-2.6, -1.6, 3.0, -2.0],
        [0.1, 0.1, 0.1, -3.0],
        [-9.0, -9.0, -9.0, 9.0],
    ]
)
_GROUP_SPREAD = np.array([0.5, 0.5, 0.4, 0.5, 1.2, 0.0])
_CLASS_ELASTICITY = np.array([0.8, 0.0, -0.8])
_CLASS_TILT = np.array([-0.9, 0.0, 0.9])


@dataclass(frozen=True)
class Demand:
    """`standing` (K * M, P): log odds that no week changes."""

    catalogue: Catalogue
    prices: Prices
    standing: np.ndarray
    elasticity: np.ndarray

    def everyday_tables(self) -> np.ndarray:
        """Flat slot tables without season and promotions: favourites are drawn from them."""
        return slot_tables(np.exp(self.standing), PRODUCT_SLOTS)

    def week_tables(self, position: int, offset: float) -> np.ndarray:
        """Flat slot tables of a week, uint16 (K * M * PRODUCT_SLOTS); `offset` is the rounding's, in [0, 1)."""
        response = -self.elasticity[:, None] * self.prices.log_discount(position)
        weekly = self.catalogue.season(position) + response
        odds = np.exp(self.standing + np.repeat(weekly, len(MISSIONS), axis=0))
        return slot_tables(odds, PRODUCT_SLOTS, offset)


def draw_demand(rng: np.random.Generator, catalogue: Catalogue, prices: Prices, structure: Structure) -> Demand:
    """Missions' likings differ by kind of product and by group; classes' by price tier."""
    spread = rng.normal(0, 1, (len(MISSIONS), GROUPS)) * _GROUP_SPREAD[:, None]
    liking = (_LIKING[:, catalogue.kind] + spread[:, catalogue.group]) * structure.missions
    tilt = _CLASS_TILT[:, None] * _tier_steps(catalogue) * structure.price_sensitivity
    standing = np.log(catalogue.popularity) + liking[None] + tilt[:, None, :]
    elasticity = structure.price_response * (1 + np.clip(structure.price_sensitivity, 0, 1.25) * _CLASS_ELASTICITY)
    return Demand(catalogue, prices, standing.reshape(-1, len(catalogue)), elasticity)


def _tier_steps(catalogue: Catalogue) -> np.ndarray:
    """(P,) -1 for cheap, 0 for middle or none, 1 for dear."""
    return np.where(catalogue.tier == NO_TIER, 0, catalogue.tier - DEAR / 2)
