"""The simulated retailer in memory: everything that stands still, and its weeks block by block.

Every block has a random stream of its own, named by seed, week and block, so that a week is the same rows whatever was
written before it and however many rows are handed on at a time. What does not belong here: files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.attributes import Attributes, describe, pack_traits
from platform_assets.simulators.retailer.baskets import Baskets, Shoppers, draw_baskets
from platform_assets.simulators.retailer.customers import Customers, draw_customers
from platform_assets.simulators.retailer.demand import Demand, draw_demand
from platform_assets.simulators.retailer.lines import BLOCK_LINES, Lines, Shelf, draw_lines
from platform_assets.simulators.retailer.prices import Prices, draw_prices
from platform_assets.simulators.retailer.products import WEEKS_PER_YEAR, Catalogue, draw_catalogue
from platform_assets.simulators.retailer.scenario import Scenario, SimulatorError
from platform_assets.simulators.retailer.shop_weeks import ShopWeek, shop_weeks
from platform_assets.simulators.retailer.slots import apportion, slot_table
from platform_assets.simulators.retailer.stores import Stores, draw_stores

# What a random stream is for; written into its seed, so that drawing more of one thing changes nothing else.
_CATALOGUE, _PRICES, _STORES, _DEMAND, _CUSTOMERS, _WEEK, _BLOCK = range(7)
_CHRISTMAS_POSITION = 36
_CHRISTMAS_SWING, _CHRISTMAS_WIDTH = 0.18, 2.0
_STORE_SLOTS = 1 << 16


@dataclass(frozen=True)
class Block:
    """At most BLOCK_LINES lines of one week, in whole baskets."""

    baskets: Baskets
    lines: Lines
    attributes: Attributes


@dataclass(frozen=True)
class World:
    """A scenario with everything drawn that outlives a week; `rows_of_week` counts missing weeks too."""

    scenario: Scenario
    weeks: list[ShopWeek]
    rows_of_week: np.ndarray
    catalogue: Catalogue
    prices: Prices
    stores: Stores
    demand: Demand
    customers: Customers

    @property
    def written_weeks(self) -> list[ShopWeek]:
        """The weeks that get a file."""
        return [week for week in self.weeks if week.name not in self.scenario.missing_weeks]

    def blocks(self, week: ShopWeek) -> Iterator[Block]:
        """All lines of a week; memory is bounded by one block, whatever the scenario's size."""
        rng = _stream(self.scenario, _WEEK, week.position)
        shelf, shoppers = self._shelf(week, rng.random()), self._shoppers(week, rng.random())
        traits = pack_traits(self.catalogue)
        for number, lines in enumerate(_cut(int(self.rows_of_week[week.position]))):
            rng = _stream(self.scenario, _BLOCK, week.position, number)
            first = (week.position << 28) + (number << 16)
            baskets = draw_baskets(rng, shoppers, lines, first)
            drawn = draw_lines(rng, baskets, self.customers, shelf, self.scenario.structure)
            yield Block(baskets, drawn, describe(baskets, drawn, traits))

    def _shelf(self, week: ShopWeek, offset: float) -> Shelf:
        tables = self.demand.week_tables(week.position, offset)
        cents = self.prices.cents[week.position]
        return Shelf(tables, self.stores.local, self.stores.place, self.catalogue.partners, cents)

    def _shoppers(self, week: ShopWeek, offset: float) -> Shoppers:
        customer_table = self.customers.table_of_week(week.position, offset)
        store_table = slot_table(self.stores.traffic, _STORE_SLOTS)
        return Shoppers(self.customers, self.stores, customer_table, store_table, self.scenario.anonymous_share)


def draw_world(scenario: Scenario) -> World:
    """Draw what outlives a week; raises SimulatorError for a missing week that the calendar does not hold."""
    weeks, structure = shop_weeks(scenario.weeks), scenario.structure
    if unknown := set(scenario.missing_weeks) - {week.name for week in weeks}:
        raise SimulatorError(
            f"missing week {min(unknown)} is not in the calendar of {scenario.weeks} weeks; "
            f"name weeks from {weeks[0].name} to {weeks[-1].name}"
        )
    catalogue = draw_catalogue(_stream(scenario, _CATALOGUE), scenario.products, structure.seasons)
    prices = draw_prices(_stream(scenario, _PRICES), catalogue, scenario.weeks)
    stores = draw_stores(_stream(scenario, _STORES), catalogue, scenario.stores, structure.store_differences)
    demand = draw_demand(_stream(scenario, _DEMAND), catalogue, prices, structure)
    customers = draw_customers(_stream(scenario, _CUSTOMERS), scenario, stores, demand.everyday_tables())
    rows = apportion(scenario.rows, _traffic(scenario), least=1)
    return World(scenario, weeks, rows, catalogue, prices, stores, demand, customers)


def _traffic(scenario: Scenario) -> np.ndarray:
    """(W,) how busy each week is: more before Christmas."""
    weeks_off = (np.arange(scenario.weeks) - _CHRISTMAS_POSITION + WEEKS_PER_YEAR / 2) % WEEKS_PER_YEAR
    weeks_off -= WEEKS_PER_YEAR / 2
    return 1 + scenario.structure.seasons * _CHRISTMAS_SWING * np.exp(-((weeks_off / _CHRISTMAS_WIDTH) ** 2))


def _cut(rows: int) -> list[int]:
    """Block sizes: full ones, and the rest."""
    full, rest = divmod(rows, BLOCK_LINES)
    return [BLOCK_LINES] * full + [rest] * (rest > 0)


def _stream(scenario: Scenario, *name: int) -> np.random.Generator:
    return np.random.default_rng([scenario.seed, *name])
