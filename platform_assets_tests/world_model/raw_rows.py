"""Small raw files for tests: a calendar, rows of one release or the other, written as a retailer would."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

FIRST = date(2006, 4, 10)
WEEKS = ("2006-04-10", "2006-04-17", "2006-04-24", "2006-05-01")
NUMBERS = (200607, 200608, 200609, 200610)
Row = dict[str, Any]
_RENAMED = {"seg_1": "CUST_PRICE_SENSITIVITY", "seg_2": "CUST_LIFESTAGE"}


def calendar_text(first: date = FIRST, numbers: Sequence[int] = NUMBERS) -> str:
    """A calendar file."""
    lines = ["shop_week,date_from,date_to"]
    for position, number in enumerate(numbers):
        monday = first + timedelta(weeks=position)
        lines.append(f"{number},{monday:%Y%m%d},{monday + timedelta(days=6):%Y%m%d}")
    return "\n".join(lines) + "\n"


def row(
    week: int = 0, basket: int = 1, product: int = 1, day: int = 0, customer: int | None = 1, **changed: Any
) -> Row:
    """One raw row of the current release, as texts; `week` and `day` count from 0, `changed` has raw column names."""
    when = FIRST + timedelta(weeks=week, days=day)
    found = {
        "SHOP_WEEK": NUMBERS[week], "SHOP_DATE": f"{when:%Y%m%d}", "SHOP_WEEKDAY": (when.weekday() + 1) % 7 + 1,
        "SHOP_HOUR": 10, "QUANTITY": 1, "SPEND": "1.25", "PROD_CODE": f"PRD{product:07}", "PROD_CODE_10": "CL00001",
        "PROD_CODE_20": "DEP00001", "PROD_CODE_30": "G00001", "PROD_CODE_40": "D00001",
        "CUST_CODE": "" if customer is None else f"CUST{customer:010}", "seg_1": "CT", "seg_2": "",
        "BASKET_ID": 994100000000000 + basket, "BASKET_SIZE": "S", "BASKET_PRICE_SENSITIVITY": "MM",
        "BASKET_TYPE": "Small Shop", "BASKET_DOMINANT_MISSION": "Fresh", "STORE_CODE": "STORE00001",
        "STORE_FORMAT": "LS", "STORE_REGION": "W01",
    }  # fmt: skip
    return {name: str(value) for name, value in {**found, **changed}.items()}


def older(raw: Mapping[str, Any]) -> Row:
    """The row under the older release's names."""
    return {_RENAMED.get(name, name): value for name, value in raw.items()}


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as a CSV file."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_raw(folder: Path, files: Mapping[str, Sequence[Mapping[str, Any]]], calendar: str | None = None) -> Path:
    """A folder of raw files, each as its name says, beside a calendar."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "time.csv").write_text(calendar_text() if calendar is None else calendar)
    for name, rows in files.items():
        if name.endswith(".parquet"):
            _write_parquet(folder / name, rows)
        elif name.endswith(".gz"):
            (folder / name).write_bytes(gzip.compress(csv_text(rows).encode()))
        else:
            (folder / name).write_text(csv_text(rows))
    return folder


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = {"SHOP_WEEK": int, "SHOP_WEEKDAY": int, "SHOP_HOUR": int, "QUANTITY": int, "SPEND": float}
    table = [{name: numbers.get(name, str)(value) or None for name, value in raw.items()} for raw in rows]
    pq.write_table(pa.Table.from_pylist(table), path, row_group_size=2)


def a_month() -> dict[int, list[Row]]:
    """Rows by week, clean: customer 1 comes every week, 2 in the first and the last, one basket a week is anonymous."""
    weeks = {}
    for week in range(len(WEEKS)):
        rows = [row(week, 10 * week + 1, product, day=week) for product in (1, 2, 3)]
        rows += [row(week, 10 * week + 2, 4, day=6, customer=None)]
        rows += [row(week, 10 * week + 3, product, customer=2, SPEND="-0.5") for product in (1, 5) if week in (0, 3)]
        weeks[week] = rows
    return weeks
