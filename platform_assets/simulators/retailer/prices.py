"""Prices: one per product and week for the whole chain, with promotions; and how a single line comes to differ from it.

Legend: W weeks, P products; prices in whole cents. What does not belong here: what prices do to demand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.products import Catalogue

# Promotions last three weeks; with this chance of a start, about one product in twenty is on one.
_START_CHANCE = 0.017
_DEPTHS = np.array([0.1, 0.2, 0.25, 0.33, 0.5])
_CHANGE_CHANCE = 1 / 26
OFF_SHARE = 0.094
# Percent of the chain's price: marked down at closing time, or a store that is cheaper or dearer.
OFF_PERCENT = np.array([50, 75, 90, 93, 107, 110, 120, 150])


@dataclass(frozen=True)
class Prices:
    """(W, P): `base_cents` without and `cents` with promotions; a promotion is where the second is below the first."""

    base_cents: np.ndarray
    cents: np.ndarray

    def log_discount(self, position: int) -> np.ndarray:
        """(P,) log(price / base price) of a week, 0 without a promotion."""
        return np.log(self.cents[position] / self.base_cents[position])


def draw_prices(rng: np.random.Generator, catalogue: Catalogue, weeks: int) -> Prices:
    """Base prices rise in steps; promotions lower them for three weeks."""
    shape = (weeks, len(catalogue))
    steps = np.where(rng.random(shape, np.float32) < _CHANGE_CHANCE, np.float32(1.02), np.float32(1))
    base = np.maximum(np.rint(catalogue.base_cents * np.cumprod(steps, axis=0)), 1).astype(np.int32)
    starts = rng.random(shape, np.float32) < _START_CHANCE
    begun = np.where(starts, rng.choice(_DEPTHS, shape), 0.0)
    depth = begun.copy()
    for later in (1, 2):
        depth[later:] = np.maximum(depth[later:], begun[:-later])
    return Prices(base, np.maximum(np.rint(base * (1 - depth)), 1).astype(np.int32))


def line_cents(chain: np.ndarray, draw: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Unit prices of lines: the chain's, except where `draw` (uint16) falls into OFF_SHARE; `factor` is a byte."""
    off = np.flatnonzero(draw < OFF_SHARE * 65_536)
    cents = chain.copy()
    cents[off] = np.maximum(cents[off] * OFF_PERCENT[factor[off] & 7] // 100, 1)
    return cents
