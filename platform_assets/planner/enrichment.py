"""One day of accepted plans, each joined to what was known when it was generated.

Truly as of: household, constraints and pantry by (valid_from, recorded_at), previous plans by (accepted, recorded). What a
source without version tables gives is today's row; it is listed in `not_point_in_time`, never passed off as history.
A plan is known from its acceptance, but its edits may be recorded late: such a day is enriched again.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import sources, validation

PLAN_LIFETIME_DAYS = 7
HISTORY_DAYS = 28
LOOK_BACK_DAYS = PLAN_LIFETIME_DAYS + HISTORY_DAYS
VERSION_TABLES = ("household_versions", "household_constraint_versions")
CODE_VERSION = transform.code_version(
    sources.SQL / "accepted_plans.sql", sources.SQL / "enriched_plans.sql",
    *(sources.SOURCE_SQL / f"{name}.sql" for name in (*VERSION_TABLES, "pantry_snapshots")), Path(inspect.getfile(validation)),
)  # fmt: skip


@dataclass(frozen=True)
class EnrichedDay:
    """Files of one enriched day. `accepted` holds every acceptance of the day, `excluded` those left out, with reasons."""

    enriched: Path
    excluded: Path
    accepted: Path
    not_point_in_time: tuple[str, ...]


def enrich_day(
    warehouse: Warehouse,
    engine: Engine,
    events: Sequence[Path],
    window: tuple[datetime, datetime],
    folder: Path,
) -> EnrichedDay:
    """Enrich the plans accepted in [start, end); `events` are the day's and its look-back's files."""
    accepted = folder / "accepted_plans.parquet"
    engine.run(
        transform.load(sources.SQL / "accepted_plans.sql"),
        {"events": events},
        {"accepted_plans": accepted},
        {
            "day_start": window[0],
            "day_end": window[1],
            "plan_lifetime_days": PLAN_LIFETIME_DAYS,
            "history_days": HISTORY_DAYS,
        },
    )
    versions, not_point_in_time = _read_versions(warehouse, _version_request(engine, accepted, window), folder)
    enriched, excluded = folder / "enriched_plans.parquet", folder / "excluded_plans.parquet"
    engine.run(
        transform.load(sources.SQL / "enriched_plans.sql"),
        {"accepted_plans": [accepted], **{name: [path] for name, path in versions.items()}},
        {"enriched_plans": enriched, "excluded_plans": excluded},
    )
    return EnrichedDay(enriched, excluded, accepted, not_point_in_time)


def _version_request(engine: Engine, accepted: Path, window: tuple[datetime, datetime]) -> sources.VersionRequest:
    found = engine.rows(
        "SELECT list(DISTINCT household_id ORDER BY household_id) AS households, min(generated_at) AS earliest, "
        "max(generated_at) AS latest FROM accepted_plans WHERE exclusion IS NULL",
        {"accepted_plans": [accepted]},
    )[0]
    return sources.VersionRequest(
        found["households"] or [], found["earliest"] or window[0], found["latest"] or window[0]
    )


def _read_versions(
    warehouse: Warehouse, request: sources.VersionRequest, folder: Path
) -> tuple[dict[str, Path], tuple[str, ...]]:
    paths = {name: folder / f"{name}.parquet" for name in (*VERSION_TABLES, "pantry_versions")}
    with warehouse.snapshot() as snapshot:
        current_only = tuple(
            name for name in VERSION_TABLES if not sources.read_versions(snapshot, name, request, paths[name])
        )
        validation.type_pantry(sources.stream_pantry(snapshot, request), folder / "typed_pantry.parquet")
    paths["pantry_versions"] = folder / "typed_pantry.parquet"
    return paths, current_only


def count_excluded(engine: Engine, excluded: Path) -> dict[str, int]:
    """Plans left out, per reason."""
    rows = engine.rows("SELECT reason, count(*) AS rows FROM excluded GROUP BY 1 ORDER BY 1", {"excluded": [excluded]})
    return {row["reason"]: row["rows"] for row in rows}


def count_generated(engine: Engine, events: Path) -> int:
    """Plans that the app made on a day, accepted or not: what the accepted ones were selected from."""
    sql = "SELECT count(DISTINCT plan_id) AS plans FROM events WHERE event_type = 'plan_generated'"
    return engine.rows(sql, {"events": [events]})[0]["plans"]
