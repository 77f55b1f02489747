"""Sources of queries: three adapters to one day of typed rows, and what becomes of rows that break a rule."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core.warehouse import WarehouseError
from platform_assets.query_predictor import query_rows, source_parquet
from platform_assets.query_predictor.query_rows import RULES, moment, seconds
from platform_assets.query_predictor.sources import SourceError, open_source
from platform_assets_tests.query_predictor.query_samples import DAY, NOON, completed_event, documented, event_row
from platform_assets_tests.query_predictor.source_days import EXPECTED, Row, extract, json_lines, parquet, table


def test_every_adapter_gives_the_same_query(tmp_path: Path, empty_postgres_url: str) -> None:
    sources = (
        parquet(tmp_path / "a" / "log.parquet", [documented()]),
        parquet(tmp_path / "b" / "exported.parquet", [event_row()]),
        json_lines(tmp_path / "log.jsonl", [completed_event()]),
        table(empty_postgres_url, [event_row()]),
    )
    for source in sources:
        _, queries, quarantined = extract(source, tmp_path)
        assert (queries, quarantined) == ([EXPECTED], []), source


def test_a_failed_query_keeps_its_errors_name_and_type(tmp_path: Path, empty_postgres_url: str) -> None:
    failed = {
        "errorName": "Exceeded_Cpu_Limit",
        "errorType": "INSUFFICIENT_RESOURCES",
        "queryState": "failed",
        "queryType": None,
    }
    failure = {"errorCode": {"code": 131077, "name": "EXCEEDED_CPU_LIMIT", "type": "INSUFFICIENT_RESOURCES"}}
    listed = {
        "error_code": "EXCEEDED_CPU_LIMIT",
        "error_type": "INSUFFICIENT_RESOURCES",
        "query_state": "FAILED",
        "query_type": None,
    }
    event = completed_event(failureInfo=failure, metadata__queryState="FAILED", context__queryType=None)
    expected = {**EXPECTED, **failed, "errorName": "EXCEEDED_CPU_LIMIT", "queryState": "FAILED"}
    for source in (
        parquet(tmp_path / "log.parquet", [documented(**failed)]),
        json_lines(tmp_path / "log.jsonl", [event]),
        table(empty_postgres_url, [event_row(**listed)]),
    ):
        assert extract(source, tmp_path)[1] == [expected]


BREACHES: dict[str, tuple[Row, ...]] = {
    "missing_query_id": ({"queryId": None}, {"queryId": " "}),
    "impossible_create_time": ({"createTime": datetime(2500, 1, 1, tzinfo=UTC)}, {"createTime": datetime(1900, 1, 1, tzinfo=UTC)}),
    "missing_end_time": ({"endTime": None}, {"endTime": datetime(2500, 1, 1, tzinfo=UTC)}),
    "end_before_create": ({"endTime": NOON - timedelta(seconds=1)},),
    "impossible_cost": ({"cpuTime": -0.1}, {"cpuTime": None}, {"cpuTime": float("nan")}, {"cpuTime": float("inf")},
                        {"peakUserMemoryBytes": -1}, {"peakUserMemoryBytes": None}),
    "missing_text": ({"query": None},),
    "missing_user": ({"user": None}, {"user": ""}),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "changes"), [(rule, case) for rule, cases in BREACHES.items() for case in cases])
def test_a_row_that_breaks_a_rule_is_quarantined_with_what_to_do(tmp_path: Path, rule: str, changes: Row) -> None:
    rows = [documented(queryId="20260105_000000_00009_other"), documented(**changes)]
    found, queries, quarantined = extract(parquet(tmp_path / "log.parquet", rows), tmp_path)
    assert [row["queryId"] for row in queries] == ["20260105_000000_00009_other"]
    assert (found.refused, quarantined[0]["rule"], quarantined[0]["remedy"]) == ({rule: 1}, rule, RULES[rule])
    told = json.loads(quarantined[0]["row"])
    assert told.get("query_id") == documented(**changes)["queryId"]
    assert quarantined[0]["reason"]


def test_rows_of_no_day_are_quarantined_by_the_one_day_that_asks_for_them(
    tmp_path: Path, empty_postgres_url: str
) -> None:
    lost = {"queryId": "x", "createTime": None}
    far = {"queryId": "y", "createTime": datetime(2500, 1, 1, tzinfo=UTC)}
    for source, strays in (
        (parquet(tmp_path / "log.parquet", [documented(), documented(**lost), documented(**far)]), 2),
        (table(empty_postgres_url, [event_row(), event_row(query_id="x"), event_row(query_id="20260230_120000_00001_abcde"),
                                    event_row(query_id="20260105-120000")]), 3),
    ):  # fmt: skip
        assert len(extract(source, tmp_path)[2]) == 0
        _, queries, quarantined = extract(source, tmp_path, strays=True)
        assert (len(queries), len(quarantined)) == (1, strays), (source, quarantined)
        other, _, again = extract(source, tmp_path, date(2026, 1, 6), strays=True)
        assert (other.kept, len(again)) == (0, strays)


def test_a_missing_create_time_is_that_of_the_id(tmp_path: Path) -> None:
    source = parquet(tmp_path / "log.parquet", [documented(createTime=None), documented()])
    found, queries, _ = extract(source, tmp_path)
    assert (queries, found.copies) == ([EXPECTED], 1)


def test_copies_are_counted_and_contradictions_quarantined(tmp_path: Path) -> None:
    rows = [documented(), documented(cpuTime=2.0), documented(), documented(cpuTime=2.0), documented(user="bob")]
    found, queries, quarantined = extract(parquet(tmp_path / "log.parquet", rows), tmp_path)
    assert (queries, found.rows_read, found.copies, found.refused) == ([EXPECTED], 5, 2, {"conflicting_query": 2})
    assert {json.loads(row["row"])["cpuTime"] for row in quarantined} == {1.5, 2.0}


def test_a_day_is_that_of_utc_to_the_microsecond(tmp_path: Path) -> None:
    first, last = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC) - timedelta(microseconds=1)
    times = [first - timedelta(microseconds=1), first, last, last + timedelta(microseconds=1)]
    rows = [documented(queryId=f"q{place}", createTime=time, endTime=time) for place, time in enumerate(times)]
    for source in (
        parquet(tmp_path / "log.parquet", rows, row_group_size=1),
        json_lines(tmp_path / "log.jsonl", [completed_event(metadata__queryId=row["queryId"], createTime=row["createTime"].isoformat(),
                                                            endTime=row["endTime"].isoformat()) for row in rows]),
    ):  # fmt: skip
        assert [row["queryId"] for row in extract(source, tmp_path)[1]] == ["q1", "q2"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (0, 0.0), ("PT1.5S", 1.5), ("PT8H6M12.345S", 29_172.345), ("P1DT1S", 86_401.0), ("PT-1.5S", -1.5), ("-PT1S", -1.0),
     ("2.5", 2.5), ("P", None), ("PT", None), ("1.50m", None), ("nan", None), (True, None), (None, None), (float("inf"), None),
     ("1e400", None), (10**400, None), ([], None)],
)  # fmt: skip
def test_durations_are_numbers_or_iso_texts(value: Any, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value",
    ["2026-01-05T12:00:00Z", "2026-01-05T12:00:00.000000000Z", "2026-01-05 12:00:00.000 UTC", "2026-01-05T07:00:00-05:00", NOON.timestamp(),
     int(NOON.timestamp() * 1000), NOON, NOON.replace(tzinfo=None), "2026-01-05T12:00:00"],
)  # fmt: skip
def test_times_are_texts_or_numbers(value: Any) -> None:
    assert moment(value) == NOON


@given(
    st.none()
    | st.booleans()
    | st.text()
    | st.floats()
    | st.integers()
    | st.datetimes()
    | st.binary()
    | st.lists(st.integers())
)
def test_no_value_at_all_breaks_the_readers(value: Any) -> None:
    for read in (seconds, moment, query_rows.created_from_id):
        read(value)


def test_a_table_in_a_schema_with_a_strange_name_is_quoted(tmp_path: Path, empty_postgres_url: str) -> None:
    source = table(empty_postgres_url, [event_row()], 'Log.trino"queries; drop'.replace('"', ""))
    assert extract(source.replace(" ", "%20").replace(";", "%3B"), tmp_path)[1] == [EXPECTED]


def test_hostile_texts_come_out_of_postgres_as_they_went_in(tmp_path: Path, empty_postgres_url: str) -> None:
    texts = [
        "SELECT '\\x00'",
        "\ufeffselect 'é😀' -- \u202e",
        "x" * 2_000_000,
        "'; DROP TABLE trino_queries; --",
        "%s $1 {0}",
    ]
    rows = [event_row(query_id=f"20260105_12000{place}_00001_abcde", query=text) for place, text in enumerate(texts)]
    rows.append(event_row(query_id="20260105_130000_00001_abcde", cpu_time_millis=-1, peak_memory_bytes=2**63 - 1))
    found, queries, quarantined = extract(table(empty_postgres_url, rows), tmp_path)
    assert [row["query"] for row in queries] == texts
    assert (found.refused, len(quarantined)) == ({"impossible_cost": 1}, 1)


def test_a_setting_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, empty_postgres_url: str) -> None:
    (tmp_path / "mixed").mkdir()
    for name in ("a.parquet", "b.jsonl"):
        (tmp_path / "mixed" / name).touch()
    cases = (
        ("", "is not set"), (str(tmp_path / "nothing"), "no .parquet"), (str(tmp_path / "mixed"), "holds both"),
        ("mysql://user:secret@host/db", "only s3:// and postgresql"), ("postgresql://user:secret@host/db/t", "PGPASSWORD"),
        ("postgresql://user@host/db", "host/database/table"),
    )  # fmt: skip
    for setting, message in cases:
        with pytest.raises(SourceError, match=message) as caught:
            open_source(setting)
        assert "secret" not in str(caught.value)
    (tmp_path / "mixed" / "b.jsonl").unlink()
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        list(open_source(str(tmp_path / "mixed")).read(DAY))
    with pytest.raises(SourceError, match="has no column cpuTime"):
        list(
            open_source(
                parquet(tmp_path / "x.parquet", [{k: v for k, v in documented().items() if k != "cpuTime"}])
            ).read(DAY)
        )
    place, _, options = empty_postgres_url.partition("?")
    with pytest.raises(SourceError, match="holds no such table"):
        list(open_source(f"{place}/nothing?{options}").read(DAY))
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("CREATE TABLE other (query_id text)")
    with pytest.raises(SourceError, match="has no column query, user"):
        list(open_source(f"{place}/other?{options}").read(DAY))
    with pytest.raises(WarehouseError):
        list(open_source("postgresql://nobody@127.0.0.1:1/db/t").read(DAY))


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    for name in ("b", "a", "_hidden"):
        parquet(tmp_path / "log" / f"{name}.parquet", [documented(user=name)])
    found, queries, _ = extract(str(tmp_path / "log"), tmp_path)
    assert (found.rows_read, queries[0]["user"]) == (2, "a")
    assert source_parquet.REQUIRED[0] == "queryId"
