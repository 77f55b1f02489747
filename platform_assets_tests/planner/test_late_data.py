"""How far a changed day of events reaches: exactly the enriched days whose rows can differ, held against recomputing all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.planner import schemas
from platform_assets.planner.late_data import affected_days

DAY = datetime(2026, 1, 10, tzinfo=UTC)
KEY = "2026-01-10"
_COUNT = iter(range(10_000))


def event(kind: str, plan: str, days: float = 0.5, recorded_days_later: float = 0) -> dict[str, Any]:
    when = DAY + timedelta(days=days)
    row = dict.fromkeys(schemas.EVENTS.names)
    row |= {"event_id": f"e{next(_COUNT)}", "event_type": kind, "household_id": "h", "plan_id": plan, "timestamp": when}
    return row | {"created_at": when + timedelta(days=recorded_days_later)}


@pytest.fixture
def reach(tmp_path: Path):
    """The affected days of a change from one day's events to another, given later days' events."""

    def write(name: str, rows: list[dict[str, Any]]) -> Path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas.EVENTS), tmp_path / name)
        return tmp_path / name

    def affected(before: list | None, after: list, later: dict[str, list] | None = None) -> list[str]:
        previous = None if before is None else write("previous.parquet", before)
        files = {key: write(f"{key}.parquet", rows) for key, rows in (later or {}).items()}
        return affected_days(Engine(tmp_path), KEY, previous, write("current.parquet", after), files)

    return affected


def test_a_day_that_did_not_change_reaches_nothing(reach) -> None:
    rows = [event("plan_accepted", "a"), event("plan_generated", "a", 0.1)]
    assert reach(rows, rows[::-1]) == []


def test_a_late_acceptance_reaches_its_own_day_only_when_it_is_recorded_after_the_others(reach) -> None:
    old = [event("plan_accepted", "a")]
    late = event("plan_accepted", "b", recorded_days_later=30)
    later = {"2026-01-11": [event("plan_accepted", "c", 1.5)], "2026-02-08": [event("plan_accepted", "d", 29.5)]}
    assert reach(old, [*old, late], later) == [KEY]


def test_a_late_acceptance_reaches_days_after_it_was_recorded_because_it_is_history_there(reach) -> None:
    late = event("plan_accepted", "b", recorded_days_later=2)
    later = {f"2026-01-{day}": [] for day in (11, 12, 13)}
    assert reach([], [late], later) == [KEY, "2026-01-12", "2026-01-13"]


def test_history_ends_with_the_look_back(reach) -> None:
    late = event("plan_accepted", "b")
    assert reach([], [late], {"2026-02-14": [], "2026-02-15": []}) == [KEY, "2026-02-14"]


def test_a_late_edit_or_generation_reaches_the_day_its_plan_was_accepted(reach) -> None:
    later = {"2026-01-12": [event("plan_accepted", "a", 2.5)], "2026-01-13": [event("plan_accepted", "z", 3.5)]}
    for kind in ("plan_generated", "meal_swapped", "edit_applied"):
        assert reach([], [event(kind, "a")], later) == ["2026-01-12"]


def test_an_event_that_enrichment_does_not_read_reaches_nothing(reach) -> None:
    assert reach([], [event("plan_rejected", "a"), event("validator_intervention", "a")], {"2026-01-11": []}) == []


def test_a_second_acceptance_of_a_plan_reaches_the_day_that_held_it(reach) -> None:
    later = {"2026-01-12": [event("plan_accepted", "a", 2.5)]}
    assert reach([], [event("plan_accepted", "a", recorded_days_later=30)], later) == [KEY, "2026-01-12"]


def test_an_event_that_went_away_reaches_what_it_was_in(reach) -> None:
    assert reach([event("plan_accepted", "a", recorded_days_later=9)], []) == [KEY]


def test_a_first_publication_reaches_its_day_and_what_was_made_without_it(reach) -> None:
    assert reach(None, [event("plan_accepted", "a")], {"2026-01-11": []}) == [KEY, "2026-01-11"]
