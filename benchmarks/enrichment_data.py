"""The input of the enrichment benchmarks: the Parquet files that the transform reads, and the same versions in Postgres.

Four weeks of accepted plans; two household and two constraint versions a household, pantry snapshots of ten items. A tenth of
the versions is recorded days after it was valid. Everything is a function of row numbers, so that every run has the same data.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.planner import sources
from platform_assets.planner.enrichment import HISTORY_DAYS, PLAN_LIFETIME_DAYS

START = datetime(2026, 1, 2, tzinfo=UTC)
END = START + timedelta(days=29)
VERSIONS = ("household_versions", "household_constraint_versions", "pantry_versions")
# What is enriched: bare events, or plans with their meals, edits and up to four plans before them.
BARE, WHOLE = "bare_plans", "accepted_plans"
TABLES = {
    "household_versions": "entity AS household_id, valid_from, recorded_at, size, {preferences}, {dietary_restrictions}, region",
    "household_constraint_versions": "entity AS household_id, valid_from, recorded_at, budget, max_prep_time, {excluded}",
    "pantry_snapshots": "id, entity AS household_id, valid_from AS snapshot_time, recorded_at, to_json(items) AS items",
}
GENERATE = Path(__file__).parent / "sql" / "enrichment_data.sql"


@dataclass(frozen=True)
class Sizes:
    """How much is generated."""

    plans: int = 200_000
    households: int = 20_000
    snapshots_each: int = 20


def write_parquet(folder: Path, sizes: Sizes) -> None:
    """One file per name of VERSIONS, and the bare plans."""
    _copy(folder, sizes, (*VERSIONS, BARE))


def write_whole_plans(folder: Path, sizes: Sizes) -> None:
    """The accepted plans by the planner's own transform, whose output's shape they must have."""
    _copy(folder, sizes, ("plan_events",))
    Engine(folder / "scratch").run(
        transform.load(sources.SQL / "accepted_plans.sql"),
        {"events": [folder / "plan_events.parquet"]},
        {WHOLE: folder / f"{WHOLE}.parquet"},
        {"day_start": START, "day_end": END, "plan_lifetime_days": PLAN_LIFETIME_DAYS, "history_days": HISTORY_DAYS},
    )


def _copy(folder: Path, sizes: Sizes, names: tuple[str, ...]) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        connection.execute(
            "CREATE TABLE sizes AS SELECT ?::BIGINT AS plans, ?::BIGINT AS households, ?::BIGINT AS snapshots_each",
            list(astuple(sizes)),
        )
        connection.execute(GENERATE.read_text(encoding="utf-8"))
        for name in names:
            connection.execute(
                f"COPY {name} TO '{folder}/{name}.parquet' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 51200)"
            )


def load(folder: Path, url: str) -> None:
    """The three version tables into Postgres, by CSV."""
    import duckdb

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for table, columns in TABLES.items():
            source = folder / f"{table.replace('snapshots', 'versions')}.parquet"
            lists = {name: _postgres_array(name) for name in ("preferences", "dietary_restrictions", "excluded")}
            rows = duckdb.sql(f"SELECT {columns.format(**lists)} FROM read_parquet('{source}')")
            rows.write_csv(str(csv := folder / f"{table}.csv"))
            copy_in = sql.SQL("COPY {} ({}) FROM STDIN CSV HEADER").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows.columns))
            )
            with csv.open("rb") as file, cursor.copy(copy_in) as copy:
                while block := file.read(1 << 20):
                    copy.write(block)
            csv.unlink()


def _postgres_array(name: str) -> str:
    """A list as Postgres spells it; its texts here hold nothing that would need quotes."""
    return f"'{{' || array_to_string({name}, ',') || '}}' AS {name}"
