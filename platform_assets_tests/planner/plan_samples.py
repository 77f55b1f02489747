"""Small recipes, households and plans for the tests of planning, by hand and drawn by hypothesis.

What belongs here: making values in few words. What does not: what is expected of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from platform_assets.planner.plans import (
    DAYS,
    Constraints,
    Household,
    InputContext,
    Meal,
    Plan,
    Quantity,
    Recipe,
    Request,
)

# A busy machine is no failure: neither a slow example nor slow drawing.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DIETS = ("vegan", "vegetarian")
FOODS = ("rice", "beans", "spinach", "salt", "cheese")


def recipe(key: str, price: float = 1.0, foods: Sequence[str | Quantity] = (), **attributes: Any) -> Recipe:
    """A recipe for one person; a food by its name alone is 100 g, and keeps."""
    items = tuple(Quantity(food, 100.0, "g") if isinstance(food, str) else food for food in foods)
    values: dict[str, Any] = {
        "title": key, "cuisine": "thai", "main_protein": "tofu", "tags": (), "allergens": (), "diets": (),
        "prep_time_min": 20, "servings": 1, **attributes,
    }  # fmt: skip
    return Recipe(id=key, ingredients=items, cost_per_serving=price, **values)


def book(*recipes: Recipe) -> dict[str, Recipe]:
    """The recipes by id."""
    return {each.id: each for each in recipes}


def plan(*meals: tuple[str, str] | tuple[str, str, int]) -> Plan:
    """Meals as (day's first letters, recipe, servings or 1)."""
    return Plan(tuple(Meal(_day(meal[0]), meal[1], meal[2] if len(meal) > 2 else 1) for meal in meals))


def context(
    size: int = 1, budget: float | None = None, *, restrictions: Sequence[str] = (), excluded: Sequence[str] = (),
    max_prep_time: int | None = None, preferences: Sequence[str] = (), pantry: Sequence[Quantity] = (),
    recent: Sequence[Plan] = (), previous: Plan | None = None, household_id: str = "h1",
) -> InputContext:  # fmt: skip
    """A household's context; the previous plan is the newest recent one unless it is given."""
    return InputContext(
        Household(household_id, size, tuple(preferences), tuple(restrictions), "north"), tuple(pantry),
        Constraints(budget, max_prep_time, tuple(excluded)), "plan-first", "autopilot",
        previous or (recent[0] if recent else None), tuple(recent),
    )  # fmt: skip


def _day(letters: str) -> str:
    return next((day for day in DAYS if day.startswith(letters)), letters)


prices = st.integers(0, 400).map(lambda cents: cents / 100)
some_foods = st.lists(st.sampled_from(FOODS), max_size=3, unique=True)


@st.composite
def books(draw: st.DrawFn, most: int = 9) -> Mapping[str, Recipe]:
    """A catalogue of a few recipes, some barred by some diets, times, foods or prices."""
    return book(
        *(
            recipe(
                f"r{number}", draw(prices), draw(some_foods), prep_time_min=draw(st.sampled_from([10, 30, 60])),
                diets=tuple(draw(st.lists(st.sampled_from(DIETS), unique=True))),
                cuisine=draw(st.sampled_from(["thai", "greek", "french"])),
                main_protein=draw(st.sampled_from(["tofu", "beans", "egg"])),
            )
            for number in range(draw(st.integers(0, most)))
        )
    )  # fmt: skip


@st.composite
def wild_plans(draw: st.DrawFn, most: int = 9) -> Plan:
    """Anything that has a plan's shape: unknown recipes and days, several meals a day, too few servings."""
    meals = st.builds(
        Meal, st.sampled_from((*DAYS, "funday")), st.sampled_from([f"r{number}" for number in range(12)]),
        st.integers(-1, 6),
    )  # fmt: skip
    return Plan(tuple(draw(st.lists(meals, max_size=most))))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A household and a catalogue; often, but not always, there is something it may eat."""
    recent = draw(st.lists(wild_plans(4), max_size=2))
    pantry = tuple(
        Quantity(name, draw(st.floats(0, 500)), draw(st.sampled_from(["g", "ml", "piece"])))
        for name in draw(some_foods)
    )
    asked = context(
        draw(st.integers(1, 4)), draw(st.none() | st.integers(0, 30).map(float)),
        restrictions=draw(st.lists(st.sampled_from(DIETS), max_size=1)), excluded=draw(some_foods.map(lambda x: x[:1])),
        max_prep_time=draw(st.sampled_from([None, 30])), preferences=draw(st.lists(st.sampled_from(["thai", "beans"]))),
        pantry=pantry, recent=recent,
    )  # fmt: skip
    return Request(asked, draw(books()))
