"""Extraction: a day of the event log from Postgres to Parquet.

Ours streams Arrow batches from one snapshot to a ParquetWriter. The peer is what one writes first, fetchall into pandas: once
with the JSON columns as psycopg gives them (parsed), once as text, which is kinder to it. The floor is the same query by COPY
in binary with the bytes thrown away, which is what Postgres itself costs. Last, what the planner really does with a day:
extraction, its contract and the parting of re-sent events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg

from benchmarks import postgres
from benchmarks.measure import BenchmarkError, Sample, in_own_process, median_peak, median_rate, rate_ratio, take_turns
from benchmarks.table import Line

ROWS = 1_000_000
RUNS = 3  # the peer takes a minute and a half a run
MEMORY_TARGET_MB, TWICE = 400, 2
START = datetime(2026, 1, 2, tzinfo=UTC)
END = START + timedelta(days=1)
# What one writes first. psycopg parses the JSON columns; the rows are the same.
NATURAL_SQL = b"""
    SELECT id, event_type, unit_type, unit_id::text, experiments, context, metrics, payload, timestamp, created_at
    FROM exp.events
    WHERE timestamp >= current_setting('platform.day_start')::timestamptz
      AND timestamp < current_setting('platform.day_end')::timestamptz
"""
GENERATE = Path(__file__).parent / "sql" / "events.sql"


def run(folder: Path) -> list[Line]:
    """A line per peer, one for the memory at twice the rows, one for the whole of the planner's extraction."""
    with postgres.server(folder) as server, postgres.new_database(server) as url:
        payload_bytes = _generate(url)
        ours, parsed, text, floor = take_turns(
            partial(in_own_process, stream, url=url, target=str(folder / "ours.parquet")),
            partial(in_own_process, fetch_all, url=url, target=str(folder / "peer.parquet")),
            partial(in_own_process, fetch_all, url=url, target=str(folder / "peer.parquet"), as_text=True),
            partial(in_own_process, copy_and_discard, url=url),
            runs=RUNS,
        )
        day = in_own_process(extract_day, url=url, folder=str(folder))
        twice = in_own_process(stream, url=url, target=str(folder / "ours.parquet"), times=TWICE)
    if {ours[0].items, parsed[0].items, text[0].items, day.items} != {ROWS}:
        raise BenchmarkError(f"extraction: not every contestant saw {ROWS} rows")
    peak = median_peak(ours)
    return [
        _line(payload_bytes, "psycopg fetchall + pandas", ours, parsed, 5.0),
        _line(payload_bytes, "the same, JSON as text", ours, text, None),
        _line(payload_bytes, "floor: COPY binary, discarded", ours, floor, 0.5),
        Line(
            f"extraction: peak memory, {ROWS:,} rows and {TWICE} times as many", f"{peak:,.0f} MB", f"{twice.peak_mb:,.0f} MB",
            f"{(twice.peak_mb or 0) / peak:.2f}x", target=f"<= {MEMORY_TARGET_MB} MB", met=peak <= MEMORY_TARGET_MB,
        ),
        Line(
            "extraction with contract and quarantine", f"{day.rate:,.0f} rows/s", memory=f"{day.peak_mb:,.0f}"
        ),
    ]  # fmt: skip


def _line(
    payload_bytes: int, name: str, ours: Sequence[Sample], theirs: Sequence[Sample], target: float | None
) -> Line:
    ratio = rate_ratio(ours, theirs)
    return Line(
        f"extraction: {ROWS:,} rows, payload {payload_bytes} B",
        f"{median_rate(ours):,.0f} rows/s",
        f"{median_rate(theirs):,.0f} rows/s ({name})",
        f"{ratio:.2f}x",
        f"{median_peak(ours):,.0f} / {median_peak(theirs):,.0f}",
        *((f">= {target:g}x", ratio >= target) if target else ()),
    )


def _generate(url: str) -> int:
    """Fill exp.events; returns the mean length of a payload's text in bytes."""
    with psycopg.connect(url) as connection:
        # Bound by the client: the statement's server-side form would not know the types of the parameters' uses.
        psycopg.ClientCursor(connection).execute(GENERATE.read_bytes(), {"rows": ROWS})
    postgres.settle(url)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT avg(octet_length(payload::text))::int FROM exp.events").fetchone()
    return found[0] if found else 0


def stream(url: str, target: str, times: int = 1) -> Callable[[], int]:
    """Ours: Arrow batches, written as they come. `times` the day, one after the other into one file."""
    import adbc_driver_postgresql.dbapi  # noqa: F401  (loaded outside the clock, as for the peers)
    import pyarrow.parquet as pq

    from platform_assets.core.warehouse import Warehouse
    from platform_assets.planner import sources

    def work() -> int:
        rows, writer = 0, None
        with Warehouse(url).snapshot() as snapshot:
            for _ in range(times):
                reader = sources.stream_events(snapshot, START, END)
                writer = writer or pq.ParquetWriter(target, reader.schema)
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        if writer:
            writer.close()
        return rows

    return work


def extract_day(url: str, folder: str) -> Callable[[], int]:
    """The planner's own extraction of the day, to its two files."""
    import adbc_driver_postgresql.dbapi  # noqa: F401
    import duckdb  # noqa: F401

    from platform_assets.core.engine import Engine
    from platform_assets.core.warehouse import Warehouse
    from platform_assets.planner import extraction

    def work() -> int:
        here = Path(folder)
        return extraction.extract_day(Warehouse(url), Engine(here / "scratch"), (START, END), here).rows_read

    return work


def fetch_all(url: str, target: str, as_text: bool = False) -> Callable[[], int]:
    """Every row as Python objects, then a DataFrame, then Parquet."""
    import pandas as pd

    query = _source_sql() if as_text else NATURAL_SQL

    def work() -> int:
        with _connect(url) as connection:
            cursor = connection.execute(query)
            names = pd.Index([column.name for column in cursor.description or ()])
            frame = pd.DataFrame(cursor.fetchall(), columns=names)
        frame["id"] = frame["id"].astype(str)
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
