"""One late event for a loaded world: it happened on a past day and is recorded now.

Three kinds: a whole plan that reached us late, the acceptance of a plan that seemed never accepted, an edit of an accepted
plan. What does not belong here: the late events that a scenario plants (`faults`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, LiteralString

import numpy as np
import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from platform_assets.simulators.meal_app.scenario import SimulatorError
from platform_assets.simulators.meal_app.text import draw_uuids

NOON = time(12, tzinfo=UTC)


Connection = psycopg.Connection[DictRow]


@dataclass(frozen=True)
class LateEvent:
    """What was written: the events' ids, in the order they happened."""

    kind: str
    event_ids: tuple[str, ...]
    plan_id: str
    household_id: str
    happened_at: datetime
    recorded_at: datetime


def late_event(url: str, day: date, kind: str = "plan") -> LateEvent:
    """Insert a late `plan` (generated and accepted), `acceptance` or `edit` that happened on `day`, recorded now.

    The database chooses nothing: the first suitable plan by id serves. Raises SimulatorError when there is none.
    """
    if kind not in _KINDS:
        raise SimulatorError(f"no late event of kind {kind!r}; choose from {', '.join(_KINDS)}")
    if datetime.combine(day, NOON) > datetime.now(UTC):
        raise SimulatorError(f"{day} is not past: an event of that day would not be late")
    with Connection.connect(url, options="-c timezone=UTC", row_factory=dict_row) as connection:
        return _KINDS[kind](connection, day)


def _late_plan(connection: Connection, day: date) -> LateEvent:
    """The household repeats an earlier plan at noon of the day, and accepts it as it is half an hour later."""
    noon = datetime.combine(day, NOON)
    template = _find(connection, _RECENT_PLAN, day, "no plan was generated in the four weeks up to that day", noon=noon)
    payload = {**template["payload"], "plan_id": _identifier()}
    moments = (noon, noon + timedelta(minutes=30))
    generated = _insert(connection, template, "plan_generated", payload, moments[0], template["metrics"])
    accepted = _insert(connection, template, "plan_accepted", payload, moments[1], {"edit_count": 0})
    return _report("plan", template, payload, moments[0], generated, accepted)


def _late_acceptance(connection: Connection, day: date) -> LateEvent:
    """A plan that was neither accepted nor rejected was accepted as it was, late on the day it was generated."""
    start, end = _bounds(day)
    missing = "no plan of that day is still undecided"
    template = _find(connection, _UNDECIDED_PLAN, day, missing, start=start, end=end)
    moment = template["timestamp"] + (end - template["timestamp"]) / 2
    accepted = _insert(connection, template, "plan_accepted", template["payload"], moment, {"edit_count": 0})
    return _report("acceptance", template, template["payload"], moment, accepted)


def _late_edit(connection: Connection, day: date) -> LateEvent:
    """An adjustment of servings that the accepted plan already shows, so that the plan still follows from its edits."""
    start, end = _bounds(day)
    template = _find(connection, _ACCEPTED_PLAN, day, "no plan accepted on that day", start=start, end=end)
    meal = template["payload"]["plan"]["meals"][0]
    payload = {
        "plan_id": template["payload"]["plan_id"],
        "type": "adjust_servings",
        "day": meal["day"],
        "servings": meal["servings"],
    }
    moment = template["timestamp"] - timedelta(seconds=30)
    return _report(
        "edit", template, payload, moment, _insert(connection, template, "edit_applied", payload, moment, {})
    )


_KINDS: dict[str, Callable[[Connection, date], LateEvent]] = {
    "plan": _late_plan,
    "acceptance": _late_acceptance,
    "edit": _late_edit,
}
# A template must be a valid event of a known household, not a fault that was planted.
_VALID = """
    e.payload ? 'plan_id' AND jsonb_typeof(e.payload->'plan'->'meals') = 'array' AND e.context ? 'policy_version_id'
    AND e.timestamp <= e.created_at
    AND NOT jsonb_path_exists(e.experiments, '$[*] ? (!exists(@.experiment_id) || !exists(@.variant_id))')
    AND NOT jsonb_path_exists(e.payload, '$.plan.meals[*] ? (
        !exists(@.recipe_id) || !(@.servings.type() == "number" && @.servings > 0)
        || !(@.day like_regex "^(mon|tues|wednes|thurs|fri|satur|sun)day$"))')
    AND EXISTS (SELECT 1 FROM public.households h WHERE h.id::text = e.unit_id)
"""
_RECENT_PLAN = f"""
    SELECT e.* FROM exp.events e
    WHERE e.event_type = 'plan_generated' AND e.timestamp >= %(noon)s - interval '28 days' AND e.timestamp < %(noon)s
      AND {_VALID}
    ORDER BY e.id LIMIT 1
"""
_UNDECIDED_PLAN = f"""
    SELECT e.* FROM exp.events e
    WHERE e.event_type = 'plan_generated' AND e.timestamp >= %(start)s AND e.timestamp < %(end)s AND {_VALID}
      AND NOT EXISTS (
          SELECT 1 FROM exp.events d
          WHERE d.timestamp >= e.timestamp AND d.timestamp < e.timestamp + interval '7 days'
            AND d.event_type <> 'plan_generated' AND d.payload->>'plan_id' = e.payload->>'plan_id')
    ORDER BY e.id LIMIT 1
"""
_ACCEPTED_PLAN = f"""
    SELECT e.* FROM exp.events e
    WHERE e.event_type = 'plan_accepted' AND e.timestamp >= %(start)s + interval '1 hour' AND e.timestamp < %(end)s
      AND {_VALID}
    ORDER BY e.id LIMIT 1
"""


def _find(connection: Connection, query: LiteralString, day: date, missing: str, **values: Any) -> dict[str, Any]:
    row = connection.execute(query, values).fetchone()
    if row is None:
        raise SimulatorError(f"{day}: {missing}; choose a day inside the simulated range")
    return row


def _insert(
    connection: Connection, template: dict[str, Any], kind: str, payload: dict, moment: datetime, metrics: dict
) -> dict[str, Any]:
    """Insert one event of the template's household; its context is the template's, with a request of its own."""
    context = {**template["context"], "request_id": _identifier()}
    context.pop("propensity", None)
    row = connection.execute(
        "INSERT INTO exp.events (id, event_type, unit_type, unit_id, experiments, context, metrics, payload, timestamp,"
        " created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, now()) RETURNING id::text, created_at",
        [
            _identifier(), kind, template["unit_type"], template["unit_id"], Jsonb(template["experiments"]),
            Jsonb(context), Jsonb(metrics), Jsonb(payload), moment,
        ],
    ).fetchone()  # fmt: skip
    if row is None:
        raise SimulatorError("the database did not return the event it inserted")
    return row


def _report(kind: str, template: dict[str, Any], payload: dict, moment: datetime, *rows: dict[str, Any]) -> LateEvent:
    identifiers = tuple(row["id"] for row in rows)
    return LateEvent(kind, identifiers, payload["plan_id"], template["unit_id"], moment, rows[-1]["created_at"])


def _bounds(day: date) -> tuple[datetime, datetime]:
    start = datetime.combine(day, time(0, tzinfo=UTC))
    return start, start + timedelta(days=1)


def _identifier() -> str:
    """A new id that carries the simulator's mark; late events are made once, so nothing need be repeatable."""
    return draw_uuids(np.random.default_rng(), 1)[0].as_py()
