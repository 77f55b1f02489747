"""A day of queries read from a source that a test writes: as Parquet, as JSON lines, as a table in Postgres."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import extraction, query_rows
from platform_assets.query_predictor.sources import open_source
from platform_assets.query_predictor.text_hash import text_hash
from platform_assets_tests.query_predictor.query_samples import DAY, documented

Row = dict[str, Any]


EXPECTED = {**documented(), "textHash": text_hash("SELECT a FROM t").hex()}


def extract(
    source: str, folder: Path, day: date = DAY, strays: bool = False
) -> tuple[extraction.ExtractedDay, list[Row], list[Row]]:
    found = extraction.extract_day(open_source(source), Engine(folder, threads=1), day, folder / "day", strays)
    assert extraction.rows_reconcile(found).passed, extraction.rows_reconcile(found).reason
    queries = pq.read_table(found.queries)
    assert queries.schema.names == query_rows.QUERIES.names
    return found, queries.to_pylist(), pq.read_table(found.quarantined).to_pylist()


def parquet(path: Path, rows: Sequence[Row], **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, **options)
    return str(path)


def json_lines(path: Path, events: Sequence[Any]) -> str:
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


TABLE = """CREATE TABLE {name} (query_id varchar(255) PRIMARY KEY, query text NOT NULL, query_state varchar(255) NOT NULL,
    "user" varchar(255) NOT NULL, client_info varchar(255), source varchar(255), catalog varchar(255), "schema" varchar(255),
    query_type varchar(255), error_code varchar(255), error_type varchar(255), cpu_time_millis bigint NOT NULL,
    wall_time_millis bigint NOT NULL, queued_time_millis bigint NOT NULL, peak_memory_bytes bigint NOT NULL, total_rows bigint)"""


def table(url: str, rows: Sequence[Row], name: str = "trino_queries") -> str:
    """A table in Postgres as the event listener makes it; returns the setting."""
    quoted = ".".join(f'"{word}"' for word in name.split("."))
    with psycopg.connect(url) as connection:
        if "." in name:
            connection.execute(f"CREATE SCHEMA {quoted.split('.')[0]}".encode())
        connection.execute(TABLE.format(name=quoted).encode())
        for row in rows:
            columns = ", ".join(f'"{column}"' for column in row)
            values = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO {quoted} ({columns}) VALUES ({values})".encode(), list(row.values()))
    place, _, options = url.partition("?")
    return f"{place}/{name}?{options}" if options else f"{place}/{name}"
