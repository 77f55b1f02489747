"""Planting bad input: which rows break the schema's rules, which carry codes that are nowhere else, and the record of it.

Missing weeks are planted by writing no file. What does not belong here: what a pipeline should do about any of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from platform_assets.simulators.retailer.rows import Rows, Schema
from platform_assets.simulators.retailer.world import World

UNKNOWN_PRODUCT, UNKNOWN_STORE = "unknown_product", "unknown_store"
UNREADABLE_SPEND = "unreadable_spend"
IMPOSSIBLE_HOUR = 25
NULL_CODE = -1
_STREAM = 1_000
PLANTED_SCHEMA = pa.schema(
    [
        ("shop_week", pa.int32()),
        ("basket_id", pa.int64()),
        ("prod_code", pa.string()),
        ("store_code", pa.string()),
        ("reason", pa.string()),
    ]
)


def _lose_product(rows: Rows, at: np.ndarray) -> None:
    rows.product[at] = NULL_CODE


def _lose_store(rows: Rows, at: np.ndarray) -> None:
    rows.store[at] = NULL_CODE


def _set_hour(rows: Rows, at: np.ndarray) -> None:
    rows.hour[at] = IMPOSSIBLE_HOUR


def _negate_quantity(rows: Rows, at: np.ndarray) -> None:
    rows.quantity[at] = -rows.quantity[at]


def _move_date(rows: Rows, at: np.ndarray) -> None:
    rows.date[at] = rows.week.dates_after[rows.day[at]]


def _garble_spend(rows: Rows, at: np.ndarray) -> None:
    rows.unreadable_spend = at


# In this order, in turn. Only text can hold a SPEND that is no number, so that Parquet goes without the last.
BAD_ROWS: dict[str, Callable[[Rows, np.ndarray], None]] = {
    "missing_product": _lose_product,
    "missing_store": _lose_store,
    "hour_out_of_range": _set_hour,
    "negative_quantity": _negate_quantity,
    "date_outside_week": _move_date,
    UNREADABLE_SPEND: _garble_spend,
}


@dataclass(frozen=True)
class FaultPlan:
    """Sorted positions among all written rows, and what is planted at each.

    `code` is the number of an unknown code, or -1 for a bad row, whose `reason` is then a place in `reasons`.
    """

    schema: Schema
    positions: np.ndarray
    code: np.ndarray
    reason: np.ndarray
    reasons: list[str]

    def plant(self, rows: Rows, first: int) -> pa.Table:
        """Change rows in place, the first of which is at position `first` of all; returns one record per changed row."""
        low, high = np.searchsorted(self.positions, [first, first + len(rows)])
        at, code, reason = self.positions[low:high] - first, self.code[low:high], self.reason[low:high]
        planted = self._plant_codes(rows, at[code >= 0], code[code >= 0])
        for number, name in enumerate(self.reasons):
            chosen = at[(code < 0) & (reason == number)]
            BAD_ROWS[name](rows, chosen)
            planted.append((chosen, name))
        return pa.concat_tables([self._record(rows, changed, name) for changed, name in planted])

    def _plant_codes(self, rows: Rows, at: np.ndarray, code: np.ndarray) -> list[tuple[np.ndarray, str]]:
        """Odd numbers become stores of whole baskets, a basket taking one at most; all others products of one row."""
        basket = np.searchsorted(rows.starts, at, side="right") - 1
        odd = np.flatnonzero(code % 2 == 1)
        stores = odd[np.unique(basket[odd], return_index=True)[1]]
        products = np.setdiff1d(np.arange(len(at)), stores)
        rows.product[at[products]] = self.schema.known_products + code[products]
        planted = [(at[products], UNKNOWN_PRODUCT)]
        ends = np.append(rows.starts[1:], len(rows))
        for place in stores:
            lines = np.arange(int(rows.starts[basket[place]]), int(ends[basket[place]]))
            rows.store[lines] = self.schema.known_stores + code[place]
            planted.append((lines, UNKNOWN_STORE))
        return planted

    def _record(self, rows: Rows, at: np.ndarray, reason: str) -> pa.Table:
        columns = [
            pa.array(np.full(len(at), rows.week.name, np.int32)),
            pa.array(rows.basket[at]),
            self.schema.product_codes.take(pa.array(rows.product[at], mask=rows.product[at] < 0)),
            self.schema.store_codes.take(pa.array(rows.store[at], mask=rows.store[at] < 0)),
            pa.repeat(reason, len(at)),
        ]
        return pa.table(columns, schema=PLANTED_SCHEMA)


def plan_faults(world: World, schema: Schema, text: bool) -> FaultPlan:
    """Where the scenario's faults go; `text` says whether the files can hold a number that is none."""
    scenario = world.scenario
    written = sum(int(world.rows_of_week[week.position]) for week in world.written_weeks)
    count = min(scenario.unknown_codes + scenario.bad_rows, written)
    positions = np.random.default_rng([scenario.seed, _STREAM]).choice(written, count, replace=False)
    order, number = np.argsort(positions), np.arange(count)
    code = np.where(number < scenario.unknown_codes, number, -1)
    reasons = [name for name in BAD_ROWS if text or name != UNREADABLE_SPEND]
    return FaultPlan(schema, positions[order], code[order], (number % len(reasons))[order], reasons)
