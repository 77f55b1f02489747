"""The contestants of `benchmarks.enrichment`, each run in a process of its own.

All read <folder>/<plans>.parquet and the versions, write Parquet with the same columns to <folder>/<name>.parquet, and return
how many plans they enriched.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.enrichment_data import VERSIONS

if TYPE_CHECKING:
    import psycopg

SQL = Path(__file__).parent / "sql"
# The same rule three times: visible iff valid and recorded by then; the greatest (valid_from, recorded_at, id) wins.
QUERIES = (
    "SELECT size, preferences, dietary_restrictions, region, valid_from, recorded_at FROM household_versions "
    "WHERE household_id = %s AND valid_from <= %s AND recorded_at <= %s "
    "ORDER BY valid_from DESC, recorded_at DESC LIMIT 1",
    "SELECT budget, max_prep_time, excluded, valid_from, recorded_at FROM household_constraint_versions "
    "WHERE household_id = %s AND valid_from <= %s AND recorded_at <= %s "
    "ORDER BY valid_from DESC, recorded_at DESC LIMIT 1",
    "SELECT items, snapshot_time, recorded_at FROM pantry_snapshots "
    "WHERE household_id = %s AND snapshot_time <= %s AND recorded_at <= %s "
    "ORDER BY snapshot_time DESC, recorded_at DESC, id DESC LIMIT 1",
)


def transform(folder: str, plans: str) -> Callable[[], int]:
    """Ours: the engine and the planner's own SQL."""
    import duckdb  # noqa: F401  (loaded outside the clock, as for the peers)
    import sqlglot  # noqa: F401

    from platform_assets.core import transform as transforms
    from platform_assets.core.engine import Engine
    from platform_assets.planner import sources

    here = Path(folder)
    outputs = {name: here / f"{name}.parquet" for name in ("enriched_plans", "excluded_plans")}

    def work() -> int:
        engine = Engine(here / "scratch")
        engine.run(transforms.load(sources.SQL / "enriched_plans.sql"), _inputs(here, plans), outputs)
        return _count(outputs["enriched_plans"])

    return work


def plain_as_of(folder: str, plans: str) -> Callable[[], int]:
    """Three ASOF joins in one statement, in the same engine under the same limits; valid time only, no order."""
    import duckdb  # noqa: F401

    from platform_assets.core.engine import Engine

    here, target = Path(folder), Path(folder) / "plain.parquet"
    query = (SQL / "plain_as_of.sql").read_text(encoding="utf-8")

    def work() -> int:
        with Engine(here / "scratch").session(_inputs(here, plans)) as connection:
            connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        return _count(target)

    return work


def loop(folder: str, plans: str, url: str, sample: int, round_trip_seconds: float = 0.0) -> Callable[[], int]:
    """Three queries a plan, one plan after the other, then one file. Each query waits for the round trip asked for, too."""
    import psycopg
    import pyarrow as pa
    import pyarrow.parquet as pq

    # In the peer's favour: reading its input stays outside the clock and out of the garbage collector's rounds.
    batches = pq.ParquetFile(Path(folder) / f"{plans}.parquet").iter_batches(batch_size=sample)
    asked = next(batches).to_pylist()
    gc.freeze()

    def work() -> int:
        with psycopg.connect(url, options="-c timezone=UTC") as connection, connection.cursor() as cursor:
            rows = [_enrich(cursor, plan, round_trip_seconds) for plan in asked]
        pq.write_table(pa.Table.from_pylist(rows), Path(folder) / "loop.parquet", compression="zstd")
        return len(rows)

    return work


def _enrich(cursor: psycopg.Cursor, plan: dict[str, Any], round_trip_seconds: float) -> dict[str, Any]:
    asked, answers = (plan["household_id"], plan["generated_at"], plan["generated_at"]), []
    for query in QUERIES:
        if round_trip_seconds:
            time.sleep(round_trip_seconds)
        answers.append(cursor.execute(query, asked).fetchall()[0])
    # Every household, its constraints and its pantry are known from the start in the generated data.
    household, constraints, pantry = answers
    size, preferences, restrictions, region, household_from, household_recorded = household
    budget, max_prep_time, excluded, constraints_from, constraints_recorded = constraints
    return {
        **plan,
        "household": {
            "id": plan["household_id"],
            "size": size,
            "preferences": preferences,
            "restrictions": restrictions,
            "region": region,
        },
        "constraints": {"budget": budget, "max_prep_time": max_prep_time, "excluded_ingredients": excluded},
        "pantry": {"items": pantry[0]},
        "previous_plan": plan["recent_plans"][0] if plan["recent_plans"] else None,
        "accepted_plan": {"meals": plan["meals"]},
        "household_valid_from": household_from,
        "household_recorded_at": household_recorded,
        "constraints_valid_from": constraints_from,
        "constraints_recorded_at": constraints_recorded,
        "pantry_valid_from": pantry[1],
        "pantry_recorded_at": pantry[2],
    }


def _inputs(folder: Path, plans: str) -> dict[str, list[Path]]:
    return {
        "accepted_plans": [folder / f"{plans}.parquet"],
        **{name: [folder / f"{name}.parquet"] for name in VERSIONS},
    }


def _count(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows
