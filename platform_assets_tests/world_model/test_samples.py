"""The sample index: a customer's own prior baskets, counted from nothing that is not before the basket."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.world_model import samples
from platform_assets.world_model.splits import Split, split_weeks

MONDAY = date(2006, 4, 10)
WEEKS = [(MONDAY + timedelta(weeks=n)).isoformat() for n in range(40)]
SCHEMA = pa.schema(
    [
        ("basket_id", pa.int64()), ("cust_code", pa.string()), ("store_code", pa.string()), ("shop_week", pa.int32()),
        ("shop_weekday", pa.int8()), ("shop_hour", pa.int8()), ("shop_date", pa.date32()), ("num_products", pa.int32()),
        ("basket_type", pa.string()), ("basket_dominant_mission", pa.string()),
        ("basket_price_sensitivity", pa.string()), ("basket_size", pa.string()), ("seg_1", pa.string()),
        ("seg_2", pa.string()), ("cust_price_sensitivity", pa.string()), ("cust_lifestage", pa.string()),
    ]
)  # fmt: skip
TOLD = ("history_length", "is_first_basket", "is_first_in_store", "days_since_previous", "seg_1", "seg_2")
Basket = dict[str, Any]


def basket(number: int, day: int, hour: int, customer: str | None, store: str, products: int = 1) -> Basket:
    when = MONDAY + timedelta(days=day)
    # Both releases: the older one's baskets have odd numbers.
    names = ("cust_price_sensitivity", "cust_lifestage") if number % 2 else ("seg_1", "seg_2")
    segments = dict(zip(names, segments_of(number), strict=True)) if customer else {}
    return {
        **segments, "basket_id": number, "cust_code": customer, "store_code": store, "shop_week": 200607 + day // 7,
        "shop_weekday": 1, "shop_hour": hour, "shop_date": when, "num_products": products,
        "basket_type": "Top Up", "basket_dominant_mission": "Fresh", "basket_price_sensitivity": "MM", "basket_size": "S",
    }  # fmt: skip


def segments_of(number: int) -> tuple[str, str | None]:
    return f"S{number % 3}", f"L{number % 5}" if number % 5 else None


def index(baskets: list[Basket], split: Split, folder: Path) -> dict[int, dict[str, Any]]:
    """The samples of every part, by basket."""
    files = {}
    for number, week in enumerate(split.weeks):
        rows = [each for each in baskets if (each["shop_date"] - MONDAY).days // 7 == number]
        files[week] = folder / f"{week}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), files[week])
    engine = Engine(folder / "scratch", threads=1)
    built = samples.build_samples(engine, files, split, folder)
    assert samples.one_split_per_basket(engine, built).passed
    assert samples.samples_reconcile(engine, built, files, split).passed
    found = {}
    for part, path in built.items():
        rows = pq.read_table(path).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["date"], row["hour"], row["basket_id"]))
        assert {row["split"] for row in rows} <= {part}
        found |= {row["basket_id"]: row for row in rows}
    return found


def expected(baskets: list[Basket]) -> dict[int, tuple[Any, ...]]:
    """History, first-time flags, days since the basket before and segments by walking through time: the slow oracle."""
    visits, stores, days, found = Counter(), Counter(), {}, {}
    for each in sorted(baskets, key=lambda row: (row["shop_date"], row["shop_hour"], row["basket_id"])):
        customer, store, number = each["cust_code"], (each["cust_code"], each["store_code"]), each["basket_id"]
        if customer is None:
            found[number] = (0, None, None, None, None, None)
            continue
        since = (each["shop_date"] - days[customer]).days if customer in days else None
        found[number] = (visits[customer], not visits[customer], not stores[store], since, *segments_of(number))
        visits[customer] += 1
        stores[store] += 1
        days[customer] = each["shop_date"]
    return found


BASKETS = st.lists(
    st.tuples(st.integers(0, 7 * 40 - 1), st.integers(8, 9), st.sampled_from([None, "a", "b"]), st.sampled_from("xy")),
    max_size=40,
).flatmap(
    lambda visits: st.permutations(range(len(visits))).map(
        lambda ids: [basket(number, *visit) for number, visit in zip(ids, visits, strict=True)]
    )
)


@settings(max_examples=25, deadline=None)
@given(BASKETS)
def test_history_first_times_and_distances_are_those_of_a_walk_through_time(baskets: list[Basket]) -> None:
    with TemporaryDirectory() as folder:
        found = index(baskets, split_weeks(WEEKS, WEEKS[-1]), Path(folder))
    told = {number: tuple(row[name] for name in TOLD) for number, row in found.items()}
    assert told == expected(baskets)
    assert all(WEEKS[row["week"] - 1] <= row["date"].isoformat() for row in found.values())


@settings(max_examples=10, deadline=None)
@given(BASKETS)
def test_a_later_week_changes_nothing_that_was_said_of_earlier_baskets(baskets: list[Basket]) -> None:
    with TemporaryDirectory() as folder:
        earlier = index(baskets, split_weeks(WEEKS, WEEKS[-2]), Path(folder))
        later = index(baskets, split_weeks(WEEKS, WEEKS[-1]), Path(folder))
    moved = {number: {**row, "split": later[number]["split"]} for number, row in earlier.items()}
    assert moved == {number: later[number] for number in earlier}


@pytest.mark.parametrize(
    ("products", "bucket"), [(1, 0), (10, 0), (11, 1), (20, 1), (35, 2), (36, 3), (50, 3), (51, 4)]
)
def test_the_length_bucket_ends_at_the_documented_edges(tmp_path: Path, products: int, bucket: int) -> None:
    found = index([basket(1, 0, 9, "a", "x", products)], split_weeks(WEEKS, WEEKS[-1]), tmp_path)
    assert found[1]["bucket_id"] == bucket == sum(products > edge for edge in samples.BUCKET_EDGES)


def test_a_week_without_baskets_file_is_refused_by_name(tmp_path: Path) -> None:
    split = split_weeks(WEEKS, WEEKS[-1])
    with pytest.raises(ValueError, match=f"no baskets of {WEEKS[0]}, "):
        samples.build_samples(Engine(tmp_path), {}, split, tmp_path)


def test_a_basket_in_two_weeks_is_found(tmp_path: Path) -> None:
    split = split_weeks(WEEKS, WEEKS[-1])
    with pytest.raises(AssertionError):
        index([basket(1, 0, 9, None, "x"), basket(1, 7 * 39, 9, None, "x")], split, tmp_path)
    engine = Engine(tmp_path / "scratch")
    paths = {part: tmp_path / samples.file_name(part) for part in samples.PARTS}
    assert not samples.one_split_per_basket(engine, paths).passed


def test_two_baskets_of_a_day_are_no_day_apart_and_a_customers_first_is_from_none(tmp_path: Path) -> None:
    baskets = [basket(2, 3, 9, "a", "x"), basket(1, 3, 10, "a", "x"), basket(3, 10, 8, "a", "x")]
    found = index(baskets, split_weeks(WEEKS, WEEKS[-1]), tmp_path)
    assert {number: row["days_since_previous"] for number, row in found.items()} == {2: None, 1: 0, 3: 7}
    types = pq.read_schema(tmp_path / "train_samples.parquet")
    assert types.field("days_since_previous").type == pa.int32()
