"""One day of events: out of Postgres, through the contract, parted into typed and quarantined events.

Everything is read under one snapshot, so that rows and counts cannot disagree because of what arrives meanwhile. The
result lies in a scratch folder; publishing it is the asset's business.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import contract, event_batches, schemas, sources, validation

CODE_VERSION = transform.code_version(
    sources.SQL / "events.sql", sources.SOURCE_SQL / "events.sql",
    *(Path(inspect.getfile(module)) for module in (contract, event_batches, schemas, validation)),
)  # fmt: skip


@dataclass(frozen=True)
class ExtractedDay:
    """Files and counts of one extracted day. `source` is counted by a query of its own in the same snapshot."""

    events: Path
    quarantined: Path
    source: sources.SourceCount
    rows_read: int
    newest_recording: datetime | None


def extract_day(
    warehouse: Warehouse,
    engine: Engine,
    window: tuple[datetime, datetime],
    folder: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> ExtractedDay:
    """Extract the events of one day, [start, end), into `folder`."""
    typed, refused = folder / "typed_events.parquet", folder / "refused_events.parquet"
    with warehouse.snapshot() as snapshot:
        read_at = sources.clock(snapshot)  # before the stream: the connection has one at a time
        counts = validation.validate_events(sources.stream_events(snapshot, *window), read_at, typed, refused, progress)
        source = next(iter(sources.count_events(snapshot, *window).values()), sources.SourceCount(0, None))
        newest = sources.newest_recording(snapshot)
    events, quarantined = folder / "events.parquet", folder / "quarantined_events.parquet"
    engine.run(
        transform.load(sources.SQL / "events.sql"),
        {"typed_events": [typed], "refused_events": [refused]},
        {"events": events, "quarantined_events": quarantined},
    )
    return ExtractedDay(events, quarantined, source, counts.rows, newest)


def count_by_rule(engine: Engine, quarantined: Path) -> dict[str, int]:
    """Quarantined rows per rule."""
    rows = engine.rows(
        "SELECT rule, count(*) AS rows FROM quarantined GROUP BY 1 ORDER BY 1", {"quarantined": [quarantined]}
    )
    return {row["rule"]: row["rows"] for row in rows}
