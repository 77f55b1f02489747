"""What becomes of a week's raw rows: typed and kept, or quarantined by the first rule they break; none is lost."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.digest import digest_table
from platform_assets.core.engine import Engine
from platform_assets.world_model import extraction, quality
from platform_assets.world_model.raw_files import RawFolder
from platform_assets.world_model.raw_weeks import RawWeeks
from platform_assets_tests.world_model.raw_rows import FIRST, WEEKS, Row, row, write_raw

NAME = "transactions_200607.csv"
VISIT = (
    "CUST_CODE", "STORE_CODE", "SHOP_DATE", "SHOP_HOUR", "BASKET_SIZE", "BASKET_PRICE_SENSITIVITY", "BASKET_TYPE",
    "BASKET_DOMINANT_MISSION",
)  # fmt: skip


def extract(folder: Path, rows: Sequence[Row], threads: int = 2) -> tuple[extraction.ExtractedWeek, Engine]:
    raw_folder = write_raw(folder / "raw", {NAME: rows})
    engine = Engine(folder / "spill", threads=threads)
    weeks = RawWeeks(RawFolder(str(raw_folder)), engine, WEEKS[:1], folder)
    target = folder / f"week-{threads}"
    target.mkdir()
    return extraction.extract_week(weeks.read(WEEKS[0], target), engine, target), engine


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def whole(text: str) -> bool:
    found = number(text)
    return found is not None and not math.isinf(found) and (math.isnan(found) or found == int(found))


def day(text: str) -> date | None:
    plain = text.replace("-", "")
    try:
        return datetime.strptime(plain, "%Y%m%d").date() if len(plain) == 8 else None
    except ValueError:
        return None


def rule_of(raw: Row) -> str | None:
    """The first rule that a row breaks by itself: the slow oracle."""
    codes = [raw[name].strip() for name in ("PROD_CODE", "PROD_CODE_10", "STORE_CODE", "BASKET_ID")]
    numbers = [number(raw[name]) for name in ("SHOP_HOUR", "QUANTITY", "SPEND")]
    if raw["SHOP_WEEK"] != "200607":
        return "other_week"
    if not all(codes):
        return "missing_code"
    if not raw["BASKET_ID"].isdigit() or str(int(raw["BASKET_ID"])) != raw["BASKET_ID"] or None in numbers:
        return "unreadable_number"
    if not whole(raw["SHOP_HOUR"]) or not whole(raw["QUANTITY"]) or not whole(raw["SHOP_WEEKDAY"]):
        return "unreadable_number"
    hour, quantity, spend = (float(found or 0) for found in numbers)
    if not quantity <= 1e9 or not abs(spend) <= 1e9:
        return "unreadable_number"
    when = day(raw["SHOP_DATE"])
    if when is None:
        return "unreadable_date"
    if not FIRST <= when <= FIRST + timedelta(days=6):
        return "date_outside_week"
    if float(raw["SHOP_WEEKDAY"]) != when.isoweekday() % 7 + 1:
        return "other_weekday"
    if not 0 <= hour <= 23:
        return "hour_out_of_range"
    return None if quantity > 0 else "quantity_not_positive"


def judge(rows: Sequence[Row]) -> tuple[Counter[str], set[tuple[int, str]]]:
    """Quarantined rows by rule, and the (basket, product) pairs that are kept."""
    rules = Counter(rule for raw in rows if (rule := rule_of(raw)))
    baskets = defaultdict(list)
    for raw in rows:
        if not rule_of(raw):
            baskets[int(raw["BASKET_ID"])].append(raw)
    kept: set[tuple[int, str]] = set()
    for basket, found in baskets.items():
        if (
            len({(*(raw[name] for name in VISIT[:2]), day(raw["SHOP_DATE"]), float(raw["SHOP_HOUR"])) for raw in found})
            > 1
        ):
            rules["torn_basket"] += len(found)
            continue
        products = {(basket, raw["PROD_CODE"]) for raw in found}
        rules["repeated_product"] += len(found) - len(products)
        kept |= products
    return +rules, kept


def either(good: str, *bad: str) -> st.SearchStrategy[str]:
    """Mostly the good value, so that rows break few rules at once."""
    return st.integers(0, 11).flatmap(lambda n: st.sampled_from(bad) if n == 0 else st.just(good))


ROWS = st.lists(
    st.builds(
        lambda basket, product, shop_day, customer, changed: row(
            0, basket, product, shop_day, customer, **{name: value for name, value in changed.items() if value is not None}
        ),
        st.integers(1, 4), st.integers(1, 6), st.integers(0, 1), st.sampled_from([1, 1, 1, 1, None]),
        st.fixed_dictionaries(
            {
                "SHOP_HOUR": either("10", "25", "-1", "x", "", "1.5", "10.0", "nan", "010"),
                "QUANTITY": either("2", "0", "-2", "1e12", "two", "", "nan", "inf", "2.5"),
                "SPEND": either("1.25", "-1", "0", "inf", "nan", "abc", "", "1e3"),
                "PROD_CODE_10": either("CL00001", "", "  "),
                "STORE_CODE": either("STORE00001", "", "STORE00002"),
                "SHOP_WEEK": either("200607", "200608", "", "2006-7"),
                "BASKET_ID": either("7", "", "x1", "007", "7.5", "-"),
                "SHOP_DATE": either("20060412", "2006-04-12", "20060417", "2006041", "20061341", "", "soon"),
                "SHOP_WEEKDAY": either("4", "5", "x", "4.0"),
            }
        ),
    ),
    min_size=1, max_size=25,
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(ROWS)
def test_every_row_is_kept_or_quarantined_by_the_first_rule_it_breaks(rows: list[Row]) -> None:
    with TemporaryDirectory() as folder:
        extracted, engine = extract(Path(folder), rows)
        by_rule = extraction.count_by_rule(engine, extracted.quarantined)
        kept = pq.read_table(extracted.transactions).to_pylist()
        checked = quality.ranges(engine, extracted.transactions, extracted.raw.week)
        assert quality.unique_products(engine, extracted.transactions).passed
    rules, pairs = judge(rows)
    assert (by_rule, {(each["basket_id"], each["prod_code"]) for each in kept}) == (dict(rules), pairs)
    assert (len(kept), extracted.raw.source_rows) == (len(pairs), len(rows))
    assert kept == sorted(kept, key=lambda r: (r["shop_date"], r["shop_hour"], r["basket_id"], r["prod_code"]))
    assert (checked.passed, checked.metadata["returns"]) == (True, sum(each["spend"] <= 0 for each in kept))


def reasons(extracted: extraction.ExtractedWeek) -> dict[str, str]:
    return {found["rule"]: found["reason"] for found in pq.read_table(extracted.quarantined).to_pylist()}


@pytest.mark.parametrize(
    ("changed", "rule", "reason"),
    [
        ({"SHOP_WEEK": "200608"}, "other_week", "SHOP_WEEK is 200608 in week 200607"),
        ({"PROD_CODE": ""}, "missing_code", "PROD_CODE is missing"),
        ({"STORE_CODE": " "}, "missing_code", "STORE_CODE is missing"),
        ({"BASKET_ID": ""}, "missing_code", "BASKET_ID is missing"),
        ({"PROD_CODE_40": ""}, "missing_code", "a PROD_CODE of the hierarchy is missing"),
        ({"SPEND": "1,25"}, "unreadable_number", "SPEND 1,25"),
        ({"SHOP_DATE": "2006"}, "unreadable_date", "SHOP_DATE is 2006"),
        ({"SHOP_DATE": "20060417"}, "date_outside_week", "SHOP_DATE 20060417 is not between 2006-04-10 and 2006-04-16"),
        ({"SHOP_WEEKDAY": "3"}, "other_weekday", "SHOP_DATE 20060410 is not SHOP_WEEKDAY 3"),
        ({"SHOP_HOUR": "25"}, "hour_out_of_range", "SHOP_HOUR is 25"),
        ({"QUANTITY": "-1"}, "quantity_not_positive", "QUANTITY is -1"),
    ],
)
def test_a_quarantined_row_says_what_is_wrong_with_it(
    tmp_path: Path, changed: dict[str, Any], rule: str, reason
) -> None:
    extracted, _ = extract(tmp_path, [row(basket=5), row(**changed)])
    found = reasons(extracted)
    assert list(found) == [rule]
    assert reason in found[rule]


@pytest.mark.parametrize(
    "changed", [{"CUST_CODE": ""}, {"STORE_CODE": "STORE00009"}, {"SHOP_HOUR": "11"}, {"BASKET_TYPE": "Top Up"}]
)
def test_a_basket_whose_rows_disagree_is_quarantined_whole(tmp_path: Path, changed: dict[str, Any]) -> None:
    rows = [row(), row(product=2), row(product=3, **changed), row(basket=2)]
    extracted, engine = extract(tmp_path, rows)
    assert extraction.count_by_rule(engine, extracted.quarantined) == {"torn_basket": 3}
    assert "disagree" in reasons(extracted)["torn_basket"]
    assert pq.read_metadata(extracted.transactions).num_rows == 1


def test_types_are_the_smallest_that_lose_nothing(tmp_path: Path) -> None:
    extracted, _ = extract(tmp_path, [row(customer=None)])
    schema = {field.name: str(field.type) for field in pq.read_schema(extracted.transactions)}
    assert {name: kind for name, kind in schema.items() if kind not in ("string", "large_string")} == {
        "shop_week": "int32", "shop_date": "date32[day]", "shop_weekday": "int8", "shop_hour": "int8", "quantity": "int32",
        "spend": "double", "basket_id": "int64",
    }  # fmt: skip
    assert pq.read_table(extracted.transactions).to_pylist()[0]["cust_code"] is None


def test_the_same_rows_have_the_same_digest_on_any_number_of_threads_and_in_any_order(tmp_path: Path) -> None:
    rows = [row(0, basket, product, SPEND=f"{product}.{basket:02}") for basket in range(1, 60) for product in (1, 2, 3)]
    rows += [row(0, 1, 1, SPEND="9.99"), row(0, 2, 2, QUANTITY="3")]
    digests = {
        digest_table([extract(tmp_path / str(threads), order, threads)[0].transactions]).digest
        for threads, order in ((1, rows), (2, rows), (3, rows[::-1]))
    }
    assert len(digests) == 1


def test_the_checks_of_a_week_fail_for_what_they_watch(tmp_path: Path) -> None:
    extracted, engine = extract(tmp_path, [row()])
    week = extracted.raw.week
    assert not quality.rows_reconcile(3, 1, 1).passed
    broken = tmp_path / "broken.parquet"
    with engine.session({"t": [extracted.transactions]}) as connection:
        connection.execute(
            f"COPY (SELECT * REPLACE (24::TINYINT AS shop_hour, 'nan'::DOUBLE AS spend) FROM t UNION ALL FROM t) TO '{broken}'"
        )
    ranged = quality.ranges(engine, broken, week)
    assert (ranged.passed, ranged.metadata["hour"], ranged.metadata["spend"]) == (False, 1, 1)
    assert not quality.unique_products(engine, broken).passed


def test_a_weeks_rows_are_compared_with_the_filled_weeks_before() -> None:
    from platform_assets.world_model.limits import Limits

    def passed(rows: int, *trailing: int) -> bool:
        return quality.row_count_band(rows, trailing, Limits()).passed

    assert passed(100, 60, 0, 100, 0, 150)
    assert not passed(100, 10, 0, 20, 30)
    assert not passed(10, 100, 100, 100)
    assert passed(10, 100, 0, 100)
    assert passed(0, 100, 100, 100), "a missing week is named by week_present"
    assert passed(100, *[1] * 20, *[100] * 8), "only the last eight count"
