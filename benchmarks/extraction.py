"""Extraction: a day of the event log from Postgres to Parquet.

Ours streams Arrow batches from one snapshot to a ParquetWriter. The peer is what one writes first, fetchall into pandas; the
floor is the same query by COPY in binary with the bytes thrown away, which is what Postgres itself costs. All three run the
text of `planner/sql/source/events.sql`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg

from benchmarks import postgres
from benchmarks.measure import BenchmarkError, in_own_process, median_peak, median_rate, rate_ratio, take_turns
from benchmarks.table import Line

ROWS = 300_000
START = datetime(2026, 1, 2, tzinfo=UTC)
END = START + timedelta(days=1)
GENERATE = Path(__file__).parent / "sql" / "events.sql"


def run(folder: Path) -> list[Line]:
    """Two lines: the peer, and the floor."""
    with postgres.server(folder) as server, postgres.new_database(server) as url:
        payload_bytes = _generate(url)
        ours, peer, floor = take_turns(
            partial(in_own_process, stream, url=url, target=str(folder / "ours.parquet")),
            partial(in_own_process, fetch_all, url=url, target=str(folder / "peer.parquet")),
            partial(in_own_process, copy_and_discard, url=url),
        )
    if ours[0].items != ROWS or peer[0].items != ROWS:
        raise BenchmarkError(f"extraction: expected {ROWS} rows, got {ours[0].items} and {peer[0].items}")
    return [
        Line(
            f"extraction: {ROWS:,} rows, payload {payload_bytes} B",
            f"{median_rate(ours):,.0f} rows/s",
            f"{median_rate(other):,.0f} rows/s ({name})",
            f"{rate_ratio(ours, other):.2f}x",
            f"{median_peak(ours):,.0f} / {median_peak(other):,.0f}",
        )
        for other, name in ((peer, "psycopg fetchall + pandas"), (floor, "floor: COPY binary, discarded"))
    ]


def _generate(url: str) -> int:
    """Fill exp.events; returns the mean length of a payload's text in bytes."""
    with psycopg.connect(url) as connection:
        # Bound by the client: the statement's server-side form would not know the types of the parameters' uses.
        psycopg.ClientCursor(connection).execute(GENERATE.read_bytes(), {"rows": ROWS})
    postgres.settle(url)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT avg(octet_length(payload::text))::int FROM exp.events").fetchone()
    return found[0] if found else 0


def stream(url: str, target: str) -> Callable[[], int]:
    """Ours: Arrow batches, written as they come."""
    import adbc_driver_postgresql.dbapi  # noqa: F401  (loaded outside the clock, as for the peers)
    import pyarrow.parquet as pq

    from platform_assets.core.warehouse import Warehouse
    from platform_assets.planner import sources

    def work() -> int:
        rows = 0
        with Warehouse(url).snapshot() as snapshot:
            reader = sources.stream_events(snapshot, START, END)
            with pq.ParquetWriter(target, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        return rows

    return work


def fetch_all(url: str, target: str) -> Callable[[], int]:
    """Every row as Python objects, then a DataFrame, then Parquet."""
    import pandas as pd

    def work() -> int:
        with _connect(url) as connection:
            cursor = connection.execute(_source_sql())
            names = pd.Index([column.name for column in cursor.description or ()])
            frame = pd.DataFrame(cursor.fetchall(), columns=names)
        frame.to_parquet(target)
        return len(frame)

    return work


def copy_and_discard(url: str) -> Callable[[], int]:
    """What Postgres costs to run the query and hand the rows over; the count is not the client's to know."""

    def work() -> int:
        with _connect(url) as connection, connection.cursor() as cursor:
            with cursor.copy(b"COPY (" + _source_sql() + b") TO STDOUT (FORMAT binary)") as copy:
                for _ in copy:
                    pass
            return cursor.rowcount

    return work


def _connect(url: str) -> psycopg.Connection:
    """A connection on which the source's query finds its window."""
    connection = psycopg.connect(url)
    for name, value in (("day_start", START), ("day_end", END)):
        connection.execute("SELECT set_config(%s, %s, false)", (f"platform.{name}", value.isoformat()))
    return connection


def _source_sql() -> bytes:
    from platform_assets.planner import sources

    return (sources.SOURCE_SQL / "events.sql").read_bytes()
