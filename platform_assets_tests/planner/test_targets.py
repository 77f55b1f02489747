"""What was accepted, and what had been generated before the user's edits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner.plans import DAYS, PlanError
from platform_assets.planner.targets import Edit, Target, generated_recipes, read_target
from platform_assets_tests.planner.plan_samples import steady


def accepted(*meals: tuple[str, str]) -> dict[str, Any]:
    return {"meals": [{"day": day, "recipe_id": key, "servings": 2} for day, key in meals]}


def edit(kind: str, day: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, "day": day, "from": None, "to": None, "recipe_id": None, "servings": None, **values}


def test_edits_are_read_as_the_dataset_has_them() -> None:
    edits = [
        edit("swap_meal", "monday", **{"from": "a", "to": "x"}), edit("add_meal", "friday", recipe_id="d", servings=2),
        edit("adjust_servings", "tuesday", servings=3), edit("remove_meal", "sunday"),
    ]  # fmt: skip
    found = read_target(
        {"accepted_plan": accepted(("monday", "x"), ("tuesday", "b"), ("friday", "d")), "user_edits": edits}
    )
    assert found.edits == (
        Edit("swap_meal", "monday", "a", "x"), Edit("add_meal", "friday", None, "d"), Edit("adjust_servings", "tuesday"),
        Edit("remove_meal", "sunday"),
    )  # fmt: skip
    assert generated_recipes(found) == Counter({"a": 1, "b": 1})


def test_a_target_of_another_shape_or_with_an_unknown_edit_is_refused() -> None:
    with pytest.raises(PlanError, match="accepted_plan"):
        read_target({"user_edits": []})
    with pytest.raises(PlanError, match="shuffle"):
        read_target({"accepted_plan": accepted(), "user_edits": [edit("shuffle", "monday")]})


def test_a_meal_that_was_swapped_twice_was_generated_as_the_first() -> None:
    edits = [edit("swap_meal", "monday", **{"from": one, "to": two}) for one, two in (("a", "b"), ("b", "c"))]
    found = read_target({"accepted_plan": accepted(("monday", "c")), "user_edits": edits})
    assert generated_recipes(found) == Counter({"a": 1})


def test_a_removed_meal_is_known_only_where_an_earlier_edit_named_it() -> None:
    removed = [
        edit("swap_meal", "monday", **{"from": "a", "to": "b"}),
        edit("remove_meal", "monday"),
        edit("remove_meal", "friday"),
    ]
    assert generated_recipes(read_target({"accepted_plan": accepted(), "user_edits": removed})) == Counter({"a": 1})


def test_an_edit_that_does_not_fit_the_accepted_plan_is_skipped() -> None:
    stray = [edit("swap_meal", "monday", **{"from": "a", "to": "b"})]
    assert generated_recipes(read_target({"accepted_plan": accepted(("monday", "c")), "user_edits": stray})) == {"c": 1}


days = st.sampled_from(DAYS[:4])
steps = st.lists(st.tuples(st.sampled_from(["swap_meal", "adjust_servings", "remove_meal", "add_meal"]), days,
                           st.sampled_from("abcde")), max_size=8)  # fmt: skip


@steady
@given(st.dictionaries(days, st.sampled_from("abcde"), min_size=1), steps)
def test_undoing_the_edits_gives_back_the_generated_plan_but_for_what_was_removed(
    generated: dict[str, str], wanted: list[tuple[str, str, str]]
) -> None:
    week, made = dict(generated), []
    for kind, day, key in wanted:
        if kind == "add_meal" and day not in week:
            made.append(edit(kind, day, recipe_id=key, servings=2))
            week[day] = key
        elif kind == "swap_meal" and day in week:
            made.append(edit(kind, day, **{"from": week[day], "to": key}))
            week[day] = key
        elif kind == "remove_meal" and day in week:
            made.append(edit(kind, day))
            del week[day]
    target: Target = read_target({"accepted_plan": accepted(*week.items()), "user_edits": made})
    found, original = generated_recipes(target), Counter(generated.values())
    removals = sum(each["type"] == "remove_meal" for each in made)
    assert found <= original
    assert original.total() - found.total() <= removals
