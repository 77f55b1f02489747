"""What to simulate: size, seed, release of the schema, how strong each planted effect is, and what bad input is planted.

What does not belong here: how anything is drawn. The same scenario always gives the same rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

RELEASES = ("current", "older")
FORMATS = ("parquet", "csv")
FULL_CUSTOMERS = 99_999
FEWEST_CUSTOMERS = 50
# About 125 baskets a customer over the calendar, so that a small world still has histories to learn from.
ROWS_PER_CUSTOMER = 1_000
# Every one of the 250 finest categories holds a product, and a product's number fits 16 bits beside a basket's.
FEWEST_PRODUCTS, MOST_PRODUCTS = 250, 32_000
# Ten bits of a basket's number are its week.
MOST_WEEKS = 1_000
# Twelve bits are its block of 65,536 rows, in the busiest week too.
MOST_ROWS_PER_WEEK = 50_000_000
MOST_STORES = 9_999
MOST_CUSTOMERS = 5_000_000


class SimulatorError(RuntimeError):
    """The scenario or the folder does not allow what was asked; the message names the remedy."""


@dataclass(frozen=True)
class Structure:
    """How strong each planted effect is. At 0 an effect is absent from the rows."""

    missions: float = 1.0
    """Exponent of a mission's taste for product groups: 1 as designed, 0 makes all missions buy the same mix."""
    loyalty: float = 0.5
    """Share of a known customer's lines drawn from its own favourites of the basket's mission."""
    co_purchase: float = 0.1
    """Share of lines that become a complement of the line before them, where that product has any."""
    price_response: float = 2.0
    """Elasticity: a product's odds are multiplied by (price / base price) ** -price_response, for the middle class."""
    price_sensitivity: float = 1.0
    """How far the three classes of customers lie apart, in their elasticity and in their taste for dear products."""
    seasons: float = 1.0
    """Yearly swing of the seasonal products' log odds, and of the whole traffic."""
    store_differences: float = 0.06
    """Share of lines drawn from what the store's region and format prefer; above 0, basket sizes differ by format too."""
    churn: float = 0.4
    """Share of customers who first come, or last come, somewhere inside the calendar."""

    def __post_init__(self) -> None:
        for each in fields(self):
            strength = getattr(self, each.name)
            if not (math.isfinite(strength) and 0 <= strength <= 10):
                raise SimulatorError(f"{each.name} is {strength}; write a number from 0 to 10")
        if self.loyalty + self.co_purchase + self.store_differences > 1:
            raise SimulatorError(
                "loyalty + co_purchase + store_differences are shares of lines; lower them to 1 in all"
            )
        if self.churn > 1:
            raise SimulatorError(f"churn is {self.churn}; it is a share, write a number from 0 to 1")

    @classmethod
    def none(cls) -> Structure:
        """Rows without any planted effect: popularity alone."""
        return cls(**{each.name: 0.0 for each in fields(cls)})


@dataclass(frozen=True)
class Scenario:
    """One simulated retailer: `rows` rows over `weeks` fiscal weeks, those of missing weeks included."""

    rows: int
    weeks: int = 117
    customers: int | None = None
    """Known customers; None takes one per thousand rows, from 50 to 99,999."""
    stores: int = 761
    products: int = 4_997
    seed: int = 7
    release: str = "current"
    missing_weeks: tuple[int, ...] = ()
    """SHOP_WEEKs that the calendar holds and no file: the other weeks are what they would be otherwise."""
    anonymous_share: float = 0.205
    """Share of baskets without a customer."""
    unknown_codes: int = 0
    """Codes that occur once: alternately a product on one row and a store on one basket."""
    bad_rows: int = 0
    """Rows that break the schema's rules, of every kind in turn (see faults)."""
    structure: Structure = field(default_factory=Structure)

    def __post_init__(self) -> None:
        for name, (least, most) in self._limits().items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise SimulatorError(f"{name} is {value}; write a number from {least:,} to {most:,}")
        if self.release not in RELEASES:
            raise SimulatorError(f"release is {self.release!r}; choose one of {', '.join(RELEASES)}")

    def _limits(self) -> dict[str, tuple[int, int]]:
        return {
            "weeks": (1, MOST_WEEKS),
            "rows": (self.weeks, self.weeks * MOST_ROWS_PER_WEEK),
            "customers": (1, MOST_CUSTOMERS),
            "stores": (1, MOST_STORES),
            "products": (FEWEST_PRODUCTS, MOST_PRODUCTS),
            "seed": (0, 2**63 - 1),
            "anonymous_share": (0, 1),
            "unknown_codes": (0, self.rows // 10),
            "bad_rows": (0, self.rows // 2),
        }

    @property
    def customer_count(self) -> int:
        """Known customers, with the default worked out."""
        if self.customers is not None:
            return self.customers
        return min(max(self.rows // ROWS_PER_CUSTOMER, FEWEST_CUSTOMERS), FULL_CUSTOMERS)
