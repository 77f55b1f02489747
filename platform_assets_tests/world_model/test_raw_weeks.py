"""A week's raw rows are the same whatever files hold them: one a week or many, CSV or Parquet, either release."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core.engine import Engine
from platform_assets.world_model.raw_files import RawFolder
from platform_assets.world_model.raw_schema import COLUMNS, RawDataError
from platform_assets.world_model.raw_weeks import RawWeek, RawWeeks
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.world_model.raw_rows import (
    NUMBERS,
    WEEKS,
    a_month,
    calendar_text,
    csv_text,
    older,
    row,
    write_raw,
)

MONTH = a_month()
ALL = [each for rows in MONTH.values() for each in rows]
WEEKLY = {f"transactions_{number}": rows for number, rows in zip(NUMBERS, MONTH.values(), strict=True)}
LAYOUTS = {
    "csv a week": {f"{name}.csv": rows for name, rows in WEEKLY.items()},
    "csv.gz a week": {f"{name}.csv.gz": rows for name, rows in WEEKLY.items()},
    "parquet a week": {f"{name}.parquet": rows for name, rows in WEEKLY.items()},
    "one csv": {"all.csv": ALL},
    "one csv.gz": {"all.csv.gz": ALL[::-1]},
    "one parquet": {"all.parquet": ALL},
    "mixed": {
        "transactions_200607.csv": MONTH[0], "transactions_200608.parquet": MONTH[1],
        "200609_to_200610.csv.gz": MONTH[2] + MONTH[3][:1], "rest.parquet": MONTH[3][1:],
    },
}  # fmt: skip


def open_weeks(folder: Path | str, scratch: Path, weeks: tuple[str, ...] = WEEKS) -> RawWeeks:
    scratch.mkdir(parents=True, exist_ok=True)
    return RawWeeks(RawFolder(str(folder)), Engine(scratch / "spill"), weeks, scratch)


def read(weeks: RawWeeks, key: str) -> tuple[RawWeek, list[dict[str, Any]]]:
    target = weeks.scratch / "week" / key
    target.mkdir(parents=True)
    raw = weeks.read(key, target)
    rows = weeks.engine.rows(f"SELECT {', '.join(COLUMNS)} FROM raw", {"raw": raw.rows})
    return raw, sorted(rows, key=lambda found: (found["basket_id"], found["prod_code"]))


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What reading must give: our names, texts, null for what is empty; spend as its number."""
    named = [{name.lower(): value or None for name, value in raw.items()} for raw in rows]
    found = [{name: each.get(name) for name in COLUMNS} | {"spend": float(each["spend"] or "nan")} for each in named]
    return sorted(found, key=lambda each: (each["basket_id"], each["prod_code"]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_week_is_the_same_from_every_layout_of_files(tmp_path: Path, layout: str) -> None:
    weeks = open_weeks(write_raw(tmp_path / "raw", LAYOUTS[layout]), tmp_path / "scratch")
    for number, key in enumerate(WEEKS):
        raw, rows = read(weeks, key)
        assert [{**each, "spend": float(each["spend"])} for each in rows] == plain(MONTH[number])
        assert (raw.source_rows, raw.week.number, sum(raw.strays.values())) == (len(rows), NUMBERS[number], 0)


def test_weeks_that_a_run_does_not_ask_for_are_not_taken_for_rows_without_a_week(tmp_path: Path) -> None:
    weeks = open_weeks(write_raw(tmp_path / "raw", LAYOUTS["one csv"]), tmp_path / "scratch", WEEKS[1:2])
    raw, rows = read(weeks, WEEKS[1])
    assert (len(rows), raw.strays["unreadable lines"] if raw.strays else 0) == (len(MONTH[1]), 0)


def test_the_older_releases_columns_are_kept_under_their_own_names(tmp_path: Path) -> None:
    files = {"transactions_200607.csv": [older(row())], "transactions_200608.csv": [row(1)]}
    weeks = open_weeks(write_raw(tmp_path / "raw", files), tmp_path / "scratch")
    (first,), (second,) = (read(weeks, key)[1] for key in WEEKS[:2])
    assert (first["cust_price_sensitivity"], first["cust_lifestage"], first["seg_1"]) == ("CT", None, None)
    assert (second["cust_price_sensitivity"], second["seg_1"]) == (None, "CT")


@pytest.mark.parametrize("name", ["all.csv", "all.parquet"])
def test_rows_of_no_week_are_counted_by_what_they_say(tmp_path: Path, name: str) -> None:
    week: dict[str, Any] = {"SHOP_WEEK": 209913} if name.endswith("parquet") else {"SHOP_WEEK": "2006-7"}
    rows = [row(), row(basket=2, **week), row(basket=3, **week)]
    raw, kept = read(open_weeks(write_raw(tmp_path / "raw", {name: rows}), tmp_path / "scratch"), WEEKS[0])
    assert len(kept) == raw.source_rows == 1
    assert {text: count for text, count in raw.strays.items() if count} == {str(week["SHOP_WEEK"]): 2}


def test_lines_that_are_no_rows_are_kept_as_text_with_their_fault(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "raw", {"transactions_200607.csv": [row(), row(basket=2)]})
    path = folder / "transactions_200607.csv"
    path.write_text(path.read_text() + "200607,20060410\n" + "x," * 40 + "\n")
    weeks = open_weeks(folder, tmp_path / "scratch")
    raw, rows = read(weeks, WEEKS[0])
    lines = weeks.engine.rows("SELECT line, content FROM lines ORDER BY 1", {"lines": raw.lines})
    assert (len(rows), raw.source_rows) == (2, 4)
    assert [(found["line"], found["content"][:15]) for found in lines] == [
        (4, "200607,20060410"),
        (5, "x,x,x,x,x,x,x,x"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        (
            "transactions_200607.csv",
            "a,b\n1,2\n",
            r"transactions_200607.csv lacks the columns SHOP_WEEK, .*seg_1 and seg_2",
        ),
        ("transactions_200607.csv", "", r"transactions_200607.csv lacks the columns SHOP_WEEK.*it has none"),
        ("all.csv", csv_text([row()]).replace("SPEND", "PAID"), "all.csv lacks the columns SPEND;"),
        ("all.csv", csv_text([row()]).replace("PROD_CODE_10", "prod_code"), "all.csv has the column PROD_CODE twice"),
        ("all.parquet", "no parquet at all", "all.parquet cannot be read.*damaged"),
        ("all.csv.gz", "no gzip at all", "all.csv.gz cannot be read.*damaged"),
        ("transactions_200607.csv", b"SHOP_W\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_is_wrong(tmp_path: Path, name: str, content, fault: str) -> None:
    folder = write_raw(tmp_path / "raw", {})
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RawDataError, match=fault):
        read(open_weeks(folder, tmp_path / "scratch"), WEEKS[0])


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "raw", {})
    many = gzip.compress(csv_text([row(basket=n) for n in range(20_000)]).encode())
    (folder / "transactions_200607.csv.gz").write_bytes(many[: len(many) // 2])
    with pytest.raises(RawDataError, match=r"transactions_200607.csv.gz cannot be read"):
        read(open_weeks(folder, tmp_path / "scratch"), WEEKS[0])


def test_a_folder_without_calendar_or_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match=r"holds no time.csv: .*PLATFORM_RETAIL_SOURCE"):
        read(open_weeks(tmp_path / "nowhere", tmp_path / "a"), WEEKS[0])
    with pytest.raises(RawDataError, match=r"holds no .csv, .csv.gz, .parquet file"):
        read(open_weeks(write_raw(tmp_path / "raw", {}), tmp_path / "b"), WEEKS[0])
    with pytest.raises(RawDataError, match="write a folder's path or s3://"):
        RawFolder("https://host/raw")
    with pytest.raises(RawDataError, match="holds credentials"):
        RawFolder("s3://key:secret@bucket/raw")


def test_a_name_with_one_week_of_the_calendar_is_a_file_of_that_week(tmp_path: Path) -> None:
    names = [
        "transactions_200607.csv",
        "200608.parquet",
        "200607_200609.csv",
        "x_299913.csv",
        "20060410.csv",
        "all.csv",
    ]
    folder = write_raw(tmp_path, {name: [row()] for name in names}, calendar_text())
    (folder / "README.md").write_text("no data")
    (folder / "below").mkdir()
    found = {file.name: file.shop_week for file in RawFolder(str(folder)).files(frozenset(NUMBERS))}
    assert found == dict(zip(names, [200607, 200608, None, None, None, None], strict=True))


@pytest.mark.parametrize("layout", ["csv.gz a week", "one parquet", "one csv"])
def test_a_bucket_is_read_as_a_folder_is(
    moto: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    url = upload(write_raw(tmp_path / "raw", LAYOUTS[layout]), moto.use(monkeypatch))
    weeks = open_weeks(url, tmp_path / "scratch")
    for number, key in enumerate(WEEKS):
        assert len(read(weeks, key)[1]) == len(MONTH[number])


def test_a_bucket_that_is_not_there_is_named_with_its_setting(moto: Server, tmp_path, monkeypatch) -> None:
    moto.use(monkeypatch)
    with pytest.raises(RawDataError, match=r"bucket nobodys-bucket does not exist.*PLATFORM_RETAIL_SOURCE"):
        open_weeks("s3://nobodys-bucket/raw", tmp_path / "scratch").calendar  # noqa: B018


def upload(folder: Path, url: str) -> str:
    """Every file of a folder, to a prefix."""
    from platform_assets.core.s3_store import S3Store

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    store = S3Store(bucket, f"{prefix}/raw")
    for path in folder.iterdir():
        store.put(path.name, path.read_bytes())
    return f"s3://{bucket}/{prefix}/raw"
