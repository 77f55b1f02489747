"""What the planner reads from the application's Postgres, and how honest each source is about time.

- `exp.events`: append-only; an event is known from created_at on. One whose timestamp no calendar can hold (before 1970, after
  2199, infinite) belongs to the day it was recorded on, so that some day counts and quarantines it; one that was not
  recorded at a possible time either belongs to no day.
- `household_versions`, `household_constraint_versions`, `pantry_snapshots`: append-only version tables, as of by
  (valid_from, recorded_at).
- `recipes`: an append-only version table, too, read whole.
- `households`, `household_constraints`: today's rows. Read only where a source keeps no versions; then the source is
  reported as not point-in-time, and every dataset built from it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from platform_assets.core.warehouse import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

SQL = Path(__file__).parent / "sql"
SOURCE_SQL = SQL / "source"


@dataclass(frozen=True)
class SourceCount:
    """What the source holds for one day: rows, and the latest created_at as ISO text."""

    rows: int
    watermark: str | None


@dataclass(frozen=True)
class VersionRequest:
    """Whose versions, and between which instants: the households of a day's plans, first to last generation time."""

    households: Sequence[str]
    earliest: datetime
    latest: datetime

    def parameters(self) -> dict[str, str]:
        """As bound parameters."""
        return {
            "households": ",".join(self.households),
            "earliest": self.earliest.isoformat(),
            "latest": self.latest.isoformat(),
        }


def stream_events(snapshot: Snapshot, start: datetime, end: datetime) -> pa.RecordBatchReader:
    """The events with start <= timestamp < end, JSON columns as text; with those of an impossible time, recorded then."""
    return snapshot.stream(_source_sql("events"), _window(start, end))


def count_events(snapshot: Snapshot, start: datetime, end: datetime) -> dict[str, SourceCount]:
    """Rows and watermark per UTC day of the window, placed as by `stream_events`; a day without events is absent."""
    rows = snapshot.stream(_source_sql("event_counts"), _window(start, end)).read_all().to_pylist()
    return {row["day"]: SourceCount(row["source_rows"], row["source_watermark"]) for row in rows}


def clock(snapshot: Snapshot) -> datetime:
    """The source's own time: the beginning of the snapshot."""
    return snapshot.row("SELECT now() AS now")["now"]


def newest_recording(snapshot: Snapshot) -> datetime | None:
    """When the source last recorded any event: how far behind the application its log is."""
    # Served by the index on created_at; a clock that runs ahead would make a dead source look fresh.
    return snapshot.row("SELECT max(created_at) AS newest FROM exp.events WHERE created_at <= now()")["newest"]


def read_versions(snapshot: Snapshot, table: str, request: VersionRequest, target: Path) -> bool:
    """Write the versions that a day's as-of joins can see; returns whether they are point-in-time."""
    point_in_time = snapshot.has_table(table)
    reader = snapshot.stream(_source_sql(table if point_in_time else f"{table}_current"), request.parameters())
    with pq.ParquetWriter(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    return point_in_time


def stream_pantry(snapshot: Snapshot, request: VersionRequest) -> pa.RecordBatchReader:
    """The pantry snapshots that a day's as-of joins can see, items as JSON text."""
    return snapshot.stream(_source_sql("pantry_snapshots"), request.parameters())


def stream_recipes(snapshot: Snapshot, recorded_before: datetime) -> pa.RecordBatchReader:
    """The versions of all recipes that were recorded before an instant, ingredients as JSON text."""
    return snapshot.stream(_source_sql("recipes"), {"recorded_before": recorded_before.isoformat()})


def _window(start: datetime, end: datetime) -> dict[str, str]:
    return {"day_start": start.isoformat(), "day_end": end.isoformat()}


def _source_sql(name: str) -> str:
    return (SOURCE_SQL / f"{name}.sql").read_text(encoding="utf-8")
