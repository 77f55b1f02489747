"""Plans, households, constraints, recipes as typed values, and which recipes a household may eat.

What belongs here: the domain's nouns, and the rules that a recipe or a plan must keep. What does not: reading them from rows and
requests (`planner.plan_documents`), choosing recipes (`planner.policies`), judging a choice (`planner.scoring`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_MEALS = len(DAYS)
# Sums of prices carry rounding errors of about 1e-14; no currency has a coin of a millionth.
PRICE_TOLERANCE = 1e-6


class PlanError(ValueError):
    """A request, row or plan that does not have the documented shape; the message names the field."""


class IncompleteContext(PlanError):
    """A context that lacks what nobody knew at the time: it can neither be planned for nor learnt from, and is counted."""


@dataclass(frozen=True, slots=True)
class Meal:
    """One recipe on one day, for a number of people."""

    day: str
    recipe_id: str
    servings: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A week's meals, at most one a day, in any order."""

    meals: tuple[Meal, ...] = ()

    @property
    def recipe_ids(self) -> tuple[str, ...]:
        """The recipes, by meal."""
        return tuple(meal.recipe_id for meal in self.meals)

    def document(self) -> dict[str, Any]:
        """As in events, datasets and responses: {meals: [{day, recipe_id, servings}]}, in the week's order."""
        ordered = sorted(self.meals, key=lambda meal: (_position(meal.day), meal.recipe_id))
        meals = [{"day": meal.day, "recipe_id": meal.recipe_id, "servings": meal.servings} for meal in ordered]
        return {"meals": meals}


@dataclass(frozen=True, slots=True)
class Household:
    """Who eats; `id` never reaches a prompt."""

    id: str
    size: int
    preferences: tuple[str, ...]
    restrictions: tuple[str, ...]
    region: str | None


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a plan must keep; None is no limit. Budget in the currency of cost_per_serving, for the week; time in minutes."""

    budget: float | None
    max_prep_time: int | None
    excluded_ingredients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of an ingredient, in its own unit."""

    name: str
    quantity: float
    unit: str
    staple: bool = False
    perishable: bool = False


@dataclass(frozen=True, slots=True)
class InputContext:
    """What a policy knows when it plans: the dataset's `input`, and the body of a serving request."""

    household: Household
    pantry: tuple[Quantity, ...]
    constraints: Constraints
    workflow_type: str
    mode: str
    previous_plan: Plan | None
    recent_plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of a recipe; ingredients are for `servings` people, time in minutes."""

    id: str
    title: str
    cuisine: str
    main_protein: str
    ingredients: tuple[Quantity, ...]
    tags: tuple[str, ...]
    allergens: tuple[str, ...]
    diets: tuple[str, ...]
    prep_time_min: int
    cost_per_serving: float
    servings: int


@dataclass(frozen=True)
class Request:
    """One household's wish for a plan: what is known of it, and the catalogue as of then, which must not change."""

    context: InputContext
    recipes: Mapping[str, Recipe]

    @cached_property
    def candidates(self) -> tuple[Recipe, ...]:
        """The admissible recipes, by id."""
        return tuple(admissible(self.context, self.recipes.values()))


def meal_price(recipe: Recipe, servings: int) -> float:
    """What a meal costs."""
    return recipe.cost_per_serving * servings


def plan_price(plan: Plan, recipes: Mapping[str, Recipe]) -> float:
    """What a plan's known recipes cost together, in any order of its meals the same number."""
    known = (meal for meal in plan.meals if meal.recipe_id in recipes)
    return math.fsum(meal_price(recipes[meal.recipe_id], meal.servings) for meal in known)


def within_budget(price: float, constraints: Constraints) -> bool:
    """Whether a week may cost this."""
    return constraints.budget is None or price <= constraints.budget + PRICE_TOLERANCE


def refusals(recipe: Recipe, household: Household, constraints: Constraints) -> tuple[str, ...]:
    """The rules that a recipe breaks for a household, whatever else is planned: diet, excluded, preparation_time."""
    broken = []
    if not set(household.restrictions) <= set(recipe.diets):
        broken.append("diet")
    if set(constraints.excluded_ingredients) & {*recipe.allergens, *(item.name for item in recipe.ingredients)}:
        broken.append("excluded")
    if constraints.max_prep_time is not None and recipe.prep_time_min > constraints.max_prep_time:
        broken.append("preparation_time")
    return tuple(broken)


def admissible(context: InputContext, recipes: Iterable[Recipe]) -> list[Recipe]:
    """The recipes that the household may eat and can pay for when it is their only meal, by id."""
    household, constraints = context.household, context.constraints
    return sorted(
        (
            recipe
            for recipe in recipes
            if not refusals(recipe, household, constraints)
            and within_budget(meal_price(recipe, household.size), constraints)
        ),
        key=lambda recipe: recipe.id,
    )


def most_meals(candidates: Sequence[Recipe], context: InputContext) -> int:
    """The greatest number of different candidates that fit the budget together, at most one a day.

    Exact: only their sum couples meals, so that the n cheapest decide. 0 proves that no plan is feasible.
    """
    prices = sorted(meal_price(recipe, context.household.size) for recipe in candidates)[:MOST_MEALS]
    fitting = (
        count for count in range(len(prices), 0, -1) if within_budget(math.fsum(prices[:count]), context.constraints)
    )
    return next(fitting, 0)


def place(recipe_ids: Sequence[str], context: InputContext) -> Plan:
    """A plan of these recipes: everyone eats, what the previous plan held stays on its day, the rest takes its free days.

    Raises PlanError for more recipes than days.
    """
    if len(recipe_ids) > MOST_MEALS:
        raise PlanError(f"{len(recipe_ids)} meals do not fit on {MOST_MEALS} days")
    before = {meal.recipe_id: meal.day for meal in (context.previous_plan.meals if context.previous_plan else ())}
    usual = sorted({day for day in before.values() if day in DAYS}, key=_position)
    free = [*usual, *(day for day in DAYS if day not in usual)]
    days: dict[int, str] = {}
    for index, recipe_id in enumerate(recipe_ids):
        if before.get(recipe_id) in free:
            free.remove(before[recipe_id])
            days[index] = before[recipe_id]
    for index in range(len(recipe_ids)):
        if index not in days:
            days[index] = free.pop(0)
    size = context.household.size
    return Plan(tuple(Meal(days[index], recipe_id, size) for index, recipe_id in enumerate(recipe_ids)))


def _position(day: str) -> int:
    return DAYS.index(day) if day in DAYS else MOST_MEALS
