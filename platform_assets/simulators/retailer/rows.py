"""From blocks to rows: baskets repeated over their lines, numbers turned into the codes of the raw schema.

Legend: L rows; a code below 0 is null. What does not belong here: files (writer) and what is planted (faults).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from platform_assets.simulators.retailer import attributes, customers, stores
from platform_assets.simulators.retailer.shop_weeks import ShopWeek
from platform_assets.simulators.retailer.world import Block, World

SEGMENT_COLUMNS = {"current": ("seg_1", "seg_2"), "older": ("CUST_PRICE_SENSITIVITY", "CUST_LIFESTAGE")}
_SEGMENT_CODES = {
    "current": (customers.SEGMENTS_1, customers.SEGMENTS_2),
    "older": (customers.SENSITIVITIES, customers.LIFESTAGES),
}
_SUNDAY_FIRST = np.array([2, 3, 4, 5, 6, 7, 1], np.int32)


@dataclass
class Rows:
    """L rows of one week as numbers, which faults may change in place; `starts` is where each basket begins."""

    week: ShopWeek
    starts: np.ndarray
    day: np.ndarray
    date: np.ndarray
    hour: np.ndarray
    quantity: np.ndarray
    cents: np.ndarray
    product: np.ndarray
    original_product: np.ndarray
    customer: np.ndarray
    basket: np.ndarray
    size: np.ndarray
    sensitivity: np.ndarray
    type: np.ndarray
    focus: np.ndarray
    store: np.ndarray
    original_store: np.ndarray
    unreadable_spend: np.ndarray
    """Positions of rows whose SPEND is no number; only text can hold them."""

    def __len__(self) -> int:
        return len(self.product)


def expand(week: ShopWeek, blocks: Sequence[Block]) -> Rows:
    """One row per line of these blocks, in their order."""
    sizes = np.concatenate([block.baskets.size for block in blocks])

    def over_lines(parts: list[np.ndarray], dtype: type) -> np.ndarray:
        return np.repeat(np.concatenate(parts).astype(dtype), sizes)

    day = over_lines([block.baskets.day for block in blocks], np.int8)
    product = np.concatenate([block.lines.product for block in blocks])
    store = over_lines([block.baskets.store for block in blocks], np.int16)
    return Rows(
        week,
        starts=np.cumsum(sizes) - sizes,
        day=day,
        date=week.dates[day],
        hour=over_lines([block.baskets.hour for block in blocks], np.int32),
        quantity=np.concatenate([block.lines.quantity for block in blocks]),
        cents=np.concatenate([block.lines.cents for block in blocks]),
        product=product.astype(np.int32),
        original_product=product,
        customer=over_lines([block.baskets.customer for block in blocks], np.int32),
        basket=over_lines([block.baskets.number for block in blocks], np.int64),
        size=over_lines([block.attributes.size for block in blocks], np.int8),
        sensitivity=over_lines([block.attributes.sensitivity for block in blocks], np.int8),
        type=over_lines([block.attributes.type for block in blocks], np.int8),
        focus=over_lines([block.attributes.focus for block in blocks], np.int8),
        store=store.astype(np.int32),
        original_store=store,
        unreadable_spend=np.empty(0, np.int64),
    )


class Schema:
    """The raw schema of a world: codes by number, prepared once, and the table that rows make with them."""

    def __init__(self, world: World) -> None:
        self._world = world
        scenario, catalogue = world.scenario, world.catalogue
        self.known_products, self.known_stores = len(catalogue), len(world.stores)
        # A code that occurs nowhere else: whichever of the two a planted number becomes, it is a code of its own.
        extra = range(scenario.unknown_codes)
        self.product_codes = pa.array(catalogue.codes + [f"PRD{9_900_000 + number:07d}" for number in extra])
        self.store_codes = pa.array(world.stores.codes + [f"STORE{90_000 + number:05d}" for number in extra])
        self._customer_codes = pa.array(world.customers.codes)
        self._levels = [
            (catalogue.leaf, _numbered("CL", 250)),
            (catalogue.department, _numbered("DEP", 90)),
            (catalogue.group, _numbered("G", 31)),
            (catalogue.area, _numbered("D", 9)),
        ]

    def table(self, rows: Rows) -> pa.Table:
        """The rows under the schema's column names, codes as dictionary-encoded strings, SPEND as a number."""
        columns: dict[str, pa.Array] = self._time(rows)
        columns["QUANTITY"] = pa.array(rows.quantity)
        columns["SPEND"] = pa.array(rows.cents / 100)
        columns["PROD_CODE"] = _coded(rows.product, self.product_codes)
        for level, (category, codes) in zip((10, 20, 30, 40), self._levels, strict=True):
            columns[f"PROD_CODE_{level}"] = _coded(category[rows.original_product], codes)
        columns |= self._customer(rows)
        columns["BASKET_ID"] = pa.array(rows.basket)
        columns["BASKET_SIZE"] = _coded(rows.size, pa.array(attributes.SIZES))
        columns["BASKET_PRICE_SENSITIVITY"] = _coded(rows.sensitivity, pa.array(attributes.SENSITIVITIES))
        columns["BASKET_TYPE"] = _coded(rows.type, pa.array(attributes.TYPES))
        columns["BASKET_DOMINANT_MISSION"] = _coded(rows.focus, pa.array(attributes.FOCUSES))
        return pa.table(columns | self._store(rows))

    def _time(self, rows: Rows) -> dict[str, pa.Array]:
        return {
            "SHOP_WEEK": pa.array(np.full(len(rows), rows.week.name, np.int32)),
            "SHOP_DATE": pa.array(rows.date),
            "SHOP_WEEKDAY": pa.array(_SUNDAY_FIRST[rows.day]),
            "SHOP_HOUR": pa.array(rows.hour),
        }

    def _customer(self, rows: Rows) -> dict[str, pa.Array]:
        """Only the customers who occur are in the dictionary: a row group would carry all of them otherwise."""
        people, release = self._world.customers, self._world.scenario.release
        occurring = np.zeros(len(people) + 1, bool)
        occurring[rows.customer[rows.starts]] = True
        occurring[-1] = False
        place = np.cumsum(occurring, dtype=np.int32) - 1
        place[-1] = -1
        columns = {
            "CUST_CODE": _coded(place[rows.customer], self._customer_codes.take(pa.array(np.flatnonzero(occurring))))
        }
        stated = zip(
            SEGMENT_COLUMNS[release], (people.segment_1, people.segment_2), _SEGMENT_CODES[release], strict=True
        )
        for name, segment, codes in stated:
            columns[name] = _coded(np.append(segment, np.int8(-1))[rows.customer], pa.array(codes))
        return columns

    def _store(self, rows: Rows) -> dict[str, pa.Array]:
        network = self._world.stores
        return {
            "STORE_CODE": _coded(rows.store, self.store_codes),
            "STORE_FORMAT": _coded(network.format[rows.original_store], pa.array(stores.FORMATS)),
            "STORE_REGION": _coded(network.region[rows.original_store], pa.array(stores.REGIONS)),
        }


def _coded(numbers: np.ndarray, codes: pa.Array) -> pa.DictionaryArray:
    """Strings by number; numbers below 0 are null."""
    null = numbers < 0
    indices = pa.array(numbers, mask=null) if null.any() else pa.array(numbers)
    return pa.DictionaryArray.from_arrays(indices, codes, safe=False)


def _numbered(prefix: str, count: int) -> pa.Array:
    return pa.array([f"{prefix}{number:05d}" for number in range(1, count + 1)])
