"""Bad input planted by the simulated retailer: what is in the rows is what the ground truth counts, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from platform_assets.simulators.retailer.__main__ import main

COMMAND = ["--rows", "60000", "--weeks", "6", "--stores", "40", "--customers", "200", "--missing_weeks", "200609"]
FAULTS = ["--unknown_codes", "41", "--bad_rows", "62"]
PARQUET_REASONS = ["date_outside_week", "hour_out_of_range", "missing_product", "missing_store", "negative_quantity"]


def simulate(folder: Path, *more: str) -> tuple[pd.DataFrame, dict, pd.DataFrame]:
    """Rows as text, truth.json, and the planted rows."""
    output, truth = folder / "rows", folder / "truth"
    assert main([*COMMAND, *more, "--output", str(output), "--ground_truth", str(truth)]) == 0
    text = [pd.read_csv(path, dtype=str) for path in sorted(output.glob("transactions_*.csv"))]
    tables = text + [pq.read_table(path).to_pandas() for path in sorted(output.glob("transactions_*.parquet"))]
    planted = pq.read_table(truth / "planted_rows.parquet").to_pandas()
    return pd.concat(tables, ignore_index=True).astype(str), json.loads((truth / "truth.json").read_text()), planted


def count_broken(rows: pd.DataFrame, calendar: pd.DataFrame) -> dict[str, int]:
    """What a reader without the truth finds, by reason."""
    weeks = rows.merge(calendar, left_on="SHOP_WEEK", right_on="shop_week", how="left", validate="m:1")
    outside = (weeks["SHOP_DATE"] < weeks["date_from"]) | (weeks["SHOP_DATE"] > weeks["date_to"])
    return {
        "missing_product": int((rows["PROD_CODE"] == "nan").sum()),
        "missing_store": int((rows["STORE_CODE"] == "nan").sum()),
        "hour_out_of_range": int((rows["SHOP_HOUR"] == "25").sum()),
        "negative_quantity": int((rows["QUANTITY"].astype(int) <= 0).sum()),
        "date_outside_week": int(outside.sum()),
        "unreadable_spend": int(pd.to_numeric(rows["SPEND"], errors="coerce").isna().sum()),
        "unknown_product": int(
            (rows["PROD_CODE"] >= "PRD09").sum() and rows["PROD_CODE"].str.startswith("PRD99").sum()
        ),
        "unknown_store": int(rows["STORE_CODE"].str.startswith("STORE9").sum()),
    }


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_every_planted_row_is_found_in_the_rows_and_counted_by_reason(tmp_path: Path, format: str) -> None:
    rows, truth, planted = simulate(tmp_path, *FAULTS, "--format", format)
    calendar = pd.read_csv(tmp_path / "rows" / "time.csv", dtype=str)
    found = {reason: count for reason, count in count_broken(rows, calendar).items() if count}
    assert found == truth["planted_rows"] == planted["reason"].value_counts().to_dict()
    bad = {reason: count for reason, count in found.items() if not reason.startswith("unknown")}
    assert sum(bad.values()) == 62
    assert set(bad) == {*PARQUET_REASONS, *(["unreadable_spend"] if format == "csv" else [])}
    assert max(bad.values()) - min(bad.values()) <= 1


def test_unknown_codes_occur_on_one_row_or_in_one_basket_and_are_as_many_as_asked_for(tmp_path: Path) -> None:
    rows, _, planted = simulate(tmp_path, *FAULTS)
    products = rows[rows["PROD_CODE"].str.startswith("PRD99")]
    stores = rows[rows["STORE_CODE"].str.startswith("STORE9")]
    assert products["PROD_CODE"].is_unique
    assert stores.groupby("STORE_CODE")["BASKET_ID"].nunique().max() == 1
    assert products["PROD_CODE"].nunique() + stores["STORE_CODE"].nunique() == 41
    recorded = planted[planted["reason"] == "unknown_product"]["prod_code"]
    assert sorted(recorded) == sorted(products["PROD_CODE"])


def test_unknown_stores_that_meet_in_one_basket_do_not_hide_each_other(tmp_path: Path) -> None:
    rows, _, _ = simulate(tmp_path, "--unknown_codes", "6000")
    products = rows["PROD_CODE"][rows["PROD_CODE"].str.startswith("PRD99")]
    stores = rows["STORE_CODE"][rows["STORE_CODE"].str.startswith("STORE9")]
    assert products.is_unique
    assert len(products) > stores.nunique() > 1_500
    assert len(products) + stores.nunique() == 6_000


def test_without_faults_nothing_is_planted_and_the_rest_of_the_rows_is_the_same(tmp_path: Path) -> None:
    clean, truth, planted = simulate(tmp_path / "clean")
    faulty, _, changed = simulate(tmp_path / "faulty", *FAULTS)
    assert truth["planted_rows"] == {}
    assert len(planted) == 0
    differs = (clean != faulty).any(axis=1)
    assert set(faulty[differs]["BASKET_ID"]) == set(changed["basket_id"].astype(str))
    assert differs.sum() <= len(changed)


def test_the_truth_names_missing_weeks_rows_by_week_and_what_every_customer_is(tmp_path: Path) -> None:
    rows, truth, _ = simulate(tmp_path)
    assert truth["missing_weeks"] == [200609]
    assert truth["rows_by_week"] == rows["SHOP_WEEK"].value_counts().to_dict()
    folder = tmp_path / "truth"
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    assert len(arrays["customers_codes"]) == len(arrays["customers_favourites"]) == 200
    assert set(rows["CUST_CODE"]) - {"nan", "None"} <= set(arrays["customers_codes"])
    assert arrays["prices_cents"].shape == (6, 4_997)
    baskets = pq.read_table(folder / "baskets.parquet")
    assert set(map(str, baskets["basket_id"].to_pylist())) == set(rows["BASKET_ID"])


def test_a_missing_week_that_the_calendar_does_not_hold_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(["--rows", "100", "--weeks", "6", "--missing_weeks", "200713", "--output", str(tmp_path)]) == 1
    assert "missing week 200713 is not in the calendar of 6 weeks" in capsys.readouterr().err
