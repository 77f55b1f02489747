"""The columns of `trino_queries`, the table that Trino's MySQL event listener writes, and the names inside them.

Names, order and meaning are the listener's. Columns that neither a recording nor a law says anything about (splits, network,
plans) are left out rather than filled with zeros. There is no create time: it is the first fifteen characters of query_id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

SCHEMA = pa.schema([
    pa.field("query_id", pa.string(), nullable=False),
    pa.field("query", pa.string(), nullable=False),
    ("update_type", pa.string()),
    ("prepared_query", pa.string()),
    pa.field("query_state", pa.string(), nullable=False),
    pa.field("user", pa.string(), nullable=False),
    ("user_agent", pa.string()),
    ("client_info", pa.string()),
    pa.field("client_tags_json", pa.string(), nullable=False),
    ("source", pa.string()),
    ("catalog", pa.string()),
    ("schema", pa.string()),
    ("resource_group_id", pa.string()),
    pa.field("session_properties_json", pa.string(), nullable=False),
    pa.field("server_address", pa.string(), nullable=False),
    pa.field("server_version", pa.string(), nullable=False),
    pa.field("environment", pa.string(), nullable=False),
    ("query_type", pa.string()),
    ("error_code", pa.string()),
    ("error_type", pa.string()),
    ("failure_message", pa.string()),
    pa.field("cpu_time_millis", pa.int64(), nullable=False),
    pa.field("wall_time_millis", pa.int64(), nullable=False),
    pa.field("queued_time_millis", pa.int64(), nullable=False),
    pa.field("peak_memory_bytes", pa.int64(), nullable=False),
    pa.field("total_rows", pa.int64(), nullable=False),
    ("output_rows", pa.int64()),
])  # fmt: skip
LOG_FILE = "queries.parquet"
COORDINATOR = "k7m2q"
FINISHED, FAILED = "FINISHED", "FAILED"
# The type that Trino files each error under.
ERROR_TYPES = {
    "SYNTAX_ERROR": "USER_ERROR",
    "COLUMN_NOT_FOUND": "USER_ERROR",
    "TABLE_NOT_FOUND": "USER_ERROR",
    "FUNCTION_NOT_FOUND": "USER_ERROR",
    "INVALID_CAST_ARGUMENT": "USER_ERROR",
    "USER_CANCELED": "USER_ERROR",
    "EXCEEDED_CPU_LIMIT": "INSUFFICIENT_RESOURCES",
    "EXCEEDED_TIME_LIMIT": "INSUFFICIENT_RESOURCES",
    "EXCEEDED_LOCAL_MEMORY_LIMIT": "INSUFFICIENT_RESOURCES",
}
RESOURCE_ERRORS = tuple(name for name, kind in ERROR_TYPES.items() if kind == "INSUFFICIENT_RESOURCES")


@dataclass(frozen=True)
class Error:
    """What went wrong, under Trino's name for it."""

    code: str
    message: str

    @property
    def type(self) -> str:
        """The kind Trino files it under."""
        return ERROR_TYPES[self.code]


def query_id(second: int, number: int) -> str:
    """Trino's identifier of the day's `number`-th query, created at `second` since 1970 (UTC)."""
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%d_%H%M%S}_{number:05d}_{COORDINATOR}"


def created(identifier: str) -> int:
    """Seconds since 1970 of a query's creation, from its identifier."""
    return int(datetime.strptime(identifier[:15], "%Y%m%d_%H%M%S").replace(tzinfo=UTC).timestamp())
