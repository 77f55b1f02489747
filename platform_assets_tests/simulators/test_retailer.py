"""The simulated retailer's rows: the facts of the real schema, repeatable, and well-made files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from platform_assets.simulators.retailer import Scenario, SimulatorError, World, check, draw_world, write_weeks
from platform_assets.simulators.retailer.__main__ import main
from platform_assets_tests.simulators.retailer_rows import frame, read, write

SMALL = Scenario(20_000, weeks=5, products=600, stores=60)
COLUMNS = [
    "SHOP_WEEK", "SHOP_DATE", "SHOP_WEEKDAY", "SHOP_HOUR", "QUANTITY", "SPEND",
    "PROD_CODE", "PROD_CODE_10", "PROD_CODE_20", "PROD_CODE_30", "PROD_CODE_40", "CUST_CODE", "seg_1", "seg_2",
    "BASKET_ID", "BASKET_SIZE", "BASKET_PRICE_SENSITIVITY", "BASKET_TYPE", "BASKET_DOMINANT_MISSION",
    "STORE_CODE", "STORE_FORMAT", "STORE_REGION",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, pd.DataFrame]:
    return frame(Scenario(600_000, weeks=12), tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def rows(shop: tuple[World, pd.DataFrame]) -> pd.DataFrame:
    return shop[1]


@pytest.fixture(scope="module")
def baskets(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby("BASKET_ID").agg(
        lines=("PROD_CODE", "size"), customer=("CUST_CODE", "first"), type=("BASKET_TYPE", "first"),
        size=("BASKET_SIZE", "first"), focus=("BASKET_DOMINANT_MISSION", "first"),
        sensitivity=("BASKET_PRICE_SENSITIVITY", "first"), date=("SHOP_DATE", "first"), hour=("SHOP_HOUR", "first"),
    )  # fmt: skip


def plain(table: pa.Table) -> pa.Table:
    """The same values without dictionaries and chunks, whose order and cuts mean nothing."""
    types = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, types, strict=True)))).combine_chunks()


def test_exactly_the_rows_asked_for_are_written_under_the_columns_of_the_schema(rows: pd.DataFrame) -> None:
    assert len(rows) == 600_000
    assert list(rows.columns) == COLUMNS


def test_basket_sizes_are_those_of_the_real_retailer(baskets: pd.DataFrame) -> None:
    lines = baskets["lines"]
    assert lines.median() == 4
    assert lines.mean() == pytest.approx(6.4, abs=0.2)
    assert (lines == 1).mean() == pytest.approx(0.193, abs=0.01)
    assert lines.quantile(0.99) == pytest.approx(30, abs=2)
    assert 60 < lines.max() <= 87


def test_a_fifth_of_the_baskets_is_anonymous(baskets: pd.DataFrame) -> None:
    assert baskets["customer"].isna().mean() == pytest.approx(0.205, abs=0.01)


def test_basket_attributes_are_distributed_as_in_the_real_rows(baskets: pd.DataFrame) -> None:
    real = {
        "type": {"Small Shop": 0.54, "Top Up": 0.335, "Full Shop": 0.115, "XX": 0.009},
        "focus": {"Fresh": 0.52, "Mixed": 0.235, "Grocery": 0.185, "Nonfood": 0.052, "XX": 0.009},
        "sensitivity": {"LA": 0.22, "MM": 0.505, "UM": 0.26, "XX": 0.0145},
        "size": {"S": 0.255, "M": 0.395, "L": 0.35},
    }
    for name, shares in real.items():
        found = baskets[name].value_counts(normalize=True)
        for code, share in shares.items():
            assert found[code] == pytest.approx(share, abs=0.04), (name, code)


def test_a_basket_has_one_customer_store_and_moment_and_no_product_twice(rows: pd.DataFrame) -> None:
    for name in ("STORE_CODE", "SHOP_DATE", "SHOP_HOUR", "BASKET_TYPE", "BASKET_SIZE", "STORE_REGION"):
        assert rows.groupby("BASKET_ID")[name].nunique().max() == 1, name
    assert rows.groupby("BASKET_ID")["CUST_CODE"].nunique(dropna=False).max() == 1
    assert not rows.duplicated(["BASKET_ID", "PROD_CODE"]).any()


def test_the_category_tree_has_250_90_31_and_9_nested_nodes(shop: tuple[World, pd.DataFrame]) -> None:
    world, rows = shop
    levels = ["PROD_CODE", "PROD_CODE_10", "PROD_CODE_20", "PROD_CODE_30", "PROD_CODE_40"]
    for finer, coarser in pairwise(levels):
        assert rows.groupby(finer, observed=True)[coarser].nunique().max() == 1
    tree = world.catalogue
    assert [len(np.unique(level)) for level in (tree.leaf, tree.department, tree.group, tree.area)] == [250, 90, 31, 9]
    assert rows["PROD_CODE"].nunique() > 4_900


def test_stores_have_four_formats_and_twelve_regions(rows: pd.DataFrame) -> None:
    # At this size a small store may happen to sell nothing.
    assert 750 <= rows["STORE_CODE"].nunique() <= 761
    assert set(rows["STORE_FORMAT"]) == {"LS", "MS", "SS", "XLS"}
    assert rows["STORE_REGION"].nunique() == 12
    assert rows.groupby("STORE_CODE", observed=True)[["STORE_FORMAT", "STORE_REGION"]].nunique().max().max() == 1


def test_hours_weekdays_and_dates_belong_to_their_week(shop: tuple[World, pd.DataFrame]) -> None:
    world, rows = shop
    assert set(rows["SHOP_HOUR"]) == set(range(8, 23))
    moments = pd.to_datetime(rows["SHOP_DATE"].astype(str))
    assert ((moments.dt.dayofweek + 1) % 7 + 1 == rows["SHOP_WEEKDAY"]).all()
    mondays = {week.name: pd.Timestamp(week.monday) for week in world.weeks}
    days = (moments - rows["SHOP_WEEK"].map(mondays)).dt.days
    assert days.between(0, 6).all()
    assert set(days) == set(range(7))


def test_prices_are_the_chains_on_nine_rows_in_ten_and_a_few_lines_give_money_back(
    shop: tuple[World, pd.DataFrame],
) -> None:
    world, rows = shop
    number = {code: place for place, code in enumerate(world.catalogue.codes)}
    product = rows["PROD_CODE"].astype(str).map(number).to_numpy()
    week = np.searchsorted([week.name for week in world.weeks], rows["SHOP_WEEK"])
    unit = np.rint(rows["SPEND"] * 100 / rows["QUANTITY"]).to_numpy()
    assert (unit == world.prices.cents[week, product]).mean() == pytest.approx(0.908, abs=0.01)
    assert 0 < (rows["SPEND"] <= 0).sum() < 100


def test_basket_numbers_tell_nothing_about_time(baskets: pd.DataFrame) -> None:
    ordered = baskets.sort_index()
    moments = ordered["date"] * 100 + ordered["hour"]
    assert abs(np.corrcoef(np.arange(len(moments)), moments.rank())[0, 1]) < 0.02


def test_basket_attributes_follow_from_the_basket(shop: tuple[World, pd.DataFrame]) -> None:
    world, rows = shop
    tier = dict(zip(world.catalogue.codes, world.catalogue.tier.tolist(), strict=True))
    fresh, grocery, nonfood = {"D00001", "D00002"}, {"D00003", "D00008", "D00009"}, {"D00004", "D00005", "D00007"}
    for _, basket in rows.head(12_000).groupby("BASKET_ID"):
        areas = basket["PROD_CODE_40"].tolist()
        kinds = {"Fresh": fresh, "Grocery": grocery, "Nonfood": nonfood}
        counts = {name: sum(area in members for area in areas) for name, members in kinds.items()}
        told, largest = sum(counts.values()), max(counts, key=lambda name: counts[name])
        dominant = "XX" if not told else largest if counts[largest] >= 0.62 * told else "Mixed"
        assert set(basket["BASKET_DOMINANT_MISSION"]) == {dominant}
        tiers = [tier[code] for code in basket["PROD_CODE"] if tier[code] >= 0]
        mean = np.mean(tiers) if tiers else None
        sensitivity = "XX" if mean is None else "LA" if mean < 0.72 else "UM" if mean >= 1.25 else "MM"
        assert set(basket["BASKET_PRICE_SENSITIVITY"]) == {sensitivity}
        length = 0.8 * len(basket) + 0.1 * basket["SPEND"].sum()
        kind = "XX" if not told else "Small Shop" if length < 4.6 else "Top Up" if length < 13.6 else "Full Shop"
        assert set(basket["BASKET_TYPE"]) == {kind}
        worth = 0.5 * len(basket) + 0.25 * basket["SPEND"].sum()
        assert set(basket["BASKET_SIZE"]) == {"S" if worth < 1.7 else "M" if worth < 6.0 else "L"}


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name, scenario in {"first": SMALL, "second": SMALL, "other": replace(SMALL, seed=8)}.items():
        write(scenario, tmp_path / name)
    first, second, other = (read(tmp_path / name) for name in ("first", "second", "other"))
    assert first.equals(second)
    assert not first.equals(other)


def test_rows_do_not_depend_on_how_many_are_handed_on_at_a_time(tmp_path: Path) -> None:
    scenario = Scenario(300_000, weeks=1, unknown_codes=20, bad_rows=20)
    for batch_rows in (1, 10**9):
        write(scenario, tmp_path / str(batch_rows), batch_rows=batch_rows)
    single, whole = (plain(read(tmp_path / name)) for name in ("1", str(10**9)))
    assert single.equals(whole)
    paths = [next((tmp_path / name).glob("*.parquet")) for name in ("1", str(10**9))]
    assert [pq.ParquetFile(path).num_row_groups for path in paths] == [5, 1]


def test_a_missing_week_has_no_file_stays_in_the_calendar_and_changes_no_other_week(tmp_path: Path) -> None:
    whole, gap = tmp_path / "whole", tmp_path / "gap"
    write(SMALL, whole)
    write(replace(SMALL, missing_weeks=(200608, 200610)), gap)
    assert (gap / "time.csv").read_text() == (whole / "time.csv").read_text()
    present = {path.name for path in gap.glob("transactions_*")}
    assert present == {f"transactions_{week}.parquet" for week in (200607, 200609, 200611)}
    for name in present:
        assert pq.read_table(gap / name).equals(pq.read_table(whole / name))


def test_the_older_release_differs_in_the_two_segment_columns_alone(tmp_path: Path) -> None:
    for release in ("current", "older"):
        write(replace(SMALL, release=release), tmp_path / release)
    current, older = (read(tmp_path / release) for release in ("current", "older"))
    renamed = {"seg_1": "CUST_PRICE_SENSITIVITY", "seg_2": "CUST_LIFESTAGE"}
    assert older.column_names == [renamed.get(name, name) for name in COLUMNS]
    for name in set(COLUMNS) - set(renamed):
        assert current[name].equals(older[name]), name
    known = older.filter(older["CUST_CODE"].is_valid())
    assert set(known["CUST_PRICE_SENSITIVITY"].to_pylist()) == {"LA", "MM", "UM", "XX"}
    assert current["seg_1"].null_count == current["CUST_CODE"].null_count < current["seg_2"].null_count


def test_csv_holds_the_rows_that_parquet_holds(tmp_path: Path) -> None:
    write(SMALL, tmp_path / "text", "csv")
    write(SMALL, tmp_path / "columns")
    for path in (tmp_path / "text").glob("transactions_*.csv"):
        assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
        columns = plain(pq.read_table(tmp_path / "columns" / f"{path.stem}.parquet"))
        options = pa_csv.ConvertOptions(column_types=columns.schema, strings_can_be_null=True)
        assert pa_csv.read_csv(path, convert_options=options).equals(columns)


def test_csv_is_refused_above_22_million_rows_and_names_parquet(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    command = ["--output", str(tmp_path), "--rows", "22000001", "--customers", "9", "--format", "csv", "--weeks", "3"]
    assert main(command) == 1
    assert "use --format parquet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_transactions_is_refused_unless_they_may_be_replaced(tmp_path: Path) -> None:
    world = write(SMALL, tmp_path)
    with pytest.raises(SimulatorError, match="use --replace"):
        check(world, tmp_path, "csv", replace=False)
    check(world, tmp_path, "csv", replace=True)
    assert list(tmp_path.iterdir()) == []


def test_a_week_that_is_cut_off_leaves_no_file_of_its_name(tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(write_weeks(draw_world(SMALL), tmp_path, observe=stop))
    assert [path.name for path in tmp_path.iterdir()] == ["time.csv"]


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"rows": 3}, "rows is 3; write a number from 5"),
        ({"products": 200}, "from 250"),
        ({"release": "newest"}, "current, older"),
        ({"anonymous_share": 1.5}, "from 0 to 1"),
        ({"bad_rows": 15_000}, "from 0 to 10,000"),
        ({"missing_weeks": (200653,)}, "name weeks from 200607 to 200611"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_a_remedy(change: dict, remedy: str) -> None:
    with pytest.raises(SimulatorError, match=remedy):
        draw_world(replace(SMALL, **change))


def test_a_tiny_world_of_anonymous_customers_and_few_products_still_fills_every_week(tmp_path: Path) -> None:
    scenario = Scenario(900, weeks=9, customers=1, stores=1, products=250, anonymous_share=1.0)
    _, rows = frame(scenario, tmp_path)
    assert rows["CUST_CODE"].isna().all()
    assert rows["SHOP_WEEK"].nunique() == 9
