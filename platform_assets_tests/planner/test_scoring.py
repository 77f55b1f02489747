"""Every metric on examples worked out by hand from its formula, and what must hold for any plan."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.planner import kitchen, metrics
from platform_assets.planner.kitchen import Kitchen
from platform_assets.planner.plans import Meal, Plan, Quantity, Request
from platform_assets.planner.policies import Planned
from platform_assets.planner.scoring import PlanScores, Scorer
from platform_assets.planner.targets import Edit, Target
from platform_assets.planner.validator import RULES, infeasibility, validate
from platform_assets_tests.planner.plan_samples import book, context, plan, recipe, requests, steady, wild_plans

METRICS = tuple(
    each.name
    for each in fields(PlanScores)
    if each.name not in ("edit_prediction_error", "meals", "price", "violations")
)

SPINACH = Quantity("spinach", 100.0, "g", perishable=True)
SALT = Quantity("salt", 5.0, "g", staple=True)
RECIPES = book(
    recipe("a", 1.0, ["rice", SPINACH, SALT]),
    recipe("b", 2.0, [Quantity("spinach", 50.0, "g", perishable=True), Quantity("beans", 0.2, "kg")], main_protein="beans"),
    recipe("c", 3.0, [Quantity("cheese", 2.0, "piece"), SALT], cuisine="greek", main_protein="egg"),
)  # fmt: skip
AB = plan(("mon", "a"), ("tue", "b"))
NOTHING = Target(plan(("mon", "c")))


def planned(served: Plan, raw: Plan | None = None) -> Planned:
    return Planned(served, served if raw is None else raw, (), 7, 3)


def scores(proposed: Plan | None, target: Target, request: Request | None = None) -> PlanScores:
    return Scorer().score_plan(proposed, request or Request(context(), RECIPES), target)


@pytest.mark.parametrize(
    ("proposed", "accepted", "alignment", "slots"),
    [
        (plan(("mon", "a"), ("tue", "b"), ("wed", "c")), plan(("mon", "a"), ("thu", "b"), ("fri", "d"), ("sun", "e")), 2 / 5, 1 / 4),
        (plan(("mon", "a"), ("tue", "a"), ("wed", "b")), plan(("mon", "a"), ("tue", "b"), ("wed", "b")), 2 / 4, 2 / 3),
        (AB, AB, 1.0, 1.0),
        (AB, plan(("mon", "b"), ("tue", "a")), 1.0, 0.0),
        (AB, plan(("mon", "c")), 0.0, 0.0),
    ],
)  # fmt: skip
def test_alignment_counts_repeated_recipes_and_slots_count_days(
    proposed: Plan, accepted: Plan, alignment: float, slots: float
) -> None:
    assert metrics.plan_alignment(proposed, accepted) == pytest.approx(alignment)
    assert metrics.slot_match(proposed, accepted) == pytest.approx(slots)


@pytest.mark.parametrize(
    ("proposed", "previous", "expected"),
    [
        # Ingredients share 1 of 3; one cuisine, two proteins; a was eaten last week.
        (AB, plan(("mon", "a")), 0.5 * 2 / 3 + 0.3 * 0.5 + 0.2 * 0.5),
        (AB, None, (0.5 * 2 / 3 + 0.3 * 0.5) / 0.8),
        (AB, Plan(), (0.5 * 2 / 3 + 0.3 * 0.5) / 0.8),
        (plan(("mon", "a")), plan(("mon", "b")), 1.0),
        (plan(("mon", "a")), plan(("mon", "a")), 0.0),
        (plan(("mon", "a")), None, None),
        (plan(("mon", "a"), ("tue", "a")), None, 0.0),
        # Three pairs: a-b 2/3, a-c 1, b-c 1; cuisines 2:1, proteins 1:1:1.
        (
            plan(("mon", "a"), ("tue", "b"), ("wed", "c")), None,
            (0.5 * (2 / 3 + 1 + 1) / 3 + 0.3 * 0.5 * (1 + (math.log(3) - 2 / 3 * math.log(2)) / math.log(3))) / 0.8,
        ),
    ],
)  # fmt: skip
def test_diversity_by_its_formula(proposed: Plan, previous: Plan | None, expected: float | None) -> None:
    found = metrics.meal_diversity(proposed, previous, Kitchen(RECIPES))
    assert found is None if expected is None else found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("proposed", "pantry", "expected"),
    [
        # Used: 150 g spinach, 100 g rice, 200 g beans; spinach and beans must be bought, spinach is for both meals.
        (AB, [("spinach", 100.0, "g"), ("rice", 0.2, "kg")], 0.6 * (100 + 0.1 * 100) / (100 + 0.1 * 200) + 0.4 * 1 / 2),
        # Twice as many eat b: 200 g spinach, 400 g beans.
        (plan(("mon", "a"), ("tue", "b", 2)), [("spinach", 400.0, "g")], 0.6 * 200 / 400 + 0.4 * 0 / 2),
        (AB, [], 1 / 3),
        (AB, [("spinach", 0.0, "g")], 1 / 3),
        (AB, [("spinach", 60.0, "g"), ("spinach", 40.0, "g"), ("rice", 1, "l"), ("beans", 3, "piece")],
         0.6 * (100 + 0.1 * 100 + 0.1 * 200) / (100 + 0.1 * 1000 + 0.1 * 300) + 0.4 * 1 / 1),
        # Everything is there: nothing to buy.
        (plan(("mon", "a")), [("spinach", 1.0, "kg"), ("rice", 100.0, "g"), ("salt", 5, "g")],
         (100 + 0.1 * 100 + 0.1 * 5) / (1000 + 0.1 * 100 + 0.1 * 5)),
        # What no recipe knows weighs like what keeps.
        (plan(("mon", "a")), [("spinach", 100.0, "g"), ("caviar", 100.0, "g")], 0.6 * 100 / 110 + 0.4 * 0.0),
    ],
)  # fmt: skip
def test_leftovers_by_their_formula(proposed: Plan, pantry: list[tuple[str, float, str]], expected: float) -> None:
    asked = context(pantry=[Quantity(*item) for item in pantry])
    assert metrics.leftovers_utility(proposed, asked, Kitchen(RECIPES)) == pytest.approx(expected)


def test_leftovers_are_undefined_where_there_are_none_and_nothing_is_bought() -> None:
    recipes = book(recipe("water", foods=[SALT]))
    assert metrics.leftovers_utility(plan(("mon", "water")), context(), Kitchen(recipes)) is None


def test_how_long_things_keep_is_read_from_the_catalogues_flags() -> None:
    recipes = book(
        recipe("a", foods=[SPINACH, Quantity("milk", 1, "l", perishable=True), Quantity("frozen peas", 1, "g", perishable=True)]),
        recipe("b", foods=["milk", "rice", Quantity("oil", 1, "ml", staple=True, perishable=True)]),
    )  # fmt: skip
    weight = Kitchen(recipes).shelf_weight
    assert [weight(name) for name in ("spinach", "milk", "frozen peas", "rice", "oil", "caviar", "Frozen cod")] == [
        1.0, 0.6, 0.3, 0.1, 0.1, 0.1, 0.3,
    ]  # fmt: skip


def test_amounts_are_compared_in_one_unit() -> None:
    assert (
        kitchen.grams(1.5, "kg")
        == kitchen.grams(1500, "g")
        == kitchen.grams(1.5, "L")
        == kitchen.grams(15, "piece")
        == 1500
    )
    assert Kitchen(book(recipe("a", foods=["rice"], servings=4))).needs["a"].per_serving == {"rice": 25.0}


def test_what_edits_brought_in_and_took_out_is_compared_with_the_plan() -> None:
    edits = (Edit("swap_meal", "monday", "a", "x"), Edit("add_meal", "thursday", None, "d"))
    target = Target(plan(("mon", "x"), ("tue", "b"), ("thu", "d")), edits)
    assert metrics.added_hit(plan(("mon", "x"), ("tue", "a")), target) == 1 / 2
    assert metrics.removed_avoided(plan(("mon", "x"), ("tue", "a")), target) == 0.0
    assert metrics.removed_avoided(AB, Target(plan(("mon", "c")), (Edit("swap_meal", "monday", "x", "c"),))) == 1.0
    only_guests = Target(AB, (Edit("adjust_servings", "monday"),))
    assert metrics.added_hit(AB, only_guests) is metrics.removed_avoided(AB, only_guests) is None
    assert metrics.added_hit(AB, Target(AB)) is None


def test_the_combined_score_weighs_four_metrics() -> None:
    asked = context(pantry=[Quantity("spinach", 100.0, "g"), Quantity("rice", 0.2, "kg")], recent=[plan(("mon", "a"))])
    found = scores(AB, Target(plan(("mon", "a"), ("wed", "b"), ("thu", "c"))), Request(asked, RECIPES))
    diversity, leftovers = 0.5 * 2 / 3 + 0.3 * 0.5 + 0.2 * 0.5, 0.6 * 110 / 120 + 0.4 * 0.5
    assert (found.meal_diversity, found.leftovers_utility) == (pytest.approx(diversity), pytest.approx(leftovers))
    assert found.offline_eval_score == pytest.approx(0.45 * 2 / 3 + 0.25 * 0.5 + 0.15 * diversity + 0.15 * leftovers)
    assert (found.meals, found.price, found.violations, found.constraint_respect) == (2, 3.0, {}, 1.0)


def test_the_combined_score_is_that_of_the_defined_metrics() -> None:
    found = scores(plan(("mon", "a")), Target(plan(("mon", "a"))))
    assert found.meal_diversity is None
    assert found.offline_eval_score == pytest.approx((0.45 + 0.25 + 0.15 * 0.0) / 0.85)


def test_edits_needed_are_compared_with_edits_made() -> None:
    two_edits = (Edit("adjust_servings", "monday"), Edit("swap_meal", "tuesday", "z", "c"))
    assert scores(AB, Target(plan(("mon", "a", 2), ("tue", "c")), two_edits)).edit_prediction_error == 0
    assert scores(AB, Target(AB, two_edits)).edit_prediction_error == 2
    assert scores(AB, Target(plan(("mon", "c"), ("tue", "c")))).edit_prediction_error == 2


@pytest.mark.parametrize(
    ("proposed", "rule"),
    [
        (None, "unparsable"), (Plan(), "empty"), (plan(("mon", "a"), ("tue", "x")), "unknown_recipe"),
        (plan(("mon", "a"), ("funday", "b")), "unknown_day"), (plan(("mon", "a"), ("mon", "b")), "duplicate_slot"),
    ],
)  # fmt: skip
def test_a_plan_that_is_none_scores_zero_everywhere(proposed: Plan | None, rule: str) -> None:
    target = Target(AB, (Edit("swap_meal", "monday", "c", "a"),))
    found = scores(proposed, target)
    assert {getattr(found, name) for name in METRICS} == {0.0}
    assert found.violations == {rule: 1}
    unedited = scores(proposed, Target(AB))
    assert unedited.added_hit is unedited.removed_avoided is None
    assert unedited.plan_alignment == 0.0


def test_a_broken_rule_of_the_household_fails_the_row_but_not_its_other_scores() -> None:
    for asked, rule in (
        (context(excluded=["rice"]), "excluded"), (context(budget=2.9), "budget"), (context(2), "servings"),
        (context(restrictions=["vegan"]), "diet"), (context(max_prep_time=10), "preparation_time"),
    ):  # fmt: skip
        found = scores(AB, Target(AB), Request(asked, RECIPES))
        assert (found.constraint_respect, found.offline_eval_score, found.plan_alignment) == (0.0, 0.0, 1.0)
        assert found.violations == {rule: 2 if rule in ("servings", "diet", "preparation_time") else 1}


@steady
@given(
    wild_plans(),
    requests(),
    wild_plans(5),
    st.lists(st.sampled_from(["swap_meal", "add_meal", "remove_meal"]), max_size=3),
)
def test_every_score_of_any_plan_is_between_zero_and_one(
    proposed: Plan, request: Request, accepted: Plan, kinds: list[str]
) -> None:
    edits = tuple(
        Edit(kind, "monday", "r1" if kind == "swap_meal" else None, None if kind == "remove_meal" else "r2")
        for kind in kinds
    )
    plans = [proposed, None]
    if infeasibility(request) is None:
        plans.append(validate(proposed, request)[0])
    for each in plans:
        found = scores(each, Target(accepted, edits), request)
        for name in METRICS:
            value = getattr(found, name)
            assert value is None or 0 <= value <= 1, name
        assert (found.constraint_respect == 1) == (not found.violations)
    if len(plans) == 3:
        assert found.constraint_respect == 1


@steady
@given(wild_plans(), wild_plans())
def test_agreement_is_symmetric_and_a_plan_agrees_with_itself(one: Plan, other: Plan) -> None:
    for metric in (metrics.plan_alignment, metrics.slot_match):
        assert metric(one, other) == metric(other, one)
        assert metric(one, one) == (1.0 if one.meals else 0.0)


meal_lists = st.lists(
    st.builds(Meal, st.just("monday"), st.sampled_from("abc"), st.integers(1, 3)), min_size=1, max_size=4
)


@steady
@given(meal_lists, st.randoms())
def test_the_order_of_meals_does_not_matter(meals: list[Meal], chance) -> None:
    shuffled = list(meals)
    chance.shuffle(shuffled)
    cook, asked = Kitchen(RECIPES), context(pantry=[SPINACH, Quantity("rice", 70, "g")])
    for one, other in itertools.pairwise([Plan(tuple(meals)), Plan(tuple(shuffled))]):
        assert metrics.meal_diversity(one, AB, cook) == pytest.approx(metrics.meal_diversity(other, AB, cook))
        assert metrics.leftovers_utility(one, asked, cook) == pytest.approx(
            metrics.leftovers_utility(other, asked, cook)
        )


def test_a_row_has_both_plans_side_by_side_in_flat_columns() -> None:
    request = Request(context(budget=3.0), RECIPES)
    raw = plan(("mon", "c"), ("tue", "b"))
    served, interventions = validate(raw, request)
    found = Scorer().score_row(Planned(served, raw, interventions, 7, 3), request, Target(served))
    columns = found.columns()
    assert (columns["plan_alignment"], columns["constraint_respect"]) == (1.0, 1.0)
    assert (columns["raw_plan_alignment"], columns["raw_constraint_respect"]) == (pytest.approx(1 / 3), 0.0)
    assert (columns["violations_budget"], columns["raw_violations_budget"], columns["interventions_budget"]) == (
        0,
        1,
        1,
    )
    assert (columns["tokens"], columns["passes"]) == (7, 3)
    assert {f"interventions_{rule}" for rule in RULES} <= columns.keys()
    assert pa.Table.from_pylist([columns]).num_columns == len(columns)


def test_an_untouched_plan_scores_alike_before_and_after() -> None:
    found = Scorer().score_row(planned(AB), Request(context(), RECIPES), NOTHING)
    assert found.served == found.raw


def test_one_scorer_keeps_catalogues_apart() -> None:
    scorer, target = Scorer(), Target(plan(("mon", "a")))
    asked = context(pantry=[SPINACH])
    rich = Request(asked, book(recipe("a", foods=[SPINACH])))
    poor = Request(asked, book(recipe("a", foods=["rice"])))
    found = [scorer.score_plan(plan(("mon", "a")), each, target).leftovers_utility for each in (rich, poor, rich)]
    assert found == [1.0, 0.0, 1.0]
