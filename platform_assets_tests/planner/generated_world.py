"""Random event logs and version tables on a coarse grid of instants, and a slow, obvious enrichment of them.

The oracle follows data_model's words with Python loops and no SQL; the grid makes ties and late knowledge frequent.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

from platform_assets.planner import schemas
from platform_assets.planner.enrichment import HISTORY_DAYS, PLAN_LIFETIME_DAYS

DAY = datetime(2026, 3, 29, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass
class GeneratedWorld:
    """Typed events, and version rows per table, as plain dictionaries."""

    events: list[dict[str, Any]] = field(default_factory=list)
    households: list[dict[str, Any]] = field(default_factory=list)
    constraints: list[dict[str, Any]] = field(default_factory=list)
    pantry: list[dict[str, Any]] = field(default_factory=list)

    def known_by(self, instant: datetime) -> GeneratedWorld:
        """The same world without every row recorded after an instant."""
        return GeneratedWorld(
            [row for row in self.events if row["created_at"] <= instant],
            *(
                [row for row in rows if row["recorded_at"] <= instant]
                for rows in (self.households, self.constraints, self.pantry)
            ),
        )


def generate(seed: int, households: int, plans_each: int) -> GeneratedWorld:
    """A world whose interesting day is DAY; about households * plans_each plans are accepted on it."""
    chance = random.Random(seed)
    world = GeneratedWorld()
    for _ in range(households):
        household = _uuid(chance)
        _add_versions(chance, world, household)
        for _ in range(plans_each):
            _add_plan(chance, world, household, accepted=DAY + HOUR * chance.randrange(24))
        for _ in range(plans_each // 2 + 2):
            _add_plan(chance, world, household, accepted=DAY - HOUR * chance.randrange(1, 24 * 40))
    chance.shuffle(world.events)
    return world


def load_versions(url: str, world: GeneratedWorld) -> None:
    """Put the version tables into Postgres."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for table, rows in (
            ("household_versions", world.households),
            ("household_constraint_versions", world.constraints),
            ("pantry_snapshots", [{**row, "items": Jsonb(row["items"])} for row in world.pantry]),
        ):
            cursor.execute(f"TRUNCATE {table}")
            if rows:
                names = list(rows[0])
                with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row([row[name] for name in names])


def write_events(path: Path, world: GeneratedWorld) -> Path:
    """The events as the typed Parquet that enrichment reads."""
    pq.write_table(pa.Table.from_pylist(world.events, schema=schemas.EVENTS), path)
    return path


def slow_enrichment(world: GeneratedWorld, day: datetime = DAY) -> tuple[dict[str, dict], dict[str, str]]:
    """Enriched rows by plan_id, and the reason by event_id of every acceptance left out."""
    by_plan: dict[str, list[dict]] = defaultdict(list)
    accepted_by_household: dict[str, list[dict]] = defaultdict(list)
    for event in world.events:
        by_plan[event["plan_id"]].append(event)
        if event["event_type"] == "plan_accepted":
            accepted_by_household[event["household_id"]].append(event)
    versions = {name: _by_household(rows) for name, rows in vars(world).items() if name != "events"}
    enriched, excluded = {}, {}
    for event in world.events:
        if event["event_type"] == "plan_accepted" and day <= event["timestamp"] < day + timedelta(days=1):
            outcome = _enrich(event, by_plan[event["plan_id"]], accepted_by_household, versions)
            if isinstance(outcome, str):
                excluded[event["event_id"]] = outcome
            else:
                enriched[event["plan_id"]] = outcome
    return enriched, excluded


def _enrich(accepted: dict, events: list[dict], histories: dict, versions: dict) -> dict | str:
    def order(event: dict) -> tuple:
        return event["timestamp"], event["created_at"], event["event_id"]

    household = accepted["household_id"]
    generations = [e for e in events if e["event_type"] == "plan_generated" and e["household_id"] == household]
    if not generations:
        return "generation_missing"
    generated = min(generations, key=order)
    at = generated["timestamp"]
    deadline = at + timedelta(days=PLAN_LIFETIME_DAYS)
    if accepted["timestamp"] < at:
        return "accepted_before_generated"
    if accepted["timestamp"] > deadline:
        return "accepted_too_late"
    acceptances = [e for e in events if e["event_type"] == "plan_accepted" and e["household_id"] == household]
    if min((e for e in acceptances if at <= e["timestamp"] <= deadline), key=order) is not accepted:
        return "already_accepted"
    winner = {name: _winner(rows[household], at) for name, rows in versions.items()}
    if winner["households"] is None:
        return "unknown_household"
    first_recorded: dict[tuple, dict] = {}
    for event in sorted(events, key=lambda e: (e["created_at"], e["event_id"])):
        if event["event_type"] in ("meal_swapped", "edit_applied") and event["household_id"] == household:
            first_recorded.setdefault((event["event_type"], event["request_id"]), event)
    edits = sorted((e for e in first_recorded.values() if at <= e["timestamp"] <= accepted["timestamp"]), key=order)
    recent: dict[str, dict] = {}
    visible = [
        e for e in histories[household]
        if e["plan_id"] != accepted["plan_id"] and at - timedelta(days=HISTORY_DAYS) <= e["timestamp"] < at and e["created_at"] <= at
    ]  # fmt: skip
    for event in sorted(visible, key=order, reverse=True):
        recent.setdefault(event["plan_id"], event)
    recents = [{"meals": event["meals"]} for event in recent.values()][:4]
    return {
        "generated_at": at,
        "accepted_at": accepted["timestamp"],
        "household_size": winner["households"]["size"],
        "household_recorded_at": winner["households"]["recorded_at"],
        "budget": winner["constraints"]["budget"] if winner["constraints"] else None,
        "items": winner["pantry"]["items"] if winner["pantry"] else None,
        "accepted_plan": {"meals": accepted["meals"]},
        "user_edits": [event["edit"] for event in edits],
        "previous_plan": recents[0] if recents else None,
        "recent_plans": recents,
    }


def _winner(rows: list[dict], at: datetime) -> dict | None:
    visible = [row for row in rows if _valid_from(row) <= at and row["recorded_at"] <= at]
    return max(visible, key=lambda row: (_valid_from(row), row["recorded_at"], row.get("id", ""))) if visible else None


def _valid_from(row: dict) -> datetime:
    return row["snapshot_time"] if "snapshot_time" in row else row["valid_from"]


def _by_household(rows: list[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        found[row["household_id"]].append(row)
    return found


def _add_versions(chance: random.Random, world: GeneratedWorld, household: str) -> None:
    def instants(count: int) -> set[tuple[datetime, datetime]]:
        # Half of them become known late, or before they are valid.
        valid = [DAY + HOUR * chance.randrange(-24 * 9, 26) for _ in range(count)]
        return {(v, v + HOUR * chance.choice([0, 0, -5, 7, 50])) for v in valid}

    for valid, recorded in instants(chance.choice([0, 1, 3, 6])):
        world.households.append(
            {"household_id": household, "valid_from": valid, "recorded_at": recorded, "size": chance.randrange(1, 7),
             "preferences": ["thai"], "dietary_restrictions": [], "region": "north"}
        )  # fmt: skip
    for valid, recorded in instants(chance.choice([0, 2, 4])):
        world.constraints.append(
            {"household_id": household, "valid_from": valid, "recorded_at": recorded, "budget": float(chance.randrange(40, 200)),
             "max_prep_time": 30, "excluded": []}
        )  # fmt: skip
    for taken, recorded in instants(chance.choice([0, 3, 8])):
        for _ in range(chance.choice([1, 1, 2])):  # two snapshots at one instant: the greater id wins
            items = [{"name": f"item{chance.randrange(50)}", "quantity": float(chance.randrange(9)), "unit": "kg"}]
            world.pantry.append(
                {
                    "id": _uuid(chance),
                    "household_id": household,
                    "snapshot_time": taken,
                    "recorded_at": recorded,
                    "items": items,
                }
            )


def _add_plan(chance: random.Random, world: GeneratedWorld, household: str, accepted: datetime) -> None:
    plan = _uuid(chance)
    if chance.random() < 0.02:  # another household's acceptance of the same plan must not stand in its way
        world.events.append(_event(chance, "plan_accepted", _uuid(chance), plan, accepted - HOUR, meals=_meals(chance)))
    generated = accepted - HOUR * chance.choice([0, 1, 2, 5, 30, 100, 168, 169, -1])
    if chance.random() > 0.03:
        world.events.append(_event(chance, "plan_generated", household, plan, generated, meals=_meals(chance)))
    for _ in range(chance.choice([0, 0, 1, 3])):
        when = generated + HOUR * chance.randrange(-1, 4)
        edit = {"type": "adjust_servings", "day": chance.choice(WEEKDAYS), "from": None, "to": None, "recipe_id": None,
                "servings": chance.randrange(1, 9)}  # fmt: skip
        event = _event(chance, "edit_applied", household, plan, when, edit=edit)
        world.events.append(event)
        if chance.random() < 0.1:  # sent again, perhaps past midnight
            resent = {"event_id": _uuid(chance), "timestamp": when + HOUR, "created_at": event["created_at"] + HOUR}
            world.events.append({**event, **resent})
    for extra in range(2 if chance.random() < 0.05 else 1):
        world.events.append(
            _event(chance, "plan_accepted", household, plan, accepted + HOUR * extra * 3, meals=_meals(chance))
        )


def _event(
    chance: random.Random, kind: str, household: str, plan: str, when: datetime, **values: Any
) -> dict[str, Any]:
    row = dict.fromkeys(schemas.EVENTS.names)
    late = HOUR * chance.choice([0, 0, 0, 0, 3, 60])
    row.update(
        event_id=_uuid(chance), event_type=kind, household_id=household, timestamp=when, created_at=when + late, plan_id=plan,
        request_id=_uuid(chance), policy_version_id="v0", workflow_type="plan-first", mode="autopilot", **values,
    )  # fmt: skip
    return row


def _meals(chance: random.Random) -> list[dict[str, Any]]:
    return [{"day": day, "recipe_id": f"r{chance.randrange(200)}", "servings": 2} for day in chance.sample(WEEKDAYS, 3)]


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
