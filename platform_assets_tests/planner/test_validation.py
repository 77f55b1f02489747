"""Every row of the log leaves on exactly one side: typed, or quarantined by the rule it breaks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.planner import sources, validation

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUSEHOLD = "00000000-0000-4000-8000-000000000001"
PLAN = {"plan_id": "p1", "plan": {"meals": [{"day": "monday", "recipe_id": "r1", "servings": 2}]}}
CONTEXT = {"policy_version_id": "v0", "request_id": "q1", "workflow_type": "plan-first", "mode": "autopilot"}
SOURCE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "event_type", "unit_type", "unit_id", "experiments", "context", "metrics", "payload")),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("created_at", pa.timestamp("us", tz="UTC")),
        ("oversized", pa.string()),
    ]
)  # fmt: skip


def event(**changes: Any) -> dict[str, Any]:
    """A valid plan_accepted row as the source delivers it, with changes."""
    row = {
        "id": "e1", "event_type": "plan_accepted", "unit_type": "household", "unit_id": HOUSEHOLD, "experiments": [],
        "context": CONTEXT, "metrics": {}, "payload": PLAN, "timestamp": NOW, "created_at": NOW,
        "oversized": None,
    }  # fmt: skip
    row.update(changes)
    for name in ("experiments", "context", "metrics", "payload"):
        row[name] = row[name] if row[name] is None or isinstance(row[name], str) else json.dumps(row[name])
    return row


def validate(folder: Path, rows: Iterable[dict[str, Any]]) -> tuple[list[dict], list[dict]]:
    reader = pa.Table.from_pylist(list(rows), schema=SOURCE_SCHEMA).to_reader(max_chunksize=3)
    typed, refused = folder / "typed.parquet", folder / "refused.parquet"
    counts = validation.validate_events(reader, NOW, typed, refused)
    good, bad = pq.read_table(typed).to_pylist(), pq.read_table(refused).to_pylist()
    assert counts.rows == len(good) + len(bad) == counts.valid + sum(counts.refused.values())
    return good, bad


@pytest.mark.parametrize(
    ("rule", "reason", "changes"),
    [
        ("unknown_event_type", "plan_dreamt", {"event_type": "plan_dreamt"}),
        ("malformed_unit_id", "'; DROP TABLE households; --", {"unit_id": "'; DROP TABLE households; --"}),
        ("malformed_unit_id", "session", {"unit_type": "session"}),
        ("clock_skew", "after created_at", {"timestamp": NOW + timedelta(hours=3)}),
        ("impossible_timestamp", "0001-01-01", {"timestamp": datetime(1, 1, 1, tzinfo=UTC)}),
        ("impossible_timestamp", "9999-12-31", {"timestamp": datetime(9999, 12, 31, tzinfo=UTC)}),
        ("recorded_in_the_future", "2026-01-06T13", {"created_at": NOW + timedelta(days=1, hours=1)}),
        ("recorded_in_the_future", "9999-12-31", {"created_at": datetime(9999, 12, 31, tzinfo=UTC)}),
        ("oversized_json", "payload has 9 bytes", {"oversized": "payload has 9 bytes"}),
        ("malformed_unit_id", "longer than 128", {"event_type": "model_promoted", "unit_id": "x" * 1_000_000}),
        ("malformed_payload", "$.plan", {"payload": {"plan_id": "p1", "plan": "soup"}}),
        ("malformed_payload", "plan_id", {"payload": {"plan": PLAN["plan"]}}),
        ("malformed_payload", "$.plan.meals", {"payload": {"plan_id": "p1", "plan": {"meals": {}}}}),
        ("malformed_payload", "length", {"payload": {"plan_id": "p1", "plan": {"meals": []}}}),
        ("malformed_payload", "got `array`", {"payload": []}),
        ("malformed_payload", "got `null`", {"payload": None}),
        ("malformed_payload", "servings", {"payload": {"plan_id": "p", "plan": {"meals": [{"day": "monday", "recipe_id": "r", "servings": "2"}]}}}),
        ("malformed_payload", "servings", {"payload": {"plan_id": "p", "plan": {"meals": [{"day": "monday", "recipe_id": "r", "servings": -2}]}}}),
        ("malformed_payload", "'someday'", {"payload": {"plan_id": "p", "plan": {"meals": [{"day": "someday", "recipe_id": "r", "servings": 2}]}}}),
        ("malformed_payload", "recursion", {"payload": '{"plan_id": "p", "x": ' + "[" * 100_000 + "]" * 100_000 + "}"}),
        ("malformed_context", "workflow_type", {"context": {**CONTEXT, "workflow_type": "mood-first"}}),
        ("malformed_context", "propensity", {"context": {**CONTEXT, "propensity": 1.5}}),
        ("malformed_experiments", "array", {"experiments": {"experiment_id": "x"}}),
        ("malformed_metrics", "latency_ms", {"metrics": {"latency_ms": -1}}),
        ("missing_policy_version_id", "policy_version_id", {"context": {"request_id": "q"}}),
        ("missing_policy_version_id", "policy_version_id", {"context": None}),
        ("missing_request_id", "request_id", {"context": {"policy_version_id": "v"}}),
        ("missing_experiment_id", "experiments[0]", {"experiments": [{"variant_id": "a"}]}),
        ("missing_variant_id", "experiments[1]", {"experiments": [{"experiment_id": "x", "variant_id": "a"}, {"experiment_id": "y"}]}),
    ],
)  # fmt: skip
def test_a_row_that_breaks_a_rule_is_quarantined_with_rule_and_reason(
    tmp_path: Path, rule: str, reason: str, changes: dict[str, Any]
) -> None:
    good, bad = validate(tmp_path, [event(), event(id="bad", **changes)])
    assert [row["event_id"] for row in good] == ["e1"]
    assert [(row["event_id"], row["rule"]) for row in bad] == [("bad", rule)]
    assert reason in bad[0]["reason"]
    assert rule in validation.RULES


def test_a_valid_row_keeps_every_value_in_its_typed_column(tmp_path: Path) -> None:
    swap = {"plan_id": "p1", "day": "friday", "from": "r1", "to": "r2"}
    rows = [
        event(experiments=[{"experiment_id": "x", "variant_id": "a"}], metrics={"latency_ms": 12.5, "token_count": 7}),
        event(id="e2", event_type="meal_swapped", payload=swap, context={**CONTEXT, "propensity": 0.25}),
        event(id="e3", event_type="model_promoted", payload={"anything": 1}, unit_id=None, context={}),
    ]
    (accepted, swapped, promoted), bad = validate(tmp_path, rows)
    assert not bad
    assert accepted["meals"] == PLAN["plan"]["meals"]
    assert (accepted["experiment_id"], accepted["variant_id"], accepted["latency_ms"], accepted["token_count"]) == (
        "x",
        "a",
        12.5,
        7,
    )
    assert swapped["edit"] == {
        "type": "swap_meal",
        "day": "friday",
        "from": "r1",
        "to": "r2",
        "recipe_id": None,
        "servings": None,
    }
    assert swapped["propensity"] == 0.25
    assert promoted["plan_id"] is promoted["meals"] is promoted["edit"] is None


def test_of_resent_events_the_first_recorded_is_kept_and_the_others_are_quarantined(tmp_path: Path) -> None:
    later = NOW + timedelta(minutes=1)
    rows = [
        event(id="b", created_at=later), event(id="a", created_at=NOW), event(id="c", created_at=NOW),
        event(id="other-request", context={**CONTEXT, "request_id": "q2"}),
        event(id="other-type", event_type="plan_generated"),
    ]  # fmt: skip
    validate(tmp_path, rows)
    events, quarantined = tmp_path / "events.parquet", tmp_path / "quarantined.parquet"
    Engine(tmp_path).run(
        transform.load(sources.SQL / "events.sql"),
        {"typed_events": [tmp_path / "typed.parquet"], "refused_events": [tmp_path / "refused.parquet"]},
        {"events": events, "quarantined_events": quarantined},
    )
    assert {row["event_id"] for row in pq.read_table(events).to_pylist()} == {"a", "other-request", "other-type"}
    resent = {row["event_id"]: (row["rule"], row["reason"]) for row in pq.read_table(quarantined).to_pylist()}
    assert resent == dict.fromkeys("bc", ("resent_event", "re-sent copy of event a"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["plan_id", "plan", "meals", "day", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    payload=json_values, context=json_values, kind=st.sampled_from([*validation.contract.PAYLOADS, "", "DROP TABLE"])
)
def test_no_json_whatever_is_lost_or_raises(
    tmp_path_factory: pytest.TempPathFactory, payload: Any, context: Any, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    row = event(event_type=kind)
    row["payload"], row["context"] = json.dumps(payload), json.dumps(context)
    good, bad = validate(folder, [row])
    assert len(good) + len(bad) == 1
