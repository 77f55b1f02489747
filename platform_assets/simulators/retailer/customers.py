"""Customers: price class, preferred mission, stores, favourites, how often they shop, and when they come and go.

Legend: C customers, M missions, F favourites per mission. What does not belong here: a single basket (baskets).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.demand import CLASS_SHARES, CLASSES, MISSIONS
from platform_assets.simulators.retailer.scenario import Scenario
from platform_assets.simulators.retailer.slots import PRODUCT_SLOT_BITS, PRODUCT_SLOTS, slot_table
from platform_assets.simulators.retailer.stores import Stores

FAVOURITES = 12
MISSION_PREFERENCE = np.array([0.4, 0.2, 0.2, 0.05, 0.15, 0.0])
# Two segment codes, stated by the retailer: rough hints of the price class and of the preferred mission.
SEGMENTS_1 = ("AA", "BB", "CC", "DD")
SEGMENTS_2 = ("EE", "FF", "GG", "HH", "II", "JJ")
SENSITIVITIES = ("LA", "MM", "UM", "XX")
LIFESTAGES = ("OA", "OF", "OT", "PE", "YA", "YF")
_SEGMENT_HONESTY = 0.7
_NO_SEGMENT_2 = 0.1
_FIRST_CODE = 1_000


@dataclass(frozen=True)
class Customers:
    """C customers; `favourites` (C, M, F) product numbers; present in weeks [first_week, last_week] of the calendar."""

    price_class: np.ndarray
    mission: np.ndarray
    trips: np.ndarray
    home: np.ndarray
    second: np.ndarray
    first_week: np.ndarray
    last_week: np.ndarray
    favourites: np.ndarray
    segment_1: np.ndarray
    segment_2: np.ndarray

    def __len__(self) -> int:
        return len(self.price_class)

    @property
    def codes(self) -> list[str]:
        """CUST_CODE by number."""
        return [f"CUST{number:010d}" for number in range(_FIRST_CODE, _FIRST_CODE + len(self))]

    def table_of_week(self, position: int, offset: float) -> np.ndarray:
        """Slot table over the customers who shop in this week, by how often they do."""
        present = (self.first_week <= position) & (position <= self.last_week)
        slots = 1 << max(12, (8 * len(self) - 1).bit_length())
        # Where everybody has gone, everybody is back: a week has as many known baskets as it was asked to have.
        return slot_table(self.trips * present if present.any() else self.trips, slots, offset)


def draw_customers(rng: np.random.Generator, scenario: Scenario, stores: Stores, tables: np.ndarray) -> Customers:
    """All known customers; `tables` are the demand's everyday slot tables."""
    count = scenario.customer_count
    price_class = rng.choice(len(CLASSES), count, p=CLASS_SHARES).astype(np.int8)
    mission = rng.choice(len(MISSIONS), count, p=MISSION_PREFERENCE).astype(np.int8)
    by_traffic = slot_table(stores.traffic, 1 << 16)
    home, second = (by_traffic[rng.integers(0, 1 << 16, count)] for _ in range(2))
    first_week, last_week = _draw_stay(rng, count, scenario)
    segment_2 = _hint(rng, mission, len(SEGMENTS_2))
    return Customers(
        price_class, mission, rng.gamma(0.7, 1.0, count) + 0.01, home, second, first_week, last_week,
        favourites=_draw_favourites(rng, price_class, tables),
        segment_1=_hint(rng, price_class, len(SEGMENTS_1)),
        segment_2=np.where(rng.random(count) < _NO_SEGMENT_2, -1, segment_2).astype(np.int8),
    )  # fmt: skip


def _draw_stay(rng: np.random.Generator, count: int, scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """First and last week of each: half of those who churn come late, the other half leave early."""
    fate, moment = rng.random(count), rng.integers(0, scenario.weeks, count)
    late, early = fate < scenario.structure.churn / 2, fate >= 1 - scenario.structure.churn / 2
    return np.where(late, moment, 0), np.where(early, moment, scenario.weeks - 1)


def _draw_favourites(rng: np.random.Generator, price_class: np.ndarray, tables: np.ndarray) -> np.ndarray:
    shape = (len(price_class), len(MISSIONS), FAVOURITES)
    table = price_class.astype(np.int32)[:, None] * len(MISSIONS) + np.arange(len(MISSIONS), dtype=np.int32)
    return tables[(table << PRODUCT_SLOT_BITS)[:, :, None] | rng.integers(0, PRODUCT_SLOTS, shape, np.int32)]


def _hint(rng: np.random.Generator, truth: np.ndarray, codes: int) -> np.ndarray:
    """The true number in most cases, any code otherwise."""
    honest = rng.random(len(truth)) < _SEGMENT_HONESTY
    return np.where(honest, truth, rng.integers(0, codes, len(truth))).astype(np.int8)
