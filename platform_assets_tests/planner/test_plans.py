"""The domain's nouns: what is read, what is refused, which recipes are admissible, how many meals fit."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner import plan_documents, plans
from platform_assets.planner.plans import DAYS, Plan, PlanError, Quantity, Request
from platform_assets_tests.planner.plan_samples import book, context, plan, recipe, requests, steady


def row(**changes: Any) -> dict[str, Any]:
    """A whole request, as a dataset's input."""
    return {
        "household": {"id": "h1", "size": 2, "preferences": ["thai"], "restrictions": [], "region": "north"},
        "pantry": {"items": [{"name": "rice", "quantity": 500.0, "unit": "g"}]},
        "constraints": {"budget": 50.0, "max_prep_time": 30, "excluded_ingredients": ["nuts"]},
        "workflow_type": "plan-first", "mode": "autopilot", "previous_plan": None, "recent_plans": [], **changes,
    }  # fmt: skip


def test_a_context_is_read_field_by_field() -> None:
    found = plan_documents.read_context(row())
    assert found.household == plans.Household("h1", 2, ("thai",), (), "north")
    assert found.constraints == plans.Constraints(50.0, 30, ("nuts",))
    assert found.pantry == (Quantity("rice", 500.0, "g"),)
    assert found.previous_plan is None


def test_what_a_household_did_not_state_is_no_limit_and_no_wish() -> None:
    found = plan_documents.read_context(row(constraints={}, pantry={"items": None}, household={"id": "h1", "size": 1}))
    assert found.constraints == plans.Constraints(None, None, ())
    assert found.pantry == ()
    assert found.household.preferences == ()


def test_a_thing_without_a_unit_is_counted_in_pieces() -> None:
    found = plan_documents.read_context(row(pantry={"items": [{"name": "egg", "quantity": 2, "unit": None}]}))
    assert found.pantry[0].unit == "piece"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"household": {"size": 2}}, "'id'"),
        ({"household": {"id": "h1", "size": 0}}, "household.size is 0"),
        ({"constraints": None}, "constraints is null"),
        ({"constraints": {"budget": float("nan")}}, "a limit is nan"),
        ({"constraints": {"excluded_ingredients": "nuts"}}, "expected a list"),
        ({"pantry": {"items": [{"name": "rice", "quantity": float("inf"), "unit": "g"}]}}, "rice"),
        ({"pantry": {"items": [{"name": "rice", "quantity": -1, "unit": "g"}]}}, "rice"),
        ({"previous_plan": {"meals": [{"day": "monday"}]}}, "not a plan"),
    ],
)
def test_a_context_of_another_shape_is_refused_by_its_field(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(PlanError, match=told):
        plan_documents.read_context(row(**changes))


def test_a_plan_survives_its_document_in_the_weeks_order() -> None:
    document = plan(("sun", "a", 2), ("mon", "b", 3)).document()
    assert [meal["day"] for meal in document["meals"]] == ["monday", "sunday"]
    assert plan_documents.read_plan(json.loads(json.dumps(document))).document() == document


def test_a_recipe_is_refused_by_every_rule_it_breaks() -> None:
    asked = context(restrictions=["vegan"], excluded=["nuts", "rice"], max_prep_time=20)
    broken = recipe("a", foods=["rice"], prep_time_min=21)
    assert plans.refusals(broken, asked.household, asked.constraints) == ("diet", "excluded", "preparation_time")
    allergic = recipe("b", allergens=("nuts",), diets=("vegan", "vegetarian"))
    assert plans.refusals(allergic, asked.household, asked.constraints) == ("excluded",)
    assert plans.refusals(recipe("c", diets=("vegan",)), asked.household, asked.constraints) == ()


def test_a_budget_is_not_broken_by_the_rounding_of_a_sum() -> None:
    recipes = book(recipe("a", 1.1), recipe("b", 1.1), recipe("c", 1.1))
    assert 1.1 + 1.1 + 1.1 > 3.3
    asked = context(budget=3.3)
    assert plans.most_meals(list(recipes.values()), asked) == 3
    assert plans.within_budget(
        plans.plan_price(plan(("mon", "a"), ("tue", "b"), ("wed", "c")), recipes), asked.constraints
    )
    assert plans.most_meals(list(recipes.values()), context(budget=3.29)) == 2


@steady
@given(requests())
def test_the_most_meals_are_those_of_the_best_subset(request: Request) -> None:
    sizes = range(min(len(request.candidates), len(DAYS)) + 1)
    affordable = [
        size
        for size in sizes
        for chosen in itertools.combinations(request.candidates, size)
        if plans.within_budget(
            sum(plans.meal_price(each, request.context.household.size) for each in chosen), request.context.constraints
        )
    ]
    assert plans.most_meals(request.candidates, request.context) == max(affordable)


@steady
@given(requests())
def test_admissible_recipes_are_those_that_break_no_rule_alone(request: Request) -> None:
    household, limits = request.context.household, request.context.constraints
    expected = [
        each.id
        for each in request.recipes.values()
        if set(household.restrictions) <= set(each.diets)
        and not {item.name for item in each.ingredients} & set(limits.excluded_ingredients)
        and (limits.max_prep_time is None or each.prep_time_min <= limits.max_prep_time)
        and (limits.budget is None or each.cost_per_serving * household.size <= limits.budget + 1e-6)
    ]
    assert [each.id for each in request.candidates] == sorted(expected)


@steady
@given(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=7), requests())
def test_placed_meals_have_a_day_each_and_serve_everyone(keys: list[str], request: Request) -> None:
    placed = plans.place(keys, request.context)
    assert placed.recipe_ids == tuple(keys)
    assert len({meal.day for meal in placed.meals}) == len(keys)
    assert {meal.day for meal in placed.meals} <= set(DAYS)
    assert {meal.servings for meal in placed.meals} <= {request.context.household.size}


def test_a_recipe_of_the_previous_plan_keeps_its_day_and_the_others_take_the_days_left_over() -> None:
    asked = context(2, recent=[plan(("tue", "a"), ("fri", "b"), ("sun", "c"))])
    placed = plans.place(["x", "b", "y", "z"], asked)
    assert [meal.day for meal in placed.meals] == ["tuesday", "friday", "sunday", "monday"]


def test_more_meals_than_days_are_refused() -> None:
    with pytest.raises(PlanError, match="8 meals"):
        plans.place(list("abcdefgh"), context())


def test_an_empty_plan_costs_nothing_and_unknown_recipes_have_no_price() -> None:
    assert plans.plan_price(Plan(), {}) == 0
    assert plans.plan_price(plan(("mon", "a", 3), ("tue", "x", 9)), book(recipe("a", 2.0))) == 6.0
