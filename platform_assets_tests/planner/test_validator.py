"""The validator: whatever is proposed, what is served keeps every rule, and every change is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner import plans, validator
from platform_assets.planner.plans import DAYS, Meal, Plan, Request
from platform_assets.planner.validator import InfeasibleRequest, breaches, infeasibility, validate
from platform_assets_tests.planner.plan_samples import book, context, plan, recipe, requests, steady, wild_plans

RECIPES = book(
    recipe("a", 1.0, ["rice"], diets=("vegan",)), recipe("b", 2.0, ["beans"], diets=("vegan",)),
    recipe("c", 4.0, ["cheese"], prep_time_min=50), recipe("d", 8.0, ["spinach"], diets=("vegan",)),
)  # fmt: skip


def keeps_every_rule(served: Plan, request: Request) -> bool:
    """Written out from the definition of constraint_respect, apart from the validator's own reading of it."""
    household, limits = request.context.household, request.context.constraints
    eaten = [request.recipes[meal.recipe_id] for meal in served.meals]
    return (
        len(served.meals) >= 1
        and all(meal.day in DAYS for meal in served.meals)
        and len({meal.day for meal in served.meals}) == len(served.meals)
        and all(meal.servings >= household.size for meal in served.meals)
        and all(set(household.restrictions) <= set(each.diets) for each in eaten)
        and not any({item.name for item in each.ingredients} & set(limits.excluded_ingredients) for each in eaten)
        and all(limits.max_prep_time is None or each.prep_time_min <= limits.max_prep_time for each in eaten)
        and (
            limits.budget is None
            or sum(each.cost_per_serving * meal.servings for each, meal in zip(eaten, served.meals, strict=True))
            <= limits.budget + 2e-6
        )
    )


@steady
@given(st.none() | wild_plans(), requests())
def test_every_feasible_request_is_served_a_plan_that_keeps_every_rule(proposed: Plan | None, request: Request) -> None:
    if not request.candidates:
        with pytest.raises(InfeasibleRequest):
            validate(proposed, request)
        return
    served, interventions = validate(proposed, request)
    assert keeps_every_rule(served, request)
    assert breaches(served, request) == {}
    assert {each.rule for each in interventions} <= set(validator.RULES)
    assert bool(interventions) == (proposed is None or served != proposed)


@steady
@given(wild_plans(), requests())
def test_what_was_validated_once_is_not_changed_again(proposed: Plan, request: Request) -> None:
    if infeasibility(request) is None:
        served, _ = validate(proposed, request)
        assert validate(served, request) == (served, ())


@steady
@given(wild_plans(), requests())
def test_a_plan_is_touched_exactly_when_it_breaks_a_rule(proposed: Plan, request: Request) -> None:
    if infeasibility(request) is not None:
        return
    known = proposed.meals and all(meal.recipe_id in request.recipes for meal in proposed.meals)
    valid = bool(known and keeps_every_rule(proposed, request))
    assert (breaches(proposed, request) == {}) == valid
    served, interventions = validate(proposed, request)
    assert (served is proposed and not interventions) == valid


@steady
@given(wild_plans(most=7), requests())
def test_no_meal_is_lost_while_as_many_different_ones_can_be_paid(proposed: Plan, request: Request) -> None:
    if 1 <= len(proposed.meals) <= plans.most_meals(request.candidates, request.context):
        served, _ = validate(proposed, request)
        assert len(served.meals) == len(proposed.meals)


@steady
@given(wild_plans(), requests())
def test_every_broken_rule_is_named_among_the_interventions(proposed: Plan, request: Request) -> None:
    if infeasibility(request) is None:
        # Only the sum may mend itself: a dear recipe that was replaced for another reason, or a meal without a day.
        broken = breaches(proposed, request).keys() - {validator.BUDGET}
        dropped = "dropped, no day is free" in str(validate(proposed, request)[1])
        told = {each.rule for each in validate(proposed, request)[1]}
        assert dropped or broken <= told


@pytest.mark.parametrize(
    ("proposed", "served", "rule"),
    [
        (plan(("mon", "x"), ("tue", "b")), plan(("mon", "a"), ("tue", "b")), "unknown_recipe"),
        (plan(("funday", "b")), plan(("mon", "b")), "unknown_day"),
        (
            plan(("mon", "a"), ("mon", "b"), ("tue", "d")),
            plan(("mon", "a"), ("wed", "b"), ("tue", "d")),
            "duplicate_slot",
        ),
    ],
)
def test_a_malformed_meal_is_mended_in_its_place(proposed: Plan, served: Plan, rule: str) -> None:
    found, interventions = validate(proposed, Request(context(), RECIPES))
    assert found == served
    assert [each.rule for each in interventions] == [rule]


def test_what_a_household_may_not_eat_is_replaced_by_the_cheapest_it_may() -> None:
    vegan = Request(context(restrictions=["vegan"]), RECIPES)
    assert validate(plan(("mon", "c"), ("tue", "a")), vegan)[0] == plan(("mon", "b"), ("tue", "a"))
    allergic = Request(context(excluded=["rice"]), RECIPES)
    served, interventions = validate(plan(("mon", "a")), allergic)
    assert served == plan(("mon", "b"))
    assert interventions == (validator.Intervention("excluded", "a on monday replaced by b"),)
    hurried = Request(context(max_prep_time=49), RECIPES)
    assert [each.rule for each in validate(plan(("mon", "c")), hurried)[1]] == ["preparation_time"]


def test_one_meal_that_breaks_two_rules_is_counted_under_both() -> None:
    strict = Request(context(restrictions=["vegan"], max_prep_time=20), RECIPES)
    assert breaches(plan(("mon", "c")), strict) == {"diet": 1, "preparation_time": 1}
    assert [each.rule for each in validate(plan(("mon", "c")), strict)[1]] == ["diet", "preparation_time"]


def test_everyone_at_the_table_is_served_and_guests_may_stay() -> None:
    served, interventions = validate(plan(("mon", "a", 1), ("tue", "b", 5)), Request(context(3), RECIPES))
    assert served == plan(("mon", "a", 3), ("tue", "b", 5))
    assert [each.rule for each in interventions] == ["servings"]


def test_a_budget_is_kept_by_swapping_the_dearest_meal_for_the_cheapest_recipe() -> None:
    served, interventions = validate(plan(("mon", "d"), ("tue", "b")), Request(context(budget=4.0), RECIPES))
    assert served == plan(("mon", "a"), ("tue", "b"))
    assert [each.rule for each in interventions] == ["budget"]


def test_meals_are_given_up_only_when_no_swap_can_pay_for_them() -> None:
    week = plan(("mon", "d"), ("tue", "c"), ("wed", "b"), ("thu", "a"))
    served, interventions = validate(week, Request(context(budget=3.0), RECIPES))
    assert served == plan(("wed", "b"), ("thu", "a"))
    assert [each.detail for each in interventions] == ["d on monday dropped", "c on tuesday dropped"]


def test_guests_go_before_the_recipe_does() -> None:
    served, interventions = validate(plan(("mon", "a", 9)), Request(context(1, budget=2.0), RECIPES))
    assert served == plan(("mon", "a"))
    assert [each.rule for each in interventions] == ["budget"]


@pytest.mark.parametrize(("proposed", "rule"), [(None, "unparsable"), (Plan(), "empty")])
def test_no_plan_at_all_is_answered_with_the_cheapest_admissible_recipes(proposed: Plan | None, rule: str) -> None:
    asked = context(restrictions=["vegan"], recent=[plan(("tue", "x"), ("sun", "b"))])
    served, interventions = validate(proposed, Request(asked, RECIPES), error="cut off")
    assert served == plan(("tue", "a"), ("sun", "b"))
    assert [each.rule for each in interventions] == [rule]
    assert proposed is not None or interventions[0].detail == "cut off"


@pytest.mark.parametrize(
    ("asked", "recipes", "refused"),
    [
        (context(budget=0.5), RECIPES, {"budget": 4}),
        (context(restrictions=["kosher"], max_prep_time=40), RECIPES, {"diet": 4, "preparation_time": 1}),
        (context(), {}, {}),
    ],
)
def test_an_infeasible_request_is_proved_so_by_what_bars_each_recipe(
    asked: plans.InputContext, recipes: dict[str, plans.Recipe], refused: dict[str, int]
) -> None:
    with pytest.raises(InfeasibleRequest, match="Loosen the household's constraints") as raised:
        validate(plan(("mon", "a")), Request(asked, recipes))
    assert raised.value.refused == refused


def test_more_meals_than_days_lose_what_finds_none() -> None:
    many = Plan(tuple(Meal("monday", "a", 1) for _ in range(9)))
    served, interventions = validate(many, Request(context(), RECIPES))
    assert sorted(meal.day for meal in served.meals) == sorted(DAYS)
    assert len(interventions) == 8
