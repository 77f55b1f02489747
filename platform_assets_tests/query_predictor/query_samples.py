"""Queries as sources and labels hold them: for the tests of the front rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.query_predictor.query_rows import QUERIES
from platform_assets.query_predictor.text_hash import text_hash

DAY = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
GIB = 2**30


def documented(**changes: Any) -> dict[str, Any]:
    """A row under the documented names, that breaks no rule."""
    row = {
        "queryId": "20260105_120000_00001_abcde", "query": "SELECT a FROM t", "user": "ann", "source": "cli", "catalog": "hive",
        "schema": "sales", "clientInfo": "NON-CURATED", "queryType": "SELECT", "queryState": "FINISHED", "errorName": None,
        "errorType": None, "cpuTime": 1.5, "peakUserMemoryBytes": 1024, "createTime": NOON, "endTime": NOON + timedelta(seconds=3),
    }  # fmt: skip
    return {**row, **changes}


def event_row(**changes: Any) -> dict[str, Any]:
    """The same query in the event listener's table."""
    row = {
        "query_id": "20260105_120000_00001_abcde", "query": "SELECT a FROM t", "user": "ann", "source": "cli", "catalog": "hive",
        "schema": "sales", "client_info": "NON-CURATED", "query_type": "SELECT", "query_state": "FINISHED", "error_code": None,
        "error_type": None, "cpu_time_millis": 1500, "wall_time_millis": 2500, "queued_time_millis": 500,
        "peak_memory_bytes": 1024,
    }  # fmt: skip
    return {**row, **changes}


def completed_event(**changes: Any) -> dict[str, Any]:
    """The same query as the HTTP event listener posts it; changes by dotted path."""
    event: dict[str, Any] = {
        "metadata": {"queryId": "20260105_120000_00001_abcde", "query": "SELECT a FROM t", "queryState": "FINISHED"},
        "statistics": {"cpuTime": 1.5, "wallTime": 2.5, "queuedTime": 0.5, "peakUserMemoryBytes": 1024, "complete": True},
        "context": {"user": "ann", "source": "cli", "catalog": "hive", "schema": "sales", "clientInfo": "NON-CURATED",
                    "queryType": "SELECT"},
        "ioMetadata": {"inputs": []}, "warnings": [],
        "createTime": "2026-01-05T12:00:00.000Z", "endTime": "2026-01-05T12:00:03Z",
    }  # fmt: skip
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = event
        for parent in parents:
            place = place[parent]
        place[name] = value
    return event


def typed_query(number: int, **changes: Any) -> dict[str, Any]:
    """A row of `queries`."""
    row = documented(queryId=f"20260105_120000_{number:05d}_abcde", **changes)
    return {**row, "textHash": text_hash(row["query"]).hex()}


def write_queries(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=QUERIES), path)
    return path
