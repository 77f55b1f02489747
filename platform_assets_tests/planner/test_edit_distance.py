"""The cost of edits against every possible way of pairing two plans."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner.edit_distance import Edits, edit_distance_score, edits_between
from platform_assets.planner.plans import Meal, Plan
from platform_assets_tests.planner.plan_samples import plan, steady

small_plans = st.lists(
    st.builds(Meal, st.sampled_from(["monday", "tuesday", "friday"]), st.sampled_from("abc"), st.integers(1, 2)),
    max_size=4,
).map(lambda meals: Plan(tuple(meals)))


def brute_force(one: Plan, other: Plan) -> tuple[float, int]:
    """Smallest (cost, edits) over every pairing of some meals of one with some of the other; the rest goes and comes."""
    found = []
    for paired in range(min(len(one.meals), len(other.meals)) + 1):
        for kept in itertools.combinations(one.meals, paired):
            for partners in itertools.permutations(other.meals, paired):
                cost = count = float(len(one.meals) + len(other.meals) - 2 * paired)
                for meal, partner in zip(kept, partners, strict=True):
                    steps = (
                        1.0 * (meal.recipe_id != partner.recipe_id),
                        0.5 * (meal.day != partner.day),
                        0.5 * (meal.servings != partner.servings),
                    )
                    cost += sum(steps)
                    count += sum(step > 0 for step in steps)
                found.append((cost, int(count)))
    return min(found)


@steady
@given(small_plans, small_plans)
def test_the_cheapest_edits_are_those_of_the_best_pairing_of_all(one: Plan, other: Plan) -> None:
    found = edits_between(one, other)
    assert (found.cost, found.count) == brute_force(one, other)


@steady
@given(small_plans, small_plans)
def test_edits_cost_the_same_in_both_directions_and_nothing_between_equals(one: Plan, other: Plan) -> None:
    assert edits_between(one, other) == edits_between(other, one)
    assert edits_between(one, one) == Edits(0.0, 0)
    assert edit_distance_score(one, other) == edit_distance_score(other, one)
    assert 0 <= edit_distance_score(one, other) <= 1


@steady
@given(small_plans, small_plans, small_plans)
def test_a_detour_is_never_cheaper(one: Plan, between: Plan, other: Plan) -> None:
    assert edits_between(one, other).cost <= edits_between(one, between).cost + edits_between(between, other).cost


@pytest.mark.parametrize(
    ("proposed", "accepted", "cost", "count", "score"),
    [
        (plan(("mon", "a"), ("tue", "b")), plan(("mon", "a"), ("wed", "b"), ("thu", "c")), 1.5, 2, 0.5),
        (plan(("mon", "a", 1)), plan(("mon", "a", 2)), 0.5, 1, 0.5),
        (plan(("mon", "a"), ("tue", "b")), plan(("mon", "b"), ("tue", "a")), 1.0, 2, 0.5),
        (plan(("mon", "a")), plan(("tue", "b", 2)), 2.0, 2, 0.0),
        (plan(("mon", "a"), ("tue", "b"), ("wed", "c"), ("thu", "d")), plan(("mon", "a")), 3.0, 3, 0.25),
        (Plan(), plan(("mon", "a"), ("tue", "b")), 2.0, 2, 0.0),
        (Plan(), Plan(), 0.0, 0, 0.0),
    ],
)
def test_examples_worked_out_by_hand(proposed: Plan, accepted: Plan, cost: float, count: int, score: float) -> None:
    assert edits_between(proposed, accepted) == Edits(cost, count)
    assert edit_distance_score(proposed, accepted) == pytest.approx(score)


def test_a_score_below_zero_is_zero() -> None:
    assert edits_between(plan(("mon", "a"), ("tue", "b")), plan(("wed", "c", 2), ("thu", "d", 2))).cost == 4.0
    assert edit_distance_score(plan(("mon", "a"), ("tue", "b")), plan(("wed", "c", 2), ("thu", "d", 2))) == 0.0
