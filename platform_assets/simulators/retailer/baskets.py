"""Baskets: how many lines, whose, where, when, and on what mission.

Legend: B baskets of one block. What does not belong here: what is in them (lines), and what a retailer says about them
(attributes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.customers import Customers
from platform_assets.simulators.retailer.demand import CLASS_SHARES, MISSIONS
from platform_assets.simulators.retailer.slots import slot_table, slot_tables
from platform_assets.simulators.retailer.stores import Stores

ANONYMOUS = -1
LARGEST = 87
# A Weibull law rounded up: a fifth of the baskets hold one line, the median is 4, the mean 6.4, the 99th percentile 30.
_SIZE_SHAPE, _SIZE_SCALE = 0.9, 5.6
_SIZE_BOUNDS = np.array([2, 5, 13])
# Per size class (1, 2-4, 5-12, 13 and more): odds of each mission.
_MISSION_ODDS = np.array(
    [
        [0.47, 0.28, 0.02, 0.11, 0.07, 0.05],
        [0.52, 0.25, 0.05, 0.06, 0.12, 0.00],
        [0.52, 0.18, 0.15, 0.02, 0.13, 0.00],
        [0.42, 0.08, 0.40, 0.00, 0.10, 0.00],
    ]
)
_PREFERRED_SHARE = 0.25
_HOURS = np.arange(8, 23)
_HOUR_ODDS = np.array([60, 44, 54, 70, 78, 86, 90, 87, 85, 78, 68, 58, 49, 55, 12])
_HOME_SHARE, _SECOND_SHARE = 0.8, 0.15
_BITS = 12
_HOUR_TABLE = slot_table(_HOUR_ODDS, 1 << _BITS)
_MISSION_TABLES = slot_tables(_MISSION_ODDS, 1 << _BITS).astype(np.int8)
_CLASS_TABLE = slot_table(CLASS_SHARES, 1 << _BITS).astype(np.int8)


@dataclass(frozen=True)
class Baskets:
    """B baskets; `customer` is ANONYMOUS or a number; `day` counts from Monday; `number` is BASKET_ID."""

    number: np.ndarray
    size: np.ndarray
    customer: np.ndarray
    store: np.ndarray
    mission: np.ndarray
    price_class: np.ndarray
    day: np.ndarray
    hour: np.ndarray

    def __len__(self) -> int:
        return len(self.size)

    @property
    def table(self) -> np.ndarray:
        """(B,) number of the demand table that a basket draws from."""
        return self.price_class.astype(np.int32) * len(MISSIONS) + self.mission

    @property
    def starts(self) -> np.ndarray:
        """(B,) position of each basket's first line."""
        return np.cumsum(self.size) - self.size


@dataclass(frozen=True)
class Shoppers:
    """Who shops in one week: slot tables over customers and stores."""

    customers: Customers
    stores: Stores
    customer_table: np.ndarray
    store_table: np.ndarray
    anonymous_share: float


def draw_baskets(rng: np.random.Generator, shoppers: Shoppers, lines: int, first_number: int) -> Baskets:
    """Baskets with `lines` lines in all: the last one is cut short where it would overrun."""
    customer, store, size = _draw_trips(rng, shoppers, lines)
    count, customers = len(size), shoppers.customers
    known = customer != ANONYMOUS
    own_class, own_mission = customers.price_class[customer], customers.mission[customer]
    return Baskets(
        number=_scramble(first_number + np.arange(count)),
        size=size,
        customer=customer,
        store=store,
        mission=_draw_mission(rng, size, np.where(known, own_mission, ANONYMOUS)),
        price_class=np.where(known, own_class, _CLASS_TABLE[rng.integers(0, 1 << _BITS, count, np.uint16)]),
        day=rng.integers(0, 7, count, np.uint8),
        hour=_HOURS[_HOUR_TABLE[rng.integers(0, 1 << _BITS, count, np.uint16)]],
    )


def _draw_trips(rng: np.random.Generator, shoppers: Shoppers, lines: int) -> tuple[np.ndarray, ...]:
    """Customer, store and size of as many baskets as `lines` lines fill."""
    parts, missing = [], lines
    while missing > 0:
        count = missing // 6 + 64
        customer = shoppers.customer_table[rng.integers(0, len(shoppers.customer_table), count)].astype(np.int32)
        customer[rng.random(count, np.float32) < shoppers.anonymous_share] = ANONYMOUS
        store = _draw_store(rng, shoppers, customer)
        scale = _SIZE_SCALE * shoppers.stores.basket_factor[shoppers.stores.format[store]]
        size = np.minimum(np.ceil(rng.weibull(_SIZE_SHAPE, count) * scale), LARGEST).astype(np.int32)
        parts.append((customer, store, np.maximum(size, 1)))
        missing -= int(parts[-1][2].sum())
    customer, store, size = (np.concatenate(column) for column in zip(*parts, strict=True))
    ends = np.cumsum(size)
    count = int(np.searchsorted(ends, lines)) + 1
    size[count - 1] -= ends[count - 1] - lines
    return customer[:count], store[:count], size[:count]


def _draw_store(rng: np.random.Generator, shoppers: Shoppers, customer: np.ndarray) -> np.ndarray:
    """The home store mostly, the second one sometimes, any store otherwise and for the anonymous."""
    choice = rng.random(len(customer), np.float32) + (customer == ANONYMOUS)
    customers = shoppers.customers
    store = shoppers.store_table[rng.integers(0, len(shoppers.store_table), len(customer))].astype(np.int16)
    store = np.where(choice < _HOME_SHARE + _SECOND_SHARE, customers.second[customer], store)
    return np.where(choice < _HOME_SHARE, customers.home[customer], store)


def _draw_mission(rng: np.random.Generator, size: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """By size, and for some baskets what the customer prefers; an errand stays one."""
    size_class = np.searchsorted(_SIZE_BOUNDS, size, side="right").astype(np.int32)
    mission = _MISSION_TABLES[(size_class << _BITS) | rng.integers(0, 1 << _BITS, len(size), np.int32)]
    as_preferred = (rng.random(len(size), np.float32) < _PREFERRED_SHARE) & (preferred >= 0)
    return np.where(as_preferred & (mission != MISSIONS.index("errand")), preferred, mission)


def _scramble(numbers: np.ndarray) -> np.ndarray:
    """BASKET_IDs: an odd factor modulo a power of two maps 38 bits one to one, and keeps no order of time."""
    bits = (numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) & np.uint64((1 << 38) - 1)
    return bits.astype(np.int64) + 994_100_100_000_000
