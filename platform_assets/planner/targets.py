"""What a household accepted, the edits that led to it, and the plan it was first shown.

What belongs here: reading a row's `target`, and undoing its edits. What does not: judging a plan by it (`planner.scoring`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_assets.planner.plan_documents import read_plan
from platform_assets.planner.plans import Plan, PlanError

EDIT_TYPES = ("swap_meal", "adjust_servings", "remove_meal", "add_meal")


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit on one day; recipes where the type has them: swap_meal before and after, add_meal after."""

    type: str
    day: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The accepted plan, and the user's edits in the order they were made."""

    accepted: Plan
    edits: tuple[Edit, ...] = ()


def read_target(row: Mapping[str, Any]) -> Target:
    """The `target` of a dataset's row; raises PlanError."""
    try:
        return Target(read_plan(row["accepted_plan"]), tuple(_edit(each) for each in row.get("user_edits") or ()))
    except (KeyError, AttributeError) as error:
        raise PlanError(f"not a target {{accepted_plan, user_edits}}: {error!r}") from None


def generated_recipes(target: Target) -> Counter[str]:
    """The recipes of the plan as it was generated: the accepted ones with the edits undone, the last edit first.

    A removed meal's recipe is not in the data: unless an earlier edit of that day names it, it is missing here. An edit that
    does not fit the plan that it left behind is skipped.
    """
    meals: list[tuple[str, str | None]] = [(meal.day, meal.recipe_id) for meal in target.accepted.meals]
    for edit in reversed(target.edits):
        if edit.type == "remove_meal":
            meals.append((edit.day, None))
        elif edit.after is not None and (found := _find(meals, edit)) is not None:
            del meals[found]
            if edit.before is not None:
                meals.append((edit.day, edit.before))
    return Counter(recipe_id for _, recipe_id in meals if recipe_id is not None)


def _find(meals: Sequence[tuple[str, str | None]], edit: Edit) -> int | None:
    """Position of the meal that the edit left behind: by its recipe, else one that was removed afterwards."""
    for wanted in ((edit.day, edit.after), (edit.day, None)):
        if wanted in meals:
            return meals.index(wanted)
    return None


def _edit(row: Mapping[str, Any]) -> Edit:
    if row["type"] not in EDIT_TYPES:
        raise PlanError(f"an edit of type {row['type']!r}; known are {', '.join(EDIT_TYPES)}")
    after = row.get("to") if row["type"] == "swap_meal" else row.get("recipe_id")
    return Edit(row["type"], row["day"], row.get("from"), after)
