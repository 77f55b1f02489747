"""Labels of a day: heavy or not and why, what is dropped for which reason, and that every row is somewhere."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import categories, labels, templates
from platform_assets.query_predictor.documented_keys import CENSORED_ERRORS, HEAVY_ERRORS, DataLoading
from platform_assets_tests.query_predictor.query_samples import GIB, NOON, typed_query, write_queries

Row = dict[str, Any]


def label(
    folder: Path, rows: list[Row], rules: DataLoading | None = None
) -> tuple[labels.LabelledDay, list[Row], list[Row]]:
    folder.mkdir(exist_ok=True)
    queries = write_queries(folder / "queries.parquet", rows)
    day = labels.label_day(Engine(folder, threads=1), queries, rules or DataLoading(), folder)
    kept = [row for path in (day.light, day.heavy) for row in pq.ParquetFile(path).read().to_pylist()]
    dropped = pq.read_table(day.dropped).to_pylist()
    assert labels.rows_reconcile(day).passed, labels.rows_reconcile(day).reason
    return day, kept, dropped


def test_thresholds_are_included_as_documented(tmp_path: Path) -> None:
    cases = (
        (300.0, 0, None, "cpu"), (299.999, 0, None, None), (0.0, 10 * GIB, None, None), (0.0, 10 * GIB + 1, None, "memory"),
        (300.0, 11 * GIB, "EXCEEDED_CPU_LIMIT", "cpu"), (1.0, 0, "EXCEEDED_TIME_LIMIT", "error"), (1.0, 0, "SYNTAX_ERROR", None),
    )  # fmt: skip
    rows = [
        typed_query(number, cpuTime=cpu, peakUserMemoryBytes=peak, errorName=error)
        for number, (cpu, peak, error, _) in enumerate(cases)
    ]
    day, kept, _ = label(tmp_path, rows)
    found = {row["queryId"]: (row["is_heavy"], row["heavy_reason"]) for row in kept}
    assert found == {row["queryId"]: (case[3] is not None, case[3]) for row, case in zip(rows, cases, strict=True)}
    assert day.heavy_reasons == {"cpu": 2, "error": 1, "memory": 1}


def test_a_killed_query_is_never_light(tmp_path: Path) -> None:
    rows = [typed_query(number, errorName=error, cpuTime=cpu) for number, (error, cpu) in enumerate(
        (error, cpu) for error in CENSORED_ERRORS for cpu in (1.0, 400.0))]  # fmt: skip
    day, kept, dropped = label(tmp_path, rows)
    assert {row["drop_reason"] for row in dropped} == {"censored"}
    assert len(dropped) == len(CENSORED_ERRORS) == day.reasons["censored"]
    assert all(row["is_heavy"] for row in kept)


def test_part_of_an_errors_name_is_no_error_of_the_list(tmp_path: Path) -> None:
    rows = [typed_query(1, errorName="EXCEEDED_CPU_LIMIT,EXCEEDED_SCAN_LIMIT"), typed_query(2, errorName="USER_CANCEL"),
            typed_query(3, errorName="")]  # fmt: skip
    _, kept, dropped = label(tmp_path, rows)
    assert (len(kept), dropped, [row["is_heavy"] for row in kept]) == (3, [], [False] * 3)


def test_null_query_types_stay_unless_configured_otherwise(tmp_path: Path) -> None:
    rows = [typed_query(1, queryType=None), typed_query(2, queryType="EXPLAIN"), typed_query(3, queryType="NEWTYPE")]
    assert len(label(tmp_path, rows)[1]) == 2
    assert len(label(tmp_path, rows, DataLoading(keep_null_query_types=False))[1]) == 1
    assert len(label(tmp_path, rows, DataLoading(dropped_query_types=()))[1]) == 3


def test_the_pattern_of_curated_clients_is_off_until_it_is_set(tmp_path: Path) -> None:
    rows = [typed_query(1), typed_query(2, clientInfo="CURATED dashboard"), typed_query(3, clientInfo=None)]
    assert len(label(tmp_path, rows)[1]) == 3
    day, kept, _ = label(tmp_path, rows, DataLoading(curated_pattern="NON-CURATED"))
    assert ([row["queryId"] for row in kept], day.reasons["curated"]) == ([rows[0]["queryId"]], 2)
    assert len(label(tmp_path, rows, DataLoading(curated_pattern=""))[1]) == 2


def test_files_by_label_read_as_one_table_with_its_column(tmp_path: Path) -> None:
    label(tmp_path, [typed_query(1), typed_query(2, cpuTime=900.0)])
    sql = f"SELECT queryId, is_heavy::BOOLEAN FROM read_parquet('{tmp_path}/is_heavy=*/rows.parquet', hive_partitioning=true) ORDER BY 1"
    assert [heavy for _, heavy in duckdb.sql(sql).fetchall()] == [False, True]


def test_an_empty_day_has_empty_files(tmp_path: Path) -> None:
    day, kept, dropped = label(tmp_path, [])
    assert (kept, dropped, day.texts, day.reasons) == ([], [], 0, dict.fromkeys(labels.DROP_REASONS, 0))


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.integers(0, 12),
            "query": st.sampled_from(
                ["SELECT a FROM t WHERE b = 1", "select a from t where b = 2", "-- nothing", "", "SHOW TABLES", "x '"]
            ),
            "queryType": st.sampled_from([None, "SELECT", "EXPLAIN", "DATA_DEFINITION", "OTHER"]),
            "clientInfo": st.sampled_from([None, "NON-CURATED", "CURATED"]),
            "errorName": st.sampled_from([None, "USER_CANCELED", "EXCEEDED_SCAN_LIMIT", "SYNTAX_ERROR"]),
            "cpuTime": st.sampled_from([0.0, 150.0, 299.0, 300.0, 450.0, 1e9]),
            "peakUserMemoryBytes": st.sampled_from([0, 5 * GIB, 10 * GIB, 10 * GIB + 1, 2**62]),
        }
    ),
    max_size=25,
)


def reason_of(row: Row, is_copy: bool, pattern: str | None) -> str | None:
    """The first reason, one at a time."""
    if is_copy:
        return "duplicate"
    if categories.category(row["query"]) == "blank":
        return "blank"
    if row["queryType"] in ("DATA_DEFINITION", "DESCRIBE", "EXPLAIN"):
        return "query_type"
    if pattern and pattern not in (row["clientInfo"] or ""):
        return "curated"
    is_heavy = row["cpuTime"] >= 300 or row["peakUserMemoryBytes"] > 10 * GIB or row["errorName"] in HEAVY_ERRORS
    return "censored" if row["errorName"] in CENSORED_ERRORS and not is_heavy else None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from([None, "NON-CURATED"]))
def test_every_row_is_judged_as_one_at_a_time(tmp_path: Path, drawn: list[Row], pattern: str | None) -> None:
    # Rows of one id are told apart by their time; the earliest is no copy.
    rows = [typed_query(**row, createTime=NOON + timedelta(seconds=place), endTime=NOON + timedelta(hours=1))
            for place, row in enumerate(drawn)]  # fmt: skip
    _, kept, dropped = label(tmp_path / "day", rows, DataLoading(curated_pattern=pattern))
    seen: set[str] = set()
    expected = {}
    for row in rows:
        expected[row["createTime"]] = (row["queryId"], reason_of(row, row["queryId"] in seen, pattern))
        seen.add(row["queryId"])
    assert {row["createTime"]: (row["queryId"], row.get("drop_reason")) for row in (*kept, *dropped)} == expected
    for row in (*kept, *dropped):
        assert row["boundary_distance"] == pytest.approx(
            min(abs(row["cpuTime"] - 300) / 300, abs(row["peakUserMemoryBytes"] / GIB - 10) / 10)
        )
        assert row["template"] == templates.template(row["query"])
        assert row["category"] == categories.category(row["query"])
