"""Prices: the mode of the week, carried over gaps, made of nothing that comes later."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import feature_plots, price_quality, prices
from platform_assets.world_model.assets import prices as asset
from platform_assets.world_model.prices import PriceFiles
from platform_assets_tests.world_model.feature_weeks import (
    FeatureWorld,
    Row,
    passed,
    reason_of_failure,
    sale,
    week_keys,
    write_weeks,
)

Price = dict[str, Any]
Sale = tuple[int, int, int, float, str]


def build(weeks: list[list[Row]], folder: Path, threads: int = 1) -> list[Price]:
    engine = Engine(folder / "scratch", threads=threads)
    files = prices.build_prices(engine, write_weeks(folder / "rows", weeks), folder)
    return pq.read_table(files.prices).to_pylist()


def outcomes(engine: Engine, files: PriceFiles, weeks: int) -> list[Outcome]:
    return [
        price_quality.one_row_per_product_and_week(engine, files, weeks),
        price_quality.prices_positive(engine, files),
        price_quality.prices_within_range(engine, files),
        price_quality.sales_priced(engine, files),
    ]


def in_weeks(sales: list[Sale], count: int) -> list[list[Row]]:
    rows: list[list[Row]] = [[] for _ in range(count)]
    for number, (week, product, quantity, spend, category) in enumerate(sales):
        row = sale(week, number, product, quantity=quantity, spend=spend, prod_code_10=category)
        rows[week].append(row)
    return rows


def expected(weeks: list[list[Row]]) -> list[Price]:
    """The slow oracle: walks through the weeks, and looks everything up in what it has written down before."""
    told: list[Price] = []
    for index, (key, rows) in enumerate(zip(week_keys(len(weeks)), weeks, strict=True)):
        paid = [(row, math.floor(row["spend"] / row["quantity"] * 100 + 0.5)) for row in rows if row["spend"] > 0]
        paid = [(row, cents) for row, cents in paid if cents > 0]
        last = {row["prod_code"]: row for row in told}
        week = []
        for code in sorted({*last, *(row["prod_code"] for row, _ in paid)}):
            counts = Counter(cents for row, cents in paid if row["prod_code"] == code)
            cents = min(counts, key=lambda each: (-counts[each], each)) if counts else last[code]["cents"]
            category = min((row["prod_code_10"] for row, _ in paid if row["prod_code"] == code), default=None)
            before = [
                row["cents"]
                for row in told
                if row["prod_code"] == code and row["sold"] and row["week_index"] >= index - 13
            ]
            week.append(
                {
                    "week": key, "week_index": index, "prod_code": code, "cents": cents, "sold": bool(counts),
                    "category": category or last[code]["category"], "actual": cents / 100,
                    "prior": (last[code]["cents"] if code in last else cents) / 100,
                    "base": (median(before) if before else cents) / 100,
                }
            )  # fmt: skip
        for row in week:
            row["category_average"] = mean(each["cents"] for each in week if each["category"] == row["category"]) / 100
        told += week
    return [{name: value for name, value in row.items() if name not in ("cents", "category")} for row in told]


SALES = st.lists(
    st.tuples(
        st.integers(0, 19), st.integers(1, 3), st.integers(1, 3),
        st.sampled_from([-1.0, 0.0, 0.004, 0.29, 0.99, 1.0, 1.005, 2.0, 2.5, 3.0]), st.sampled_from(["CL1", "CL2"]),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(SALES)
def test_prices_are_those_of_a_walk_through_the_weeks(sales: list[Sale]) -> None:
    weeks = in_weeks(sales, 20)
    with TemporaryDirectory() as folder:
        found = build(weeks, Path(folder))
    wanted = expected(weeks)
    assert len(found) == len(wanted)
    for row, right in zip(found, wanted, strict=True):
        assert row == {
            name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            for name, value in right.items()
        }


@settings(max_examples=10, deadline=None)
@given(SALES, st.integers(1, 19))
def test_weeks_that_are_added_change_no_earlier_row(sales: list[Sale], known: int) -> None:
    weeks = in_weeks(sales, 20)
    with TemporaryDirectory() as folder:
        earlier = build(weeks[:known], Path(folder) / "earlier")
        later = build(weeks, Path(folder) / "later")
    assert later[: len(earlier)] == earlier
    assert all(row["week_index"] >= known for row in later[len(earlier) :])


def test_an_empty_week_carries_every_price_and_sells_nothing(tmp_path: Path) -> None:
    found = build([[sale(0, product=1, spend=2.0), sale(0, product=2, spend=3.0)], [], [sale(2, product=2)]], tmp_path)
    empty = [row for row in found if row["week_index"] == 1]
    assert [(row["actual"], row["prior"], row["sold"]) for row in empty] == [(2.0, 2.0, False), (3.0, 3.0, False)]
    assert [row["week"] for row in found] == sorted(row["week"] for row in found)
    assert [row["sold"] for row in found if row["week_index"] == 2] == [False, True]


def test_of_two_prices_as_frequent_the_lower_is_the_weeks(tmp_path: Path) -> None:
    rows = [sale(basket=n, spend=spend) for n, spend in enumerate([3.0, 2.0, 3.0, 2.0, 9.0])]
    assert [row["actual"] for row in build([rows], tmp_path)] == [2.0]


def test_weeks_without_any_row_have_no_price(tmp_path: Path) -> None:
    assert build([[], []], tmp_path) == []
    assert feature_plots.price_examples(tmp_path / prices.PRICES).startswith(b"\x89PNG")


def test_the_bytes_are_the_same_on_any_thread_count(tmp_path: Path) -> None:
    weeks = [[sale(week, basket, product, spend=1 + (week * basket * product) % 5 / 10) for basket in range(40) for product in range(1, 30)] for week in range(4)]  # fmt: skip
    for threads in (1, 2):
        build(weeks, tmp_path / f"{threads}", threads)
    assert (tmp_path / "1" / prices.PRICES).read_bytes() == (tmp_path / "2" / prices.PRICES).read_bytes()


def test_a_table_as_it_is_built_passes_every_check(tmp_path: Path) -> None:
    weeks = [
        [sale(week, basket, basket % 5, spend=1 + week * basket % 3) for basket in range(9 - week)] for week in range(9)
    ]
    build(weeks, tmp_path)
    files = PriceFiles(tmp_path / prices.PRICES, tmp_path / "observed.parquet")
    assert all(each.passed for each in outcomes(Engine(tmp_path / "scratch"), files, 9))


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("one_row_per_product_and_week", lambda rows: [*rows, rows[-1]]),
        ("one_row_per_product_and_week", lambda rows: rows[:2] + rows[4:]),
        ("one_row_per_product_and_week", lambda rows: rows[:-1]),
        ("prices_positive", lambda rows: [{**rows[0], "base": 0.0}, *rows[1:]]),
        ("prices_positive", lambda rows: [{**rows[0], "category_average": math.nan}, *rows[1:]]),
        ("prices_positive", lambda rows: [{**rows[0], "prior": None}, *rows[1:]]),
        ("prices_within_range", lambda rows: [{**rows[0], "actual": 70.0}, *rows[1:]]),
        ("prices_within_range", lambda rows: [*rows[:-1], {**rows[-1], "base": 70.0}]),
        ("prices_within_range", lambda rows: [{**rows[0], "category_average": 70.0}, *rows[1:]]),
        ("sales_priced", lambda rows: [{**rows[0], "sold": False}, *rows[1:]]),
        ("sales_priced", lambda rows: [*rows[:2], {**rows[2], "sold": True}, *rows[3:]]),
    ],
)
def test_a_spoiled_table_fails_its_check(
    tmp_path: Path, check: str, spoil: Callable[[list[Price]], list[Price]]
) -> None:
    rows = build([[sale(week, product=product) for product in (1, 2) if week != 1] for week in range(3)], tmp_path)
    files = PriceFiles(tmp_path / prices.PRICES, tmp_path / "observed.parquet")
    schema = pq.read_schema(files.prices)
    pq.write_table(pa.Table.from_pylist(spoil(rows), schema), files.prices)
    found = {each.name: each for each in outcomes(Engine(tmp_path / "scratch"), files, 3)}
    assert not found[check].passed
    assert "PRD" in found[check].reason


def test_the_asset_publishes_every_week_known_and_a_later_split_keeps_its_rows(tmp_path: Path) -> None:
    world = FeatureWorld(tmp_path, 39)
    world.publish({week: [sale(week, product=product, spend=1 + week % 3) for product in (1, 2)] for week in range(39)})
    built = asset.build(world.settings)
    known, later = week_keys(39)[-2:]
    for week in (known, later):
        assert passed(world.run(built, week), asset.CHECKS)
    rows = {week: pq.read_table(world.file(built, week, prices.PRICES)).to_pylist() for week in (known, later)}
    assert (len(rows[known]), rows[later][: 2 * 38]) == (2 * 38, rows[known])
    assert len(world.revision(built, known).lineage.inputs) == 38
    world.publish({3: [sale(3)]}, are_passed=False)
    refused = reason_of_failure(world.run(built, known))
    assert f"transactions of {week_keys(39)[3]} failed a blocking check" in refused
