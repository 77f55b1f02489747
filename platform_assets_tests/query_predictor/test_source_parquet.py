"""Queries as Parquet of any types and zones; every row is in one day or in none, and other days are not read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import query_rows
from platform_assets.query_predictor.sources import open_source
from platform_assets_tests.query_predictor.query_samples import DAY, NOON, documented, event_row
from platform_assets_tests.query_predictor.source_days import EXPECTED, extract, parquet


def test_row_groups_of_other_days_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        documented(queryId=f"q{day}", createTime=NOON + timedelta(days=day), endTime=NOON + timedelta(days=40))
        for day in range(30)
    ]
    source = parquet(tmp_path / "log.parquet", rows, row_group_size=1)
    listed = [event_row(query_id=f"{NOON + timedelta(days=day):%Y%m%d}_120000_00001_abcde") for day in range(30)]
    other = parquet(tmp_path / "b" / "log.parquet", listed, row_group_size=1)
    asked: list[int] = []
    read = pq.ParquetFile.iter_batches

    def counted(file: pq.ParquetFile, size: int, groups: list[int], *rest: Any, **named: Any) -> Any:
        asked.append(len(groups))
        return read(file, size, groups, *rest, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    assert [len(batch) for path in (source, other) for batch in open_source(path).read(date(2026, 1, 15))] == [1, 1]
    assert asked == [1, 1]


def test_parquet_of_other_types_and_zones_says_the_same(tmp_path: Path) -> None:
    row = documented()
    naive = {
        **row,
        "createTime": NOON.replace(tzinfo=None),
        "endTime": "2026-01-05 12:00:03 UTC",
        "cpuTime": timedelta(seconds=1.5),
    }
    zoned = {**row, "createTime": "2026-01-05T13:00:00+01:00", "cpuTime": "PT1.5S", "peakUserMemoryBytes": 1024.0}
    for name, changed in (("naive", naive), ("zoned", zoned)):
        assert extract(parquet(tmp_path / f"{name}.parquet", [changed]), tmp_path)[1] == [EXPECTED]
    file = tmp_path / "nanoseconds.parquet"
    typed = pa.Table.from_pylist([row]).set_column(0, "queryId", pa.array([row["queryId"]]).dictionary_encode())
    place = typed.schema.names.index("createTime")
    pq.write_table(typed.set_column(place, "createTime", pa.array([NOON], pa.timestamp("ns", "UTC"))), file)
    assert extract(str(file), tmp_path)[1] == [EXPECTED]


def test_a_text_that_is_not_utf8_is_quarantined_alone(tmp_path: Path) -> None:
    found = pa.Table.from_pylist([documented(), documented(queryId="20260105_120000_00002_abcde")])
    texts = pa.Array.from_buffers(
        pa.string(), 2, pa.array([b"SELECT a FROM t", b"SELECT \xff\xfe"], pa.binary()).buffers()
    )
    pq.write_table(found.set_column(1, "query", texts), tmp_path / "log.parquet")
    _, queries, quarantined = extract(str(tmp_path / "log.parquet"), tmp_path)
    assert (queries, [row["rule"] for row in quarantined]) == ([EXPECTED], ["unreadable_text"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "query": st.sampled_from([None, "", "SELECT '\x00'", "SELECT 2"]), "user": st.sampled_from([None, "ann"]),
                "cpuTime": st.none() | st.floats(), "peakUserMemoryBytes": st.none() | st.integers(-(2**63), 2**63 - 1),
                "createTime": st.none() | st.datetimes(), "endTime": st.none() | st.datetimes(),
                "queryId": st.sampled_from([None, "", "20260105_120000_00001_abcde", "20261399_000000_0", "z"]),
            },
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_whatever_parquet_holds_every_row_is_in_one_day_or_in_none(
    tmp_path: Path, drawn: list[Mapping[str, Any]]
) -> None:
    schema = pa.Table.from_pylist([documented(errorName="", errorType="")]).schema
    for name in ("createTime", "endTime"):
        schema = schema.set(schema.names.index(name), pa.field(name, pa.timestamp("us")))
    rows = [
        documented(createTime=NOON.replace(tzinfo=None), endTime=NOON.replace(tzinfo=None)) | dict(row) for row in drawn
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "log.parquet", row_group_size=3)
    source = open_source(str(tmp_path / "log.parquet"))
    placed = [query_rows.day_of(row) for batch in source.read(DAY, strays=True) for row in batch]
    days = {query_rows.day_of(query_rows.RawQuery(row["queryId"], created=row["createTime"])) for row in rows} - {
        None,
        DAY,
    }
    read = {day: sum(len(batch) for batch in source.read(day)) for day in days if day is not None}
    assert len(placed) + sum(read.values()) == len(rows)
    assert all(read.values())
    extract(str(tmp_path / "log.parquet"), tmp_path, strays=True)
