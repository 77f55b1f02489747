"""Hostile rows into a real Postgres, and out of it again: for the tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import enrichment, extraction
from platform_assets_tests.planner.test_validation import NOW, PLAN, event

DAY = (datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
COLUMNS = (
    "event_type", "unit_type", "unit_id", "experiments", "context", "metrics", "payload", "timestamp", "created_at",
)  # fmt: skip


def empty(url: str) -> None:
    tables = "exp.events, household_versions, household_constraint_versions, pantry_snapshots"
    with psycopg.connect(url) as connection:
        connection.execute(f"TRUNCATE {tables}")


def insert(url: str, batch: Sequence[dict[str, Any]]) -> int:
    """Insert the rows that Postgres accepts; returns how many it did. Times may be texts such as 'infinity'."""
    accepted = 0
    with psycopg.connect(url) as connection:
        for row in batch:
            try:
                with connection.transaction():
                    connection.execute(
                        f"INSERT INTO exp.events ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})",
                        [row[name] for name in COLUMNS],
                    )
                accepted += 1
            except (psycopg.DataError, psycopg.errors.StatementTooComplex, UnicodeEncodeError):
                continue
    return accepted


def extract(url: str, folder: Path, window: tuple[datetime, datetime] = DAY) -> tuple[list[dict], list[dict]]:
    folder.mkdir(exist_ok=True)
    day = extraction.extract_day(Warehouse(url), Engine(folder), window, folder)
    good, bad = pq.read_table(day.events).to_pylist(), pq.read_table(day.quarantined).to_pylist()
    assert day.source.rows == day.rows_read == len(good) + len(bad)
    return good, bad


def enrich(url: str, folder: Path) -> enrichment.EnrichedDay:
    return enrichment.enrich_day(Warehouse(url), Engine(folder), [folder / "events.parquet"], DAY, folder)


def generated(**changes: Any) -> dict[str, Any]:
    """The generation of the plan that `event` accepts."""
    return event(event_type="plan_generated", timestamp=NOW - timedelta(hours=1), **{"payload": PLAN, **changes})
