"""The columns of `trino_queries`, the table of Trino's MySQL event listener, wherever they stand: Postgres or a Parquet export.

It has no create time: that is in the query id. Its times are milliseconds, its end is creation + queued + wall time, and its
error_code is the error's name. What does not belong here: reading either of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from platform_assets.query_predictor.query_rows import RawQuery

REQUIRED = (
    "query_id", "query", "user", "query_type", "query_state", "error_code", "cpu_time_millis", "wall_time_millis",
    "queued_time_millis", "peak_memory_bytes",
)  # fmt: skip
OPTIONAL = ("source", "catalog", "schema", "client_info", "error_type")
COLUMNS = (*REQUIRED, *OPTIONAL)


def missing(names: Sequence[str]) -> list[str]:
    """Columns that a table of these names would have to have."""
    return [name for name in REQUIRED if name not in names]


def raw_query(row: Mapping[str, Any]) -> RawQuery:
    """A row of the table under our names; a column that the source has not is null."""
    return RawQuery(
        row["query_id"], row["query"], row["user"], row.get("source"), row.get("catalog"), row.get("schema"),
        row.get("client_info"), row["query_type"], row["query_state"], row["error_code"], row.get("error_type"),
        cpu_time=_seconds(row["cpu_time_millis"]), peak_bytes=row["peak_memory_bytes"],
        elapsed=(_seconds(row["queued_time_millis"]), _seconds(row["wall_time_millis"])),
    )  # fmt: skip


def _seconds(millis: Any) -> Any:
    """What is no number stays what it is: the rules name it as it was sent."""
    return millis / 1000 if isinstance(millis, int | float) and not isinstance(millis, bool) else millis
