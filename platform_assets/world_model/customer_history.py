"""What is known of customers, kept week by week as decayed sums, and the vectors that these sums stand for.

One pass over the weeks: a week is added, and before a block of weeks begins everybody's vector is read off. Items and visits
lose half of their weight in HALF_LIFE_WEEKS; a vector is made of means and shares, in which the sums' common scale cancels.
Counts are exact and sums run in the order of customers and products, so that threads and the order of rows change no bit.
What does not belong here: files, and who a customer is.

C customers in the order of their first weeks, numbered from 0; I items (a product in a basket, however many of it), B visits
(baskets), N products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALF_LIFE_WEEKS = 26.0
DECAY = 0.5 ** (1 / HALF_LIFE_WEEKS)
HOURS, WEEKDAYS = tuple(range(8, 23)), tuple(range(1, 8))
BASKET_TYPES = ("Small Shop", "Top Up", "Full Shop")
_SHARES = (
    *(f"hour_{hour}" for hour in HOURS),
    *(f"weekday_{day}" for day in WEEKDAYS),
    *(f"type_{name.lower().replace(' ', '_')}" for name in (*BASKET_TYPES, "other")),
)
# Of hours, of weekdays, of types: each group of shares sums up to 1.
SHARE_GROUPS = (slice(0, 15), slice(15, 22), slice(22, 26))
HABITS = (
    *_SHARES,
    "log_trips",
    "log_items",
    "log_mean_products",
    "log_mean_spend",
    "years_since_last",
    "years_since_first",
)
HISTORY_WIDTH, AFFINITY_WIDTH, WIDTH = 96, 32, 160
HISTORY, AFFINITY, HABIT = slice(0, 96), slice(96, 128), slice(128, 160)
# A category that hardly anybody buys has a share so small that one item would outweigh everything else that is known.
AFFINITY_LIMIT = 10.0
_YEAR_WEEKS = 52.0

Floats = NDArray[np.float64]
Ints = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Items:
    """A week's items of known customers: [I] customer, product (-1: one without a vector) and category."""

    customer: Ints
    product: Ints
    category: Ints


@dataclass(frozen=True)
class Visits:
    """A week's visits of known customers: [B] each; `kind` is the index of the basket's type, 3 of any other type."""

    customer: Ints
    hour: Ints
    weekday: Ints
    kind: Ints
    products: Floats
    items: Floats
    spend: Floats


class Histories:
    """The sums of all customers.

    `first_week` [C]: index of each one's first week, never falling. `vectors` [N, 96]: of products. `shares` [32]: of each
    category in what the population of the train weeks bought.
    """

    def __init__(self, first_week: Ints, vectors: Floats, shares: Floats) -> None:
        self._first_week, self._vectors, self._shares = first_week, vectors, shares
        customers = len(first_week)
        self._vector_sums = np.zeros((customers, HISTORY_WIDTH))
        self._vector_items = np.zeros(customers)
        self._categories = np.zeros((customers, AFFINITY_WIDTH))
        self._visits = np.zeros((customers, len(_SHARES)))
        self._products, self._spend = np.zeros(customers), np.zeros(customers)
        self._all_trips, self._all_items = np.zeros(customers), np.zeros(customers)
        self._last_week = np.full(customers, -1)

    def add_week(self, week: int, items: Items, visits: Visits) -> None:
        """Add a week, given by its index; weeks are added in order, those without rows too."""
        for sums in (
            self._vector_sums,
            self._vector_items,
            self._categories,
            self._visits,
            self._products,
            self._spend,
        ):
            sums *= DECAY
        self._add_items(items)
        self._add_visits(visits)
        self._last_week[visits.customer] = week

    def known(self, week: int) -> int:
        """How many customers, from the first on, came before a week."""
        return int(np.searchsorted(self._first_week, week))

    def seen_since(self, week: int) -> int:
        """How many customers came in a week or later."""
        return int((self._last_week >= week).sum())

    def vectors(self, week: int) -> Floats:
        """[known, 160] as of the beginning of a week, all weeks before which were added, and none after."""
        known = self.known(week)
        return np.hstack([self._history(known), self._affinity(known), self._habits(known, week)])

    def _add_items(self, items: Items) -> None:
        from scipy.sparse import csr_array

        has_vector = items.product >= 0
        where = (items.customer[has_vector], items.product[has_vector])
        bought = csr_array((np.ones(len(where[0])), where), shape=(len(self._first_week), len(self._vectors)))
        bought.sum_duplicates()
        self._vector_sums += bought @ self._vectors
        self._vector_items += self._per_customer(where[0])
        self._categories += self._table(items.customer, items.category, AFFINITY_WIDTH)

    def _add_visits(self, visits: Visits) -> None:
        columns = (
            np.clip(visits.hour, HOURS[0], HOURS[-1]) - HOURS[0],
            visits.weekday - WEEKDAYS[0],
            visits.kind,
        )
        for group, column in zip(SHARE_GROUPS, columns, strict=True):
            self._visits[:, group] += self._table(visits.customer, column, group.stop - group.start)
        self._products += self._per_customer(visits.customer, visits.products)
        self._spend += self._per_customer(visits.customer, visits.spend)
        self._all_trips += self._per_customer(visits.customer)
        self._all_items += self._per_customer(visits.customer, visits.items)

    def _per_customer(self, customer: Ints, weights: Floats | None = None) -> NDArray[Any]:
        return np.bincount(customer, weights, minlength=len(self._first_week))

    def _table(self, customer: Ints, column: Ints, width: int) -> NDArray[Any]:
        """[C, width] how often each customer occurs with each column."""
        cells = customer.astype(np.int64) * width + column
        return np.bincount(cells, minlength=len(self._first_week) * width).reshape(-1, width)

    def _history(self, known: int) -> Floats:
        items = self._vector_items[:known, None]
        return np.divide(self._vector_sums[:known], items, out=np.zeros((known, HISTORY_WIDTH)), where=items > 0)

    def _affinity(self, known: int) -> Floats:
        """Zero where the population bought nothing of a category: there is nothing to compare with."""
        bought = self._categories[:known]
        differs = bought / bought.sum(axis=1, keepdims=True) - self._shares
        scaled = np.divide(differs, np.sqrt(self._shares), out=np.zeros_like(differs), where=self._shares > 0)
        return np.clip(scaled, -AFFINITY_LIMIT, AFFINITY_LIMIT)

    def _habits(self, known: int, week: int) -> Floats:
        visits = self._visits[:known]
        trips = visits[:, SHARE_GROUPS[0]].sum(axis=1)
        # Returns can outweigh what was bought.
        spend = np.maximum(self._spend[:known] / trips, 0.0)
        rest = [
            np.log1p(self._all_trips[:known]),
            np.log1p(self._all_items[:known]),
            np.log1p(self._products[:known] / trips),
            np.log1p(spend),
            (week - self._last_week[:known]) / _YEAR_WEEKS,
            (week - self._first_week[:known]) / _YEAR_WEEKS,
        ]
        return np.column_stack([visits / trips[:, None], *rest])
