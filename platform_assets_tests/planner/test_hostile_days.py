"""What a day of hostile rows becomes downstream: enriched, built into a week, and shown, as plain data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.core.lake import Lake
from platform_assets.core.settings import Settings
from platform_assets.orchestration.resources import EngineResource, LakeResource, SourceResource
from platform_assets.planner import weekly
from platform_assets.planner.assets.common import EVENTS, QUARANTINED_EVENTS, address
from platform_assets.planner.definitions import build
from platform_assets.planner.limits import Limits
from platform_assets_tests.planner.hostile_rows import empty, enrich, extract, generated, insert
from platform_assets_tests.planner.test_hostile_events import CONTEXTS, DROP, EXPERIMENTS, HOSTILE_TEXTS
from platform_assets_tests.planner.test_validation import HOUSEHOLD, PLAN, event


@pytest.fixture
def url(module_postgres_url: str) -> Iterator[str]:
    yield module_postgres_url
    empty(module_postgres_url)


def test_hostile_versions_of_a_household_reach_its_plan_as_plain_values(url: str, tmp_path: Path) -> None:
    insert(url, [generated(), event(payload=PLAN)])
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO household_versions VALUES (%s, '-infinity', '4713-01-01 BC', -5, %s, '{}', %s)",
            (HOUSEHOLD, ["a\u202eb", None, DROP], "x" * 100_000),
        )
        connection.execute(
            "INSERT INTO household_constraint_versions VALUES (%s, '-infinity', '-infinity', 'NaN', 2147483647, %s)",
            (HOUSEHOLD, [["a", "b"], ["c", DROP]]),
        )
        connection.execute(
            "INSERT INTO pantry_snapshots VALUES (gen_random_uuid(), %s, '-infinity', '-infinity', %s)",
            (HOUSEHOLD, json.dumps([{"name": DROP, "quantity": 1e308}])),
        )
    extract(url, tmp_path)
    (row,) = pq.read_table(enrich(url, tmp_path).enriched).to_pylist()
    assert row["household"]["size"] == -5
    assert row["household"]["preferences"] == ["a\u202eb", None, DROP]
    assert row["constraints"] == {
        "budget": None,
        "max_prep_time": 2147483647,
        "excluded_ingredients": ["a", "b", "c", DROP],
    }
    assert row["pantry"]["items"] == [{"name": DROP, "quantity": 1e308, "unit": None}]
    assert row["household_valid_from"] == row["pantry_recorded_at"] == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("items", ["null", "{}", '[{"name": "rice", "quantity": 1e400}]', '"' + "x" * 2_000_000 + '"'])
def test_a_hostile_pantry_excludes_its_plan_with_the_reason(url: str, tmp_path: Path, items: str) -> None:
    insert(url, [generated(), event(payload=PLAN)])
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO household_versions VALUES (%s, '2020-01-01', '2020-01-01', 2)", (HOUSEHOLD,))
        connection.execute(
            "INSERT INTO pantry_snapshots VALUES (gen_random_uuid(), %s, '2020-01-01', '2020-01-01', %s)",
            (HOUSEHOLD, items),
        )
    extract(url, tmp_path)
    (row,) = pq.read_table(enrich(url, tmp_path).excluded).to_pylist()
    assert row["reason"] == "malformed_pantry"
    assert row["detail"]


def test_ids_that_look_like_sql_travel_from_the_event_to_the_weekly_dataset_as_plain_data(
    url: str, tmp_path: Path
) -> None:
    plan = {"meals": [{"day": "monday", "recipe_id": DROP, "servings": 2}]}
    body, context = {"plan_id": DROP, "plan": plan}, dict.fromkeys(("policy_version_id", "request_id"), DROP)
    arms = [{"experiment_id": DROP, "variant_id": '"; DELETE FROM exp.events; --'}]
    hostile_household = event(payload=body, context={**context, "request_id": "other"}, unit_id=DROP)
    insert(
        url,
        [generated(payload=body, context=context, experiments=arms), event(payload=body, context=context), hostile_household],
    )  # fmt: skip
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO household_versions VALUES (%s, '2020-01-01', '2020-01-01', 2, %s, %s, %s)",
            (HOUSEHOLD, [DROP], [DROP], DROP),
        )
    _, (refused,) = extract(url, tmp_path)
    assert (refused["rule"], refused["household_id"]) == ("malformed_unit_id", DROP)
    enriched = enrich(url, tmp_path).enriched
    training = tmp_path / "training.parquet"
    weekly.write_training(Engine(tmp_path), [enriched], training)
    (row,) = pq.read_table(training).to_pylist()
    assert (
        row["metadata"]["plan_id"] == row["metadata"]["policy_version_id"] == row["metadata"]["experiment_id"] == DROP
    )
    assert row["target"]["accepted_plan"] == plan
    assert row["input"]["household"]["region"] == DROP
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM exp.events").fetchone() == (3,)


@pytest.mark.parametrize(("share", "succeeds"), [(1.0, True), (0.05, False)])
def test_a_day_of_hostile_rows_materialises_or_fails_its_check_and_its_metadata_is_bounded_and_escaped(
    url: str, tmp_path: Path, share: float, succeeds: bool
) -> None:
    page = "<script>alert(1)</script>|![x](javascript:1)\u202e"
    batch = [
        event(payload=text, event_type=kind) for text in HOSTILE_TEXTS for kind in ("plan_accepted", "meal_swapped")
    ]
    batch += [event(event_type=page, unit_id=page), event(unit_id="x" * 1_000_000), event(timestamp="infinity")]
    batch += [event(context={**CONTEXTS, "policy_version_id": page[:-1]}, experiments=EXPERIMENTS)]
    accepted = insert(url, batch)
    platform = replace(
        Settings.from_environment({"PLATFORM_HOME": str(tmp_path)}),
        planner_start=date(2026, 1, 2), planner_end=date(2026, 1, 9), source_url=url,
    )  # fmt: skip
    resources = {
        "lake": LakeResource(url=platform.lake_url), "engine": EngineResource(scratch=str(tmp_path / "scratch")),
        "source": SourceResource(url=url),
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        job = build(platform, resources, Limits(quarantine_share=share)).resolve_job_def("planner_extraction")
        result = job.execute_in_process(instance=instance, partition_key="2026-01-05", raise_on_error=False)
        assert result.success is succeeds
        events = [entry.to_json() for entry in instance.all_logs(result.run_id)]
        records = instance.fetch_materializations(QUARANTINED_EVENTS, limit=1).records
    assert max(map(len, events)) < 100_000
    if not succeeds:
        assert any("quarantine_share" in text for text in events)
    assert records[0].asset_materialization
    sample = records[0].asset_materialization.metadata["sample"].value
    assert "<script>" not in str(sample)
    assert len(str(sample)) < 20_000
    lake = Lake(platform.lake_url)
    published = [lake.current(address(key, "2026-01-05")) for key in (EVENTS, QUARANTINED_EVENTS)]
    assert sum(revision.rows or 0 for revision in published if revision) == accepted
