"""Every row of the ground truth is really in the loaded data as described, and nothing else is wrong with the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import date, timedelta

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from platform_assets.planner import contract
from platform_assets.simulators.meal_app import Faults, Scenario, World, load, simulate

START = date(2026, 1, 2)
PLANTED = Faults(**{each.name: 0.02 for each in fields(Faults)})
RULES = {
    "late_event", "resent_event", "malformed_payload", "unknown_event_type", "missing_policy_version_id",
    "missing_experiment_id", "missing_variant_id", "clock_skew", "unknown_household", "malformed_pantry", "empty_day",
}  # fmt: skip


@pytest.fixture(scope="module")
def faulty() -> World:
    return simulate(Scenario(5, 250, START, 5, faults=PLANTED))


@pytest.fixture(scope="module")
def truth(faulty: World) -> list[dict]:
    return faulty.ground_truth.to_pylist()


@pytest.fixture(scope="module")
def connection(module_postgres_url: str, faulty: World) -> Iterator[psycopg.Connection]:
    load(faulty, module_postgres_url)
    with psycopg.connect(module_postgres_url, options="-c timezone=UTC", row_factory=dict_row) as connection:
        yield connection


@pytest.fixture(scope="module")
def events(connection: psycopg.Connection) -> dict[str, dict]:
    return {str(row["id"]): row for row in connection.execute("SELECT * FROM exp.events")}


def is_late(event: dict) -> bool:
    return timedelta(hours=23) < event["created_at"] - event["timestamp"] < timedelta(days=7)


def is_broken(event: dict) -> bool:
    try:
        contract.PAYLOADS[event["event_type"]].decode(msgspec.json.encode(event["payload"]))
    except msgspec.ValidationError:
        return True
    return False


HOLDS: dict[str, Callable[[dict], bool]] = {
    "late_event": is_late,
    "malformed_payload": is_broken,
    "unknown_event_type": lambda event: event["event_type"] not in contract.PAYLOADS,
    "missing_policy_version_id": lambda event: "policy_version_id" not in event["context"],
    "missing_experiment_id": lambda event: any("experiment_id" not in arm for arm in event["experiments"]),
    "missing_variant_id": lambda event: any("variant_id" not in arm for arm in event["experiments"]),
    "clock_skew": lambda event: event["timestamp"] - event["created_at"] >= timedelta(hours=1),
}


def test_every_fault_is_planted_and_expected_somewhere(truth: list[dict]) -> None:
    assert {row["rule"] for row in truth} == RULES
    where = {row["rule"]: row["expected"] for row in truth}
    assert {rule for rule, place in where.items() if place == "events"} == {"late_event", "empty_day"}
    assert {rule for rule, place in where.items() if place == "excluded"} == {"unknown_household", "malformed_pantry"}
    assert {row["fault"] for row in truth if row["rule"] == "malformed_payload"} >= {
        "plan_not_an_object", "missing_plan_id", "meals_not_a_list", "unknown_day", "servings_as_text",
        "servings_negative", "recipe_id_missing", "payload_not_an_object",
    }  # fmt: skip


def test_an_event_carries_one_fault_at_most(truth: list[dict]) -> None:
    listed = [row["event_id"] for row in truth if row["event_id"]]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("rule", sorted(HOLDS))
def test_exactly_the_listed_events_carry_the_fault(truth: list[dict], events: dict[str, dict], rule: str) -> None:
    listed = {row["event_id"] for row in truth if row["rule"] == rule}
    resent = {row["event_id"] for row in truth if row["rule"] == "resent_event"}
    unknown_type = {row["event_id"] for row in truth if row["rule"] == "unknown_event_type"}
    judged = events.keys() - resent - (unknown_type if rule == "malformed_payload" else set())
    assert {key for key in judged if HOLDS[rule](events[key])} == listed


def test_the_truth_says_of_each_event_what_the_log_says(truth: list[dict], events: dict[str, dict]) -> None:
    for row in truth:
        if row["event_id"]:
            event = events[row["event_id"]]
            assert (event["unit_id"], event["event_type"]) == (row["household_id"], row["event_type"])
            assert event["timestamp"].date() == row["day"]
            if row["rule"] != "malformed_payload":
                assert event["payload"]["plan_id"] == row["plan_id"]


def test_a_resent_event_is_a_later_recording_of_a_valid_one(truth: list[dict], events: dict[str, dict]) -> None:
    faulty_ids = {row["event_id"] for row in truth}
    requests = {event["context"]["request_id"]: event for key, event in events.items() if key not in faulty_ids}
    copies = [events[row["event_id"]] for row in truth if row["rule"] == "resent_event"]
    assert copies
    for copy in copies:
        original = requests[copy["context"]["request_id"]]
        assert copy["created_at"] > original["created_at"]
        same = ("event_type", "unit_id", "timestamp", "payload", "context", "experiments", "metrics")
        assert [copy[name] for name in same] == [original[name] for name in same]


def test_a_day_listed_as_empty_has_no_event_and_every_other_day_has_some(
    truth: list[dict], events: dict[str, dict]
) -> None:
    empty = {row["day"] for row in truth if row["rule"] == "empty_day"}
    seen = {event["timestamp"].date() for event in events.values()}
    assert empty
    assert {START + timedelta(days=day) for day in range(35)} - seen == empty


def test_a_stranger_is_in_no_household_table_and_owns_whole_plans(
    truth: list[dict], events: dict[str, dict], connection: psycopg.Connection
) -> None:
    known = {str(row["id"]) for row in connection.execute("SELECT id FROM households")}
    listed = {row["event_id"] for row in truth if row["rule"] == "unknown_household"}
    assert {key for key, event in events.items() if event["unit_id"] not in known} == listed
    plans = {row["plan_id"] for row in truth if row["rule"] == "unknown_household"}
    of_plans = {k for k, e in events.items() if isinstance(e["payload"], dict) and e["payload"].get("plan_id") in plans}
    assert of_plans == listed


AS_OF = """
    SELECT e.payload->>'plan_id' AS plan_id, s.items
    FROM exp.events e CROSS JOIN LATERAL (
        SELECT items FROM pantry_snapshots p
        WHERE p.household_id::text = e.unit_id AND p.snapshot_time <= e.timestamp AND p.recorded_at <= e.timestamp
        ORDER BY p.snapshot_time DESC, p.recorded_at DESC, p.id DESC LIMIT 1) s
    WHERE e.event_type = 'plan_generated' AND jsonb_typeof(e.payload) = 'object' AND e.timestamp < e.created_at
"""


def test_the_plans_that_see_a_broken_pantry_are_exactly_those_listed(
    truth: list[dict], connection: psycopg.Connection
) -> None:
    listed = {row["plan_id"]: row["event_type"] for row in truth if row["rule"] == "malformed_pantry"}
    found = set()
    for row in connection.execute(AS_OF):
        try:
            contract.PANTRY.decode(msgspec.json.encode(row["items"]))
        except msgspec.ValidationError:
            found.add(row["plan_id"])
    assert found == listed.keys()
    accepted = connection.execute(
        "SELECT DISTINCT payload->>'plan_id' AS plan_id FROM exp.events WHERE event_type = 'plan_accepted'"
        " AND payload->>'plan_id' = ANY(%s)",
        [list(listed)],
    ).fetchall()
    assert {row["plan_id"] for row in accepted} == {k for k, kind in listed.items() if kind == "plan_accepted"}
