"""Rows as Trino's HTTP event listener sends them: QueryCompletedEvent in JSON, durations in seconds, moments in ISO-8601.

What does not belong here: files, and parts of the event that the log's layout has no column for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from platform_assets.simulators.trino_cluster.layout import created

_CONTEXT = {
    "user": "user", "userAgent": "user_agent", "clientInfo": "client_info", "source": "source", "catalog": "catalog",
    "schema": "schema", "serverAddress": "server_address", "serverVersion": "server_version", "environment": "environment",
    "queryType": "query_type",
}  # fmt: skip
_METADATA = {
    "queryId": "query_id", "query": "query", "updateType": "update_type", "preparedQuery": "prepared_query",
    "queryState": "query_state",
}  # fmt: skip


def events(rows: pa.Table) -> Iterator[bytes]:
    """One line of JSON per row."""
    encoder = msgspec.json.Encoder()
    for row in rows.to_pylist():
        yield encoder.encode(_event(row)) + b"\n"


def _event(row: dict[str, Any]) -> dict[str, Any]:
    start = created(row["query_id"])
    queued, wall = row["queued_time_millis"] / 1_000, row["wall_time_millis"] / 1_000
    failure = {"failureInfo": _failure(row)} if row["error_code"] else {}
    return {
        "metadata": _named(row, _METADATA),
        "statistics": _statistics(row, queued, wall),
        "context": _named(row, _CONTEXT) | {
            "clientTags": json.loads(row["client_tags_json"]),
            "sessionProperties": json.loads(row["session_properties_json"]),
            "resourceGroupId": row["resource_group_id"].split("."),
        },
        **failure,
        "createTime": _moment(start),
        "executionStartTime": _moment(start + queued),
        "endTime": _moment(start + queued + wall),
    }  # fmt: skip


def _named(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """What is empty is left out, as Trino does."""
    return {name: row[column] for name, column in names.items() if row[column] is not None}


def _statistics(row: dict[str, Any], queued: float, wall: float) -> dict[str, Any]:
    return {
        "cpuTime": row["cpu_time_millis"] / 1_000,
        "wallTime": wall,
        "queuedTime": queued,
        "peakUserMemoryBytes": row["peak_memory_bytes"],
        "totalRows": row["total_rows"],
        "complete": True,
    } | _named(row, {"outputRows": "output_rows"})


def _failure(row: dict[str, Any]) -> dict[str, Any]:
    code = {"name": row["error_code"], "type": row["error_type"]}
    return {"errorCode": code, "failureMessage": row["failure_message"], "failuresJson": "[]"}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
