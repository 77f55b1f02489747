"""What the simulated retailer plants is in its rows, and is not where its knob is at 0; each by one simple statistic.

Each effect is looked for in a world with that effect alone and in one with none, so that no other effect can stand in for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from platform_assets.simulators.retailer import Scenario, Structure, World, draw_world
from platform_assets_tests.simulators.retailer_rows import frame

ROWS, WEEKS = 250_000, 12


class Shop:
    """A world and its rows, with the numbers of products, stores and customers that the codes stand for."""

    def __init__(self, structure: Structure, folder: Path, weeks: int = WEEKS, customers: int = 300) -> None:
        scenario = Scenario(ROWS, weeks, customers=customers, stores=120, structure=structure)
        self.world: World
        self.world, self.rows = frame(scenario, folder)
        self.product = numbers(self.rows["PROD_CODE"], self.world.catalogue.codes)
        self.customer = numbers(self.rows["CUST_CODE"], self.world.customers.codes)
        self.week = np.searchsorted([week.name for week in self.world.weeks], self.rows["SHOP_WEEK"])


def numbers(codes: pd.Series, known: list[str]) -> np.ndarray:
    """Position in the list of known codes; -1 where there is none."""
    place = {code: number for number, code in enumerate(known)}
    return codes.astype(object).map(place).fillna(-1).to_numpy(np.int64)


def alone(**strength: float) -> Structure:
    return Structure(**({name: 0.0 for name in vars(Structure.none())} | strength))


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """No effect at all."""
    return Shop(Structure.none(), tmp_path_factory.mktemp("flat"))


@pytest.fixture(scope="module")
def flat_year(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(Structure.none(), tmp_path_factory.mktemp("flat_year"), weeks=52)


def recurrence(owner: np.ndarray, thing: np.ndarray) -> float:
    """How much likelier two rows of one owner show the same thing than two rows of anybody."""
    counts = pd.DataFrame({"owner": owner, "thing": thing}).value_counts().rename("n").reset_index()
    totals = counts.groupby("owner")["n"].sum()
    same = (counts["n"] * (counts["n"] - 1)).sum() / (totals * (totals - 1)).sum()
    return float(same / coincidence(thing))


def coincidence(thing: np.ndarray) -> float:
    """Chance that two rows show the same thing."""
    return float(((np.bincount(thing) / len(thing)) ** 2).sum())


def test_missions_make_the_lines_of_a_basket_alike(flat: Shop, tmp_path: Path) -> None:
    def alike(shop: Shop) -> float:
        """Two lines of one basket, in the same group of products; never the same product, which chance must leave out."""
        group = shop.world.catalogue.group[shop.product]
        other_product = (coincidence(group) - coincidence(shop.product)) / (1 - coincidence(shop.product))
        return recurrence(shop.rows["BASKET_ID"].to_numpy(), group) * coincidence(group) / other_product

    assert alike(Shop(alone(missions=1.0), tmp_path)) > 1.3
    assert alike(flat) == pytest.approx(1, abs=0.03)


def test_loyalty_makes_customers_buy_the_same_products_again(flat: Shop, tmp_path: Path) -> None:
    def again(shop: Shop) -> float:
        known = shop.customer >= 0
        return recurrence(shop.customer[known], shop.product[known])

    assert again(Shop(alone(loyalty=0.5), tmp_path)) > 1.6
    assert again(flat) == pytest.approx(1, abs=0.05)


def test_complements_meet_in_baskets_beyond_their_popularity(flat: Shop, tmp_path: Path) -> None:
    def meetings(shop: Shop) -> float:
        """Pairs of complements in one basket, over what independent lines would give."""
        partners = shop.world.catalogue.partners
        first = pd.DataFrame({"basket": shop.rows["BASKET_ID"].to_numpy(), "product": shop.product})
        pairs = first.merge(first, on="basket")
        pairs = pairs[pairs["product_x"] != pairs["product_y"]]
        met = (partners[pairs["product_x"]] == pairs["product_y"].to_numpy()[:, None]).any(axis=1).mean()
        share = np.bincount(shop.product, minlength=len(partners)) / len(shop.product)
        own = partners != np.arange(len(partners))[:, None]
        return float(met / (share[:, None] * share[partners] * own).sum())

    assert meetings(Shop(alone(co_purchase=0.12), tmp_path)) > 3
    assert meetings(flat) == pytest.approx(1, abs=0.1)


def promotion_lift(shop: Shop, rows: np.ndarray) -> float:
    """Sales of promoted product-weeks over what the same products' other weeks lead to expect."""
    prices, shape = shop.world.prices, shop.world.prices.cents.shape
    sold = np.zeros(shape)
    np.add.at(sold, (shop.week[rows], shop.product[rows]), 1)
    share = sold / sold.sum(axis=1, keepdims=True)
    promoted = prices.cents < prices.base_cents
    usual = np.where(promoted, 0, share).sum(axis=0) / np.maximum((~promoted).sum(axis=0), 1)
    return float(share[promoted].sum() / np.broadcast_to(usual, shape)[promoted].sum())


def test_promotions_raise_a_products_share(flat: Shop, tmp_path: Path) -> None:
    shop = Shop(alone(price_response=2.0), tmp_path)
    assert promotion_lift(shop, np.arange(ROWS)) > 1.5
    assert promotion_lift(flat, np.arange(ROWS)) == pytest.approx(1, abs=0.06)


def test_customers_differ_in_what_a_promotion_and_a_dear_product_are_to_them(flat: Shop, tmp_path: Path) -> None:
    def of_class(shop: Shop, number: int) -> np.ndarray:
        own = shop.world.customers.price_class[shop.customer] == number
        return np.flatnonzero((shop.customer >= 0) & own)

    def difference(shop: Shop) -> float:
        """Mean price tier of the least and of the most affluent, apart."""
        tier = shop.world.catalogue.tier[shop.product]
        low, high = (tier[of_class(shop, number)] for number in (0, 2))
        return float(high[high >= 0].mean() - low[low >= 0].mean())

    shop = Shop(alone(price_response=2.0, price_sensitivity=1.0), tmp_path)
    assert promotion_lift(shop, of_class(shop, 0)) > 1.2 * promotion_lift(shop, of_class(shop, 2))
    assert difference(shop) > 0.3
    assert difference(flat) == pytest.approx(0, abs=0.02)


def test_seasonal_products_sell_more_at_their_peak_and_december_is_busier(flat_year: Shop, tmp_path: Path) -> None:
    def swing(shop: Shop, cycle: np.ndarray) -> float:
        """Sales at the peak over sales half a year later; `cycle` (weeks, products) is 1 at the peak, -1 at the low."""
        at = cycle[shop.week, shop.product]
        return float((at > 0.7).sum() / (at < -0.7).sum())

    shop = Shop(alone(seasons=1.0), tmp_path, weeks=52)
    catalogue = shop.world.catalogue
    swings = np.maximum(catalogue.season_swing, 1e-9)
    cycle = np.array([catalogue.season(week) / swings for week in range(52)])
    assert swing(shop, cycle) > 2
    # The same products in the same weeks of the world without seasons, where a cycle has no meaning.
    assert swing(flat_year, cycle) == pytest.approx(((cycle > 0.7).sum() / (cycle < -0.7).sum()), rel=0.1)
    busiest = np.bincount(shop.week).argmax()
    assert 35 <= busiest <= 37
    assert np.ptp(np.bincount(flat_year.week)) <= 1


def test_regions_and_formats_sell_different_things(flat: Shop, tmp_path: Path) -> None:
    def local(shop: Shop) -> float:
        region = shop.rows["STORE_REGION"].astype("category").cat.codes.to_numpy()
        return recurrence(region, shop.world.catalogue.leaf[shop.product])

    def smallest_over_largest(shop: Shop) -> float:
        lines = shop.rows.groupby("STORE_FORMAT", observed=True).size()
        baskets = shop.rows.groupby("STORE_FORMAT", observed=True)["BASKET_ID"].nunique()
        return float(lines["SS"] / baskets["SS"] / (lines["LS"] / baskets["LS"]))

    shop = Shop(alone(store_differences=0.3), tmp_path)
    assert local(shop) > 1.03
    assert local(flat) == pytest.approx(1, abs=0.005)
    assert smallest_over_largest(shop) < 0.75
    assert smallest_over_largest(flat) == pytest.approx(1, abs=0.08)


def test_customers_come_and_go(flat: Shop, tmp_path: Path) -> None:
    def present_throughout(shop: Shop) -> float:
        """Share of the frequent customers who shop in the first quarter of the calendar and in the last."""
        seen = pd.DataFrame({"customer": shop.customer, "week": shop.week})[shop.customer >= 0]
        weeks = seen.groupby("customer")["week"].agg(["min", "max", "size"])
        weeks = weeks[weeks["size"] > 400]
        return float(((weeks["min"] < 3) & (weeks["max"] >= 9)).mean())

    assert present_throughout(Shop(alone(churn=0.6), tmp_path)) < 0.75
    assert present_throughout(flat) == 1


def test_by_default_every_effect_is_there() -> None:
    assert all(strength > 0 for strength in vars(Structure()).values())
    world = draw_world(Scenario(1_000, weeks=10))
    assert world.catalogue.season_swing.any()
    assert (world.prices.cents < world.prices.base_cents).any()
    assert (world.customers.first_week > 0).any()
