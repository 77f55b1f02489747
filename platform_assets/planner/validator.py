"""The last word before a plan is served: every rule is kept, and what had to be changed for it is reported.

A policy restricts recipes before it chooses; this holds for whatever comes out of it, also for nothing at all. What does
not belong here: choosing well (`planner.policies`); a repair takes the cheapest admissible recipe, so that it always fits.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace

from platform_assets.planner import plans
from platform_assets.planner.plans import DAYS, Meal, Plan, PlanError, Recipe, Request

UNPARSABLE, EMPTY, UNKNOWN_RECIPE, UNKNOWN_DAY = "unparsable", "empty", "unknown_recipe", "unknown_day"
DUPLICATE_SLOT, SERVINGS, BUDGET = "duplicate_slot", "servings", "budget"
RULES = (
    UNPARSABLE, EMPTY, UNKNOWN_RECIPE, UNKNOWN_DAY, DUPLICATE_SLOT, "diet", "excluded", "preparation_time", SERVINGS, BUDGET,
)  # fmt: skip
MALFORMED = frozenset({UNPARSABLE, EMPTY, UNKNOWN_RECIPE, UNKNOWN_DAY, DUPLICATE_SLOT})
USUAL_MEALS = 5


@dataclass(frozen=True, slots=True)
class Intervention:
    """One change to a proposed plan: the rule that asked for it, and what was changed."""

    rule: str
    detail: str


class InfeasibleRequest(PlanError):
    """No plan keeps this household's constraints; `refused` counts the catalogue's recipes by the rule that bars them."""

    def __init__(self, message: str, refused: dict[str, int]) -> None:
        super().__init__(message)
        self.refused = refused


def infeasibility(request: Request) -> InfeasibleRequest | None:
    """The proof that no plan is possible, or None. Exact: one meal is the cheapest plan, so no admissible recipe decides."""
    if plans.most_meals(request.candidates, request.context) >= 1:
        return None
    household, constraints = request.context.household, request.context.constraints
    refused: Counter[str] = Counter()
    for recipe in request.recipes.values():
        refused.update(plans.refusals(recipe, household, constraints) or (BUDGET,))
    barred = ", ".join(f"{rule} {count}" for rule, count in sorted(refused.items())) or "the catalogue is empty"
    return InfeasibleRequest(
        f"no plan is feasible: none of {len(request.recipes)} recipes is admissible (barred by {barred}). Loosen the "
        "household's constraints or extend the catalogue",
        dict(refused),
    )


def breaches(plan: Plan | None, request: Request) -> dict[str, int]:
    """How often a plan breaks each rule, as it is; a plan that keeps all of them gives {}."""
    if plan is None or not plan.meals:
        return {UNPARSABLE if plan is None else EMPTY: 1}
    context, recipes = request.context, request.recipes
    broken: Counter[str] = Counter()
    for meal in plan.meals:
        recipe = recipes.get(meal.recipe_id)
        broken.update(
            (UNKNOWN_RECIPE,) if recipe is None else plans.refusals(recipe, context.household, context.constraints)
        )
        broken.update([UNKNOWN_DAY] * (meal.day not in DAYS) + [SERVINGS] * (meal.servings < context.household.size))
    days = [meal.day for meal in plan.meals if meal.day in DAYS]
    broken[DUPLICATE_SLOT] += len(days) - len(set(days))
    broken[BUDGET] += not plans.within_budget(plans.plan_price(plan, recipes), context.constraints)
    return {rule: count for rule, count in broken.items() if count}


def validate(plan: Plan | None, request: Request, error: str = "") -> tuple[Plan, tuple[Intervention, ...]]:
    """The plan to serve, and what was changed; a plan that keeps every rule comes back as it is.

    None is an answer that could not be read, for the reason `error`. Raises InfeasibleRequest when no plan is possible.
    """
    if plan is not None and not breaches(plan, request):
        return plan, ()
    if proof := infeasibility(request):
        raise proof
    if plan is None:
        return fallback(request), (Intervention(UNPARSABLE, error or "no plan was proposed"),)
    if not plan.meals:
        return fallback(request), (Intervention(EMPTY, "a plan without meals was proposed"),)
    repair = _Repair(request, plan)
    repair.slots()
    repair.recipes()
    repair.budget()
    return Plan(tuple(repair.meals)), tuple(repair.interventions)


def meals_wanted(request: Request) -> int:
    """How many meals to plan when nobody says it: as many as in the previous plan, else 5; never more than can be paid."""
    previous = request.context.previous_plan
    usual = len(previous.meals) if previous and previous.meals else USUAL_MEALS
    return min(usual, plans.most_meals(request.candidates, request.context))


def fallback(request: Request) -> Plan:
    """The cheapest admissible recipes."""
    cheapest = sorted(request.candidates, key=lambda recipe: _price(recipe, request))[: meals_wanted(request)]
    return plans.place([recipe.id for recipe in cheapest], request.context)


class _Repair:
    """A plan on its way to being valid; afterwards at least one meal is left, because one admissible recipe always fits."""

    def __init__(self, request: Request, plan: Plan) -> None:
        self.request = request
        self.meals: list[Meal] = list(plan.meals)
        self.interventions: list[Intervention] = []
        self.cheapest = sorted(request.candidates, key=lambda recipe: (_price(recipe, request), recipe.id))

    def slots(self) -> None:
        """Every meal on a day of its own, for everyone; what finds no free day is dropped."""
        free = [day for day in DAYS if day not in {meal.day for meal in self.meals}]
        kept: list[Meal] = []
        for meal in self.meals:
            taken = meal.day in {other.day for other in kept}
            if taken or meal.day not in DAYS:
                rule, day = DUPLICATE_SLOT if taken else UNKNOWN_DAY, free.pop(0) if free else None
                self._note(
                    rule, f"{meal.recipe_id} on {meal.day!r}: {f'moved to {day}' if day else 'dropped, no day is free'}"
                )
                if day is None:
                    continue
                meal = replace(meal, day=day)
            kept.append(self._serve_everyone(meal))
        self.meals = kept

    def recipes(self) -> None:
        """Nothing that is unknown or that the household may not eat."""
        household, constraints = self.request.context.household, self.request.context.constraints
        for meal in list(self.meals):
            recipe = self.request.recipes.get(meal.recipe_id)
            rules = (UNKNOWN_RECIPE,) if recipe is None else plans.refusals(recipe, household, constraints)
            if rules:
                outcome = self._replace(meal, self._unused())
                for rule in rules:
                    self._note(rule, outcome)

    def budget(self) -> None:
        """Within the budget: of the dearest meal first guests, then the recipe, and only at last the meal is given up."""
        constraints, size = self.request.context.constraints, self.request.context.household.size
        while not plans.within_budget(self._price(), constraints):
            dearest = max(self.meals, key=lambda meal: (self._price_of(meal), meal.day))
            cheaper = self._unused()
            if dearest.servings > size:
                self._put(dearest, replace(dearest, servings=size))
                outcome = f"{dearest.recipe_id} on {dearest.day} for {size} instead of {dearest.servings}"
            elif cheaper and _price(cheaper, self.request) < self._price_of(dearest):
                outcome = self._replace(dearest, cheaper)
            else:
                outcome = self._replace(dearest, None)
            self._note(BUDGET, outcome)

    def _serve_everyone(self, meal: Meal) -> Meal:
        size = self.request.context.household.size
        if meal.servings >= size:
            return meal
        self._note(SERVINGS, f"{meal.recipe_id} on {meal.day}: {size} instead of {meal.servings} servings")
        return replace(meal, servings=size)

    def _replace(self, meal: Meal, recipe: Recipe | None) -> str:
        """Another recipe in the meal's place, or nothing; returns what was done."""
        if recipe is None:
            self.meals.remove(meal)
            return f"{meal.recipe_id} on {meal.day} dropped"
        self._put(meal, Meal(meal.day, recipe.id, self.request.context.household.size))
        return f"{meal.recipe_id} on {meal.day} replaced by {recipe.id}"

    def _put(self, meal: Meal, instead: Meal) -> None:
        self.meals[self.meals.index(meal)] = instead

    def _unused(self) -> Recipe | None:
        """The cheapest admissible recipe that is not in the plan."""
        planned = {meal.recipe_id for meal in self.meals}
        return next((recipe for recipe in self.cheapest if recipe.id not in planned), None)

    def _price_of(self, meal: Meal) -> float:
        return plans.meal_price(self.request.recipes[meal.recipe_id], meal.servings)

    def _price(self) -> float:
        return math.fsum(map(self._price_of, self.meals))

    def _note(self, rule: str, detail: str) -> None:
        self.interventions.append(Intervention(rule, detail))


def _price(recipe: Recipe, request: Request) -> float:
    return plans.meal_price(recipe, request.context.household.size)
