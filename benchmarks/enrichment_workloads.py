"""The contestants of `benchmarks.enrichment`, each run in a process of its own.

All write Parquet with the same columns to <folder>/<name>.parquet and return how many plans they enriched.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.enrichment_data import INPUTS

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


def transform(folder: str) -> Callable[[], int]:
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
        engine.run(transforms.load(sources.SQL / "enriched_plans.sql"), _inputs(here), outputs)
        return _count(outputs["enriched_plans"])

    return work


def plain_as_of(folder: str) -> Callable[[], int]:
    """Three ASOF joins in one statement, in the same engine under the same limits; valid time only, no order."""
    import duckdb  # noqa: F401

    from platform_assets.core.engine import Engine

    here, target = Path(folder), Path(folder) / "plain.parquet"
    query = (SQL / "plain_as_of.sql").read_text(encoding="utf-8")

    def work() -> int:
        with Engine(here / "scratch").session(_inputs(here)) as connection:
            connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        return _count(target)

    return work


def loop(folder: str, url: str, sample: int) -> Callable[[], int]:
    """Three queries a plan, one plan after the other, then one file."""
    import psycopg
    import pyarrow as pa
    import pyarrow.parquet as pq

    # In the peer's favour: reading its input stays outside the clock and out of the garbage collector's rounds.
    batches = pq.ParquetFile(Path(folder) / "accepted_plans.parquet").iter_batches(batch_size=sample)
    plans = next(batches).to_pylist()
    gc.freeze()

    def work() -> int:
        with psycopg.connect(url, options="-c timezone=UTC") as connection, connection.cursor() as cursor:
            rows = [_enrich(cursor, plan) for plan in plans]
        pq.write_table(pa.Table.from_pylist(rows), Path(folder) / "loop.parquet", compression="zstd")
        return len(rows)

    return work


def _enrich(cursor: psycopg.Cursor, plan: dict[str, Any]) -> dict[str, Any]:
    asked = (plan["household_id"], plan["generated_at"], plan["generated_at"])
    # Every household, its constraints and its pantry are known from the start in the generated data.
    household, constraints, pantry = (cursor.execute(query, asked).fetchall()[0] for query in QUERIES)
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


def _inputs(folder: Path) -> dict[str, list[Path]]:
    return {name: [folder / f"{name}.parquet"] for name in INPUTS}


def _count(path: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(path).num_rows
