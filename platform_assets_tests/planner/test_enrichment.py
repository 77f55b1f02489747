"""Enrichment against a slow, obvious oracle, and what must not change it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import enrichment
from platform_assets_tests.planner.generated_world import (
    DAY,
    GeneratedWorld,
    generate,
    load_versions,
    slow_enrichment,
    write_events,
)

WINDOW = (DAY, DAY + timedelta(days=1))


def enrich(url: str, world: GeneratedWorld, folder: Path, threads: int = 2) -> enrichment.EnrichedDay:
    load_versions(url, world)
    folder.mkdir(exist_ok=True)
    events = write_events(folder / "events.parquet", world)
    engine = Engine(folder / "scratch", threads=threads)
    return enrichment.enrich_day(Warehouse(url), engine, [events], WINDOW, folder)


def comparable(day: enrichment.EnrichedDay) -> tuple[dict[str, dict], dict[str, str]]:
    rows = {}
    for row in pq.read_table(day.enriched).to_pylist():
        rows[row["plan_id"]] = {
            "generated_at": row["generated_at"],
            "accepted_at": row["accepted_at"],
            "household_size": row["household"]["size"],
            "household_recorded_at": row["household_recorded_at"],
            "budget": row["constraints"]["budget"] if row["constraints"] else None,
            "items": row["pantry"]["items"],
            **{name: row[name] for name in ("accepted_plan", "user_edits", "previous_plan", "recent_plans")},
        }
    excluded = {row["event_id"]: row["reason"] for row in pq.read_table(day.excluded).to_pylist()}
    return rows, excluded


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_enrichment_equals_the_oracle_on_thousands_of_plans_a_batch(
    module_postgres_url: str, tmp_path: Path, seed: int
) -> None:
    world = generate(seed, households=200, plans_each=10)
    expected, excluded = slow_enrichment(world)
    assert len(expected) + len(excluded) > 1_900
    assert len(expected) > 800
    found, left_out = comparable(enrich(module_postgres_url, world, tmp_path))
    assert left_out == excluded
    assert found == expected
    reasons = set(excluded.values())
    assert reasons >= {
        "already_accepted", "generation_missing", "accepted_before_generated", "accepted_too_late", "unknown_household",
    }  # fmt: skip


def test_deleting_what_was_recorded_later_leaves_every_earlier_row_as_it_was(
    module_postgres_url: str, tmp_path: Path
) -> None:
    world = generate(21, households=150, plans_each=8)
    whole = pq.read_table(enrich(module_postgres_url, world, tmp_path / "whole").enriched).to_pylist()
    for hours in (6, 12, 20):
        instant = DAY + timedelta(hours=hours)
        rebuilt = _by_plan(enrich(module_postgres_url, world.known_by(instant), tmp_path / f"cut{hours}"))
        earlier = [row for row in whole if row["recorded_at"] <= instant]
        assert len(earlier) > 50
        assert all(rebuilt.get(row["plan_id"]) == row for row in earlier)


def test_shuffled_inputs_and_other_thread_counts_give_the_same_rows(module_postgres_url: str, tmp_path: Path) -> None:
    world = generate(31, households=100, plans_each=8)
    first = _by_plan(enrich(module_postgres_url, world, tmp_path / "one", threads=1))
    shuffled = GeneratedWorld(*(list(reversed(rows)) for rows in vars(world).values()))
    assert _by_plan(enrich(module_postgres_url, shuffled, tmp_path / "four", threads=4)) == first


def test_a_day_without_events_is_an_enriched_day_without_rows(module_postgres_url: str, tmp_path: Path) -> None:
    day = enrich(module_postgres_url, GeneratedWorld(), tmp_path)
    assert pq.read_metadata(day.enriched).num_rows == pq.read_metadata(day.excluded).num_rows == 0


def test_a_source_without_version_tables_is_used_and_reported_as_not_point_in_time(
    postgres_url: str, tmp_path: Path
) -> None:
    import psycopg

    world = generate(41, households=20, plans_each=4)
    load_versions(postgres_url, world)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "INSERT INTO households (id, size) SELECT DISTINCT household_id, 9 FROM household_versions ON CONFLICT DO NOTHING"
        )
        connection.execute("DROP TABLE household_versions")
    events = write_events(tmp_path / "events.parquet", world)
    day = enrichment.enrich_day(Warehouse(postgres_url), Engine(tmp_path), [events], WINDOW, tmp_path)
    assert day.not_point_in_time == ("household_versions",)
    assert {row["household"]["size"] for row in pq.read_table(day.enriched).to_pylist()} == {9}


def test_a_malformed_pantry_excludes_the_plan_that_would_have_read_it(postgres_url: str, tmp_path: Path) -> None:
    world = generate(51, households=30, plans_each=4)
    for snapshot in world.pantry:
        snapshot["items"] = [{"name": "rice", "quantity": "plenty"}]
    day = enrich(postgres_url, world, tmp_path)
    excluded = pq.read_table(day.excluded).to_pylist()
    details = {row["detail"] for row in excluded if row["reason"] == "malformed_pantry"}
    assert details == {"Expected `float`, got `str` - at `$[0].quantity`"}


def _by_plan(day: enrichment.EnrichedDay) -> dict[str, dict[str, Any]]:
    return {row["plan_id"]: row for row in pq.read_table(day.enriched).to_pylist()}


def test_the_declared_look_backs_cover_what_enrichment_reads() -> None:
    from platform_assets.planner.assets import dataset, enriched_plans

    assert enriched_plans.LOOK_BACK_DAYS == enrichment.LOOK_BACK_DAYS
    assert dataset.HISTORY_DAYS == enrichment.LOOK_BACK_DAYS
    assert isinstance(DAY, datetime)
