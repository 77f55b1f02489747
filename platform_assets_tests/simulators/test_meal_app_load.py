"""Loading into Postgres, the command line, and the one late event of the README's walk."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.planner import contract
from platform_assets.simulators.meal_app import Faults, Scenario, SimulatorError, late_event, load, simulate
from platform_assets.simulators.meal_app.__main__ import main

START = date(2026, 1, 2)
SMALL = Scenario(9, 60, START, 2, faults=Faults.none())
DAY = date(2026, 1, 14)


def count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_every_row_of_a_world_arrives(postgres_url: str) -> None:
    world = simulate(SMALL)
    assert load(world, postgres_url) == world.event_count
    for name, table in world.tables.items():
        assert count(postgres_url, name) == table.num_rows, name
    with psycopg.connect(postgres_url) as connection:
        stored = connection.execute("SELECT id::text, preferences, dietary_restrictions FROM households").fetchall()
    rows = world.tables["public.households"].to_pylist()
    assert set(map(repr, stored)) == {repr((r["id"], r["preferences"], r["dietary_restrictions"])) for r in rows}


def test_events_refer_to_the_policy_version_experiment_and_assignments_in_the_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        policy = connection.execute("INSERT INTO exp.policies (name) VALUES ('planner_policy') RETURNING id").fetchone()
        version = connection.execute(
            "INSERT INTO exp.policy_versions (policy_id, version, status) VALUES (%s, 0, 'active') RETURNING id::text",
            policy,
        ).fetchone()
    load(simulate(SMALL), postgres_url)
    with psycopg.connect(postgres_url) as connection:
        used = connection.execute("SELECT DISTINCT context->>'policy_version_id' FROM exp.events").fetchall()
        strangers = connection.execute(
            "SELECT count(*) FROM exp.events e, jsonb_array_elements(e.experiments) arm"
            " WHERE NOT EXISTS (SELECT 1 FROM exp.assignments a WHERE a.unit_id = e.unit_id"
            " AND a.experiment_id::text = arm->>'experiment_id' AND a.variant_id::text = arm->>'variant_id')"
        ).fetchone()
    assert used == [version]
    assert strangers == (0,)


def test_loading_twice_is_refused_unless_the_simulated_rows_may_go(postgres_url: str) -> None:
    world = simulate(SMALL)
    load(world, postgres_url)
    with pytest.raises(SimulatorError, match="--replace"):
        load(world, postgres_url)
    load(world, postgres_url, replace=True)
    assert count(postgres_url, "exp.events") == world.event_count


def test_replacing_spares_foreign_events_and_refuses_a_database_with_foreign_households(postgres_url: str) -> None:
    world = simulate(SMALL)
    load(world, postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO exp.events (event_type, timestamp) VALUES ('model_promoted', now())")
    load(world, postgres_url, replace=True)
    assert count(postgres_url, "exp.events") == world.event_count + 1
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO households (id, size) VALUES (gen_random_uuid(), 2)")
    with pytest.raises(SimulatorError, match="did not make"):
        load(world, postgres_url, replace=True)
    assert count(postgres_url, "exp.events") == world.event_count + 1


def test_a_load_that_fails_leaves_no_event_behind(postgres_url: str) -> None:
    world = simulate(SMALL)

    def chunks():
        yield world
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        load(chunks(), postgres_url)
    assert count(postgres_url, "exp.events") == count(postgres_url, "households") == 0


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("plan", ["plan_generated", "plan_accepted"]),
        ("acceptance", ["plan_accepted"]),
        ("edit", ["edit_applied"]),
    ],
)
def test_a_late_event_happened_on_its_day_and_is_recorded_now(postgres_url: str, kind: str, types: list[str]) -> None:
    load(simulate(SMALL), postgres_url)
    late = late_event(postgres_url, DAY, kind)
    with psycopg.connect(postgres_url, options="-c timezone=UTC") as connection:
        rows = connection.execute(
            "SELECT event_type, timestamp::date, created_at > now() - interval '1 minute', payload->>'plan_id', unit_id"
            " FROM exp.events WHERE id::text = ANY(%s) ORDER BY timestamp",
            [list(late.event_ids)],
        ).fetchall()
    assert rows == [(name, DAY, True, late.plan_id, late.household_id) for name in types]


def test_a_late_plan_is_never_modelled_on_a_planted_fault(postgres_url: str) -> None:
    shares = {each.name: 0.12 for each in fields(Faults) if each.name != "empty_day"}
    load(simulate(Scenario(9, 40, START, 2, faults=Faults(**shares))), postgres_url)
    late = [late_event(postgres_url, START + timedelta(days=day)) for day in range(2, 40)]
    query = "SELECT payload::text, experiments::text, context::text FROM exp.events WHERE id::text = ANY(%s)"
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute(query, [[each for event in late for each in event.event_ids]]).fetchall()
    assert len(rows) == 2 * len(late)
    for payload, experiments, context in rows:
        contract.PAYLOADS["plan_accepted"].decode(payload)
        assert all(arm.experiment_id and arm.variant_id for arm in contract.EXPERIMENTS.decode(experiments))
        assert contract.CONTEXT.decode(context).policy_version_id


def test_a_late_event_that_cannot_be_is_refused_in_words(postgres_url: str) -> None:
    load(simulate(SMALL), postgres_url)
    with pytest.raises(SimulatorError, match="inside the simulated range"):
        late_event(postgres_url, date(2020, 1, 1))
    with pytest.raises(SimulatorError, match="not past"):
        late_event(postgres_url, date(2999, 1, 1))
    with pytest.raises(SimulatorError, match="no late event of kind"):
        late_event(postgres_url, DAY, "nonsense")


def test_the_command_line_loads_writes_the_truth_and_adds_a_late_event(
    postgres_url: str, tmp_path: Path, capsys
) -> None:
    words = ["--url", postgres_url, "--seed", "4", "--households", "40", "--start", "2026-01-02", "--weeks", "2"]
    words += ["--ground_truth", str(tmp_path / "truth"), "--no-faults", "--fault-clock-skew", "0.01"]
    assert main(words) == 0
    assert main(words) == 1
    assert "--replace" in capsys.readouterr().err
    truth = pq.read_table(tmp_path / "truth" / "ground_truth.parquet")
    assert set(truth["rule"].to_pylist()) == {"clock_skew"}
    assert pq.read_table(tmp_path / "truth" / "tastes.parquet").num_rows == 40
    assert pq.read_table(tmp_path / "truth" / "recipe_attributes.parquet").num_rows == 240
    before = count(postgres_url, "exp.events")
    assert main(["late-event", "--url", postgres_url, "--day", "2026-01-09"]) == 0
    assert count(postgres_url, "exp.events") == before + 2
