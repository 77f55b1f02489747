"""The rows of a replay: all of them or counted, none that was trained on, the same sample every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.replay_rows import LeakError, NothingToReplay, Seen, UnreadableRow, refuse_leak, select

AT = datetime(2026, 1, 10, tzinfo=UTC)
BREAD = [{"name": "bread", "quantity": 1.0, "unit": "piece", "staple": False, "perishable": True}]


def catalogue(*keys: str) -> Catalogue:
    version = {
        "title": "", "cuisine": "", "main_protein": "", "ingredients": BREAD, "tags": [], "allergens": [], "diets": [],
        "prep_time_min": 10, "cost_per_serving": 1.0, "servings": 1, "valid_from": AT, "recorded_at": AT,
    }  # fmt: skip
    return Catalogue({"id": key, **version} for key in keys)


def row(number: int, recipe: str = "r1", budget: float = 10.0, workflow: str | None = "plan-first") -> dict[str, Any]:
    household = {"id": f"h{number % 3}", "size": 1, "preferences": [], "restrictions": [], "region": "north"}
    return {
        "input": {
            "household": household, "pantry": {"items": []}, "workflow_type": workflow, "mode": "autopilot",
            "constraints": {"budget": budget, "max_prep_time": 30, "excluded_ingredients": []},
            "previous_plan": None, "recent_plans": [],
        },
        "target": {
            "accepted_plan": {"meals": [{"day": "monday", "recipe_id": recipe, "servings": 1}]}, "user_edits": [],
        },
        "metadata": {"plan_id": f"p{number:03d}", "timestamp": AT, "accepted_at": AT, "policy_version_id": "v0"},
    }  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    edit = pa.struct([(name, pa.string()) for name in ("type", "day", "from", "to", "recipe_id")])
    table = pa.Table.from_pylist(rows)
    target = table["target"].to_pylist()
    plan = pa.array([each["accepted_plan"] for each in target])
    edits = pa.array([[] for _ in target], pa.list_(edit))
    struct = pa.StructArray.from_arrays([plan, edits], ["accepted_plan", "user_edits"])
    path = folder / "training.parquet"
    pq.write_table(table.set_column(table.column_names.index("target"), "target", struct), path)
    return path


def test_every_row_is_replayed_or_counted(tmp_path: Path) -> None:
    path = write(tmp_path, [row(1), row(2, budget=0.5), row(3, recipe="unknown")])
    found = select([path], catalogue("r1"), Seen())
    assert [each.plan_id for each in found.rows] == ["p001", "p003"]
    assert found.excluded == {"infeasible": 1}
    assert found.targets_outside_candidates == 1


def test_rows_know_their_household_their_draw_and_their_slices(tmp_path: Path) -> None:
    path = write(tmp_path, [row(1), row(2)])
    found = select([path], catalogue("r1"), Seen(households=frozenset({"h1"})), {"p002": 0.1})
    assert [(each.seen, each.randomised) for each in found.rows] == [(True, False), (False, True)]
    assert found.rows[1].slices()["household"] == "unseen"


def test_a_plan_that_was_trained_on_is_refused_even_outside_the_sample(tmp_path: Path) -> None:
    path = write(tmp_path, [row(number) for number in range(20)])
    for number in range(20):
        with pytest.raises(LeakError, match=f"p{number:03d}"):
            select([path], catalogue("r1"), Seen(plans=frozenset({f"p{number:03d}"})), sample_size=1)


@given(st.dictionaries(st.integers(0, 30), st.integers(0, 9)), st.dictionaries(st.integers(0, 30), st.integers(0, 9)))
def test_a_leak_is_refused_exactly_when_a_row_was_trained_on_or_is_not_newer_than_all_that_were(
    replayed: dict[int, int], trained: dict[int, int]
) -> None:
    until = AT + timedelta(hours=max(trained.values())) if trained else None
    seen = Seen(frozenset(map(str, trained)), until=until)
    rows = {str(plan): AT + timedelta(hours=hour) for plan, hour in replayed.items()}
    if any(plan in trained for plan in replayed) or any(
        hour <= other for hour in replayed.values() for other in trained.values()
    ):
        with pytest.raises(LeakError):
            refuse_leak(rows, seen)
    else:
        refuse_leak(rows, seen)


def test_a_sample_is_the_same_on_every_run_and_in_any_order(tmp_path: Path) -> None:
    rows = [row(number) for number in range(40)]
    one = select([write(tmp_path, rows)], catalogue("r1"), Seen(), sample_size=7).rows
    other = select([write(tmp_path, rows[::-1])], catalogue("r1"), Seen(), sample_size=7).rows
    assert [each.plan_id for each in one] == [each.plan_id for each in other]
    assert len(one) == 7


def test_nothing_to_replay_says_what_became_of_the_rows(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplay, match="infeasible 2"):
        select([write(tmp_path, [row(1, budget=0.1), row(2, budget=0.1)])], catalogue("r1"), Seen())


def test_a_household_whose_constraints_nobody_knew_is_counted_and_a_broken_row_is_not_passed_over(
    tmp_path: Path,
) -> None:
    unknown = row(2)
    unknown["input"]["constraints"] = None
    found = select([write(tmp_path, [row(1), unknown])], catalogue("r1"), Seen())
    assert found.excluded == {"incomplete": 1}
    with pytest.raises(UnreadableRow, match=r"p003 cannot be read.*build its week again"):
        select(
            [write(tmp_path, [row(1), {**row(3), "input": {**row(3)["input"], "household": None}}])],
            catalogue("r1"),
            Seen(),
        )


def test_what_either_model_saw_is_refused() -> None:
    both = Seen(frozenset({"p1"}), frozenset({"h1"})) | Seen(frozenset({"p2"}), frozenset({"h2"}))
    for plan in ("p1", "p2"):
        with pytest.raises(LeakError):
            refuse_leak({plan: AT}, both)
    assert both.households == {"h1", "h2"}


def test_a_week_from_before_the_newest_training_row_of_either_model_is_refused(tmp_path: Path) -> None:
    path, earlier, later = write(tmp_path, [row(1)]), AT - timedelta(hours=1), AT + timedelta(hours=1)
    assert select([path], catalogue("r1"), Seen(until=earlier) | Seen()).rows
    with pytest.raises(LeakError, match="p001 among them, are not newer than the newest training row"):
        select([path], catalogue("r1"), Seen(until=earlier) | Seen(until=later))
