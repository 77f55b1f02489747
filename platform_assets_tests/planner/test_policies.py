"""Policies without a model, and the one way in which any policy is run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.planner import plans
from platform_assets.planner.baselines import (
    HeuristicPlanner,
    HeuristicWeights,
    PopularityPlanner,
    RepeatPlanner,
)
from platform_assets.planner.plans import Plan, PlanError, Quantity, Request
from platform_assets.planner.policies import InfeasibleRequest, Policy, Proposal, run_policies, run_policy
from platform_assets.planner.popularity import Popularity, fit_popularity
from platform_assets.planner.validator import breaches
from platform_assets_tests.planner.plan_samples import book, context, plan, recipe, requests, steady

COUNTS = Popularity({"plan-first/autopilot": {"r1": 5, "r3": 2}, "meal-first/constrained": {"r2": 40}})
POLICIES: list[Policy] = [
    HeuristicPlanner(),
    PopularityPlanner(COUNTS),
    RepeatPlanner(),
    RepeatPlanner(PopularityPlanner(COUNTS)),
]
SEVEN = book(*(recipe(f"r{number}", 1.0 + number) for number in range(7)))


class Scripted:
    """Proposes what it was told to."""

    name = "scripted"

    def __init__(self, *proposals: Proposal) -> None:
        self.proposals, self.batches = list(proposals), []

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        self.batches.append(len(requests))
        return [self.proposals.pop(0) for _ in requests]


def names(planned: Plan) -> set[str]:
    return set(planned.recipe_ids)


def ranked(policy: Any, request: Request) -> list[str]:
    return [each.id for each in policy.ranking(request)]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@steady
@given(request=requests())
def test_a_baseline_proposes_a_valid_plan_whenever_there_is_one(policy: Policy, request: Request) -> None:
    proposal = policy.propose([request])[0]
    if not request.candidates:
        assert proposal.raw is None
        return
    assert proposal.raw is not None
    assert breaches(proposal.raw, request) == {}
    previous = request.context.previous_plan
    usual = len(previous.meals) if previous and previous.meals else 5
    assert len(proposal.raw.meals) == min(usual, plans.most_meals(request.candidates, request.context))
    assert run_policy(policy, request.context, request.recipes).interventions == ()


@settings(steady, max_examples=20)
@given(st.lists(requests().filter(lambda request: bool(request.candidates)), max_size=5), st.integers(1, 6))
def test_the_size_of_a_batch_changes_no_plan(asked: list[Request], batch_size: int) -> None:
    for policy in POLICIES:
        assert list(run_policies(policy, asked, batch_size)) == [
            run_policy(policy, each.context, each.recipes) for each in asked
        ]


def test_requests_are_proposed_in_batches_and_answered_in_order() -> None:
    policy = Scripted(*(Proposal(plan(("mon", f"r{number}"))) for number in range(5)))
    found = list(run_policies(policy, (Request(context(), SEVEN) for _ in range(5)), 2))
    assert policy.batches == [2, 2, 1]
    assert [each.plan.recipe_ids for each in found] == [(f"r{number}",) for number in range(5)]


def test_what_was_proposed_and_what_it_cost_is_kept_beside_what_is_served() -> None:
    raw = plan(("mon", "unheard of"))
    served = run_policy(Scripted(Proposal(raw, tokens=40, passes=6)), context(), SEVEN)
    assert (served.raw, served.tokens, served.passes) == (raw, 40, 6)
    assert served.plan == plan(("mon", "r0"))
    assert [each.rule for each in served.interventions] == ["unknown_recipe"]


def test_an_unreadable_answer_is_served_the_cheapest_recipes_and_told_why() -> None:
    served = run_policy(Scripted(Proposal(None, error="cut off after 9 tokens")), context(budget=8.0), SEVEN)
    assert names(served.plan) == {"r0", "r1", "r2"}
    assert [(each.rule, each.detail) for each in served.interventions] == [("unparsable", "cut off after 9 tokens")]


def test_a_policy_that_loses_a_request_is_found_out() -> None:
    policy = Scripted(Proposal(None))
    policy.propose = lambda requests: []
    with pytest.raises(RuntimeError, match="scripted gave 0 proposals for 1"):
        run_policy(policy, context(), SEVEN)


def test_a_request_without_any_plan_raises_its_proof_and_an_empty_batch_is_refused() -> None:
    with pytest.raises(InfeasibleRequest):
        run_policy(HeuristicPlanner(), context(budget=0.0), SEVEN)
    with pytest.raises(ValueError, match="batch_size"):
        next(run_policies(HeuristicPlanner(), [], 0))


def test_the_heuristic_explains_every_term_of_its_score() -> None:
    recipes = book(
        recipe("a", 2.0, ["rice", Quantity("spinach", 50, "g", perishable=True)], cuisine="greek", tags=("quick",)),
        recipe("b", 4.0, ["rice"]), recipe("c", 1.0),
    )  # fmt: skip
    asked = context(
        2, preferences=["greek", "quick", "beans"], pantry=[Quantity("spinach", 50, "g"), Quantity("rice", 1, "kg")],
        recent=[plan(("mon", "b")), plan(("mon", "a"), ("tue", "b"))],
    )  # fmt: skip
    terms = HeuristicPlanner(HeuristicWeights(3.0, 2.0, 1.0, 0.4)).explain(Request(asked, recipes))
    assert terms["a"] == pytest.approx(
        {"preference": 3 * 2 / 3, "pantry": 2 * (0.1 * 1 + 1.0 * 0.5) / 2, "repetition": -0.5, "price": -0.2}
    )
    assert terms["b"] == pytest.approx({"preference": 0, "pantry": 2 * 0.1, "repetition": -1.0, "price": -0.4})
    assert terms["c"] == pytest.approx({"preference": 0, "pantry": 0, "repetition": 0, "price": -0.1})


@pytest.mark.parametrize(
    ("asked", "better", "worse"),
    [
        (context(preferences=["greek"]), "greek", "plain"),
        (context(pantry=[Quantity("spinach", 1, "kg"), Quantity("rice", 1, "kg")]), "fresh", "dry"),
        (context(recent=[plan(("mon", "plain"))]), "greek", "plain"),
        (context(), "plain", "dear"),
    ],
)
def test_the_heuristic_prefers(asked: plans.InputContext, better: str, worse: str) -> None:
    recipes = book(
        recipe("dear", 9.0), recipe("dry", foods=["rice"]), recipe("fresh", foods=[Quantity("spinach", 100, "g", perishable=True)]),
        recipe("greek", cuisine="greek"), recipe("plain"),
    )  # fmt: skip
    order = ranked(HeuristicPlanner(), Request(asked, recipes))
    assert order.index(better) < order.index(worse)


def test_the_heuristics_parameters_are_a_document() -> None:
    document = json.loads(json.dumps(HeuristicPlanner().document()))
    assert document == {"policy": "heuristic", "preference": 1.0, "pantry": 1.0, "repetition": 1.0, "price": 0.3}


def test_a_dear_favourite_is_taken_only_if_the_other_meals_can_still_be_paid() -> None:
    recipes = book(recipe("a", 6.0, cuisine="greek"), recipe("b", 1.0), recipe("c", 1.5), recipe("d", 2.0))
    asked = context(preferences=["greek"], recent=[plan(("mon", "x"), ("tue", "y"), ("wed", "z"))])

    def chosen(budget: float) -> set[str]:
        limits = plans.Constraints(budget, None, ())
        request = plans.InputContext(
            asked.household, (), limits, "plan-first", "autopilot", asked.previous_plan, asked.recent_plans
        )
        return names(run_policy(HeuristicPlanner(), request, recipes).plan)

    assert chosen(8.5) == {"a", "b", "c"}
    assert chosen(8.4) == {"b", "c", "d"}


def row(workflow_type: str, mode: str, *keys: str) -> dict[str, Any]:
    meals = [{"day": "monday", "recipe_id": key, "servings": 1} for key in keys]
    return {"input": {"workflow_type": workflow_type, "mode": mode}, "target": {"accepted_plan": {"meals": meals}}}


def test_popularity_counts_accepted_meals_by_segment_and_backs_off_to_all() -> None:
    rows = [
        row("plan-first", "autopilot", "a", "b"),
        row("plan-first", "autopilot", "a"),
        row("meal-first", "autopilot", "c", "c"),
    ]
    fitted = fit_popularity(rows, back_off=10.0)
    assert fitted.segments == {"plan-first/autopilot": {"a": 2, "b": 1}, "meal-first/autopilot": {"c": 2}}
    share = fitted.shares("plan-first", "autopilot")
    assert share("a") == pytest.approx((2 + 10 * (2 + 1) / (5 + 3)) / (3 + 10))
    assert share("c") == pytest.approx((0 + 10 * (2 + 1) / (5 + 3)) / (3 + 10))
    assert fitted.shares("pantry-first", "constrained")("b") == pytest.approx((1 + 1) / (5 + 3))
    assert 0 < share("never seen") < share("b")


def test_the_popularity_planner_follows_the_segment_of_the_request() -> None:
    request = Request(context(), SEVEN)
    assert ranked(PopularityPlanner(Popularity(COUNTS.segments, back_off=1.0)), request)[:2] == ["r1", "r3"]
    assert ranked(PopularityPlanner(Popularity(COUNTS.segments, back_off=1000.0)), request)[0] == "r2"


def test_popularity_survives_its_document_and_another_format_is_refused() -> None:
    document = json.loads(json.dumps(COUNTS.document()))
    assert Popularity.from_document(document) == COUNTS
    with pytest.raises(PlanError, match="format 9"):
        Popularity.from_document({**document, "format": 9})


def test_popularity_cannot_be_fitted_on_nothing() -> None:
    with pytest.raises(PlanError, match="no training row"):
        fit_popularity([])
    with pytest.raises(PlanError, match="back_off"):
        fit_popularity([row("plan-first", "autopilot", "a")], back_off=0.0)


def test_the_previous_plan_is_repeated_on_its_days() -> None:
    last, before = plan(("tue", "r4"), ("sat", "r2"), ("sun", "r6")), plan(("mon", "r0"))
    found = run_policy(RepeatPlanner(), context(2, recent=[last, before]), SEVEN)
    assert found.plan == plan(("tue", "r4", 2), ("sat", "r2", 2), ("sun", "r6", 2))


def test_a_meal_that_is_no_longer_admissible_gives_way_to_the_other_planners_choice() -> None:
    asked = context(recent=[plan(("tue", "gone"), ("sat", "r2"))])
    found = run_policy(RepeatPlanner(PopularityPlanner(Popularity({"plan-first/autopilot": {"r5": 9}}))), asked, SEVEN)
    assert found.plan.document() == plan(("tue", "r5"), ("sat", "r2")).document()


def test_a_newcomer_gets_the_other_planners_plan() -> None:
    newcomer = Request(context(), SEVEN)
    assert RepeatPlanner().propose([newcomer]) == HeuristicPlanner().propose([newcomer])
