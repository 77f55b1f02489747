"""The prompt: the same for a dataset's row and a serving request, blind to who asks, and answers that are read back."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.planner import plan_documents, plans, prompt, schemas, weekly
from platform_assets.planner.plans import PlanError, Quantity, Request
from platform_assets.planner.prompt import PromptFormat
from platform_assets_tests.planner.plan_samples import book, context, plan, recipe, requests, steady

WHEN = datetime(2026, 1, 5, tzinfo=UTC)
PLAN = pa.struct([("meals", pa.list_(schemas.MEAL))])
TEXTS = pa.list_(pa.string())
# Of planner/enriched_plans, what the weekly dataset reads.
ENRICHED = pa.schema(
    [
        *((name, pa.string()) for name in ("plan_id", "household_id", "event_id", "policy_version_id", "experiment_id",
                                           "variant_id", "workflow_type", "mode")),
        *((name, schemas.TIMESTAMP) for name in ("generated_at", "accepted_at", "recorded_at")),
        ("propensity", pa.float64()),
        ("household", pa.struct([("id", pa.string()), ("size", pa.int32()), ("preferences", TEXTS),
                                 ("restrictions", TEXTS), ("region", pa.string())])),
        ("constraints", pa.struct([("budget", pa.float64()), ("max_prep_time", pa.int32()), ("excluded_ingredients", TEXTS)])),
        ("pantry", pa.struct([("items", pa.list_(schemas.PANTRY_ITEM))])),
        ("previous_plan", PLAN), ("recent_plans", pa.list_(PLAN)), ("accepted_plan", PLAN),
        ("user_edits", pa.list_(schemas.EDIT)),
    ]
)  # fmt: skip


def rendered(asked: plans.InputContext, request: Request | None = None, form: PromptFormat = PromptFormat()) -> str:
    candidates = request.candidates if request else ()
    return prompt.render(asked, prompt.shown_candidates(asked, candidates, form), form)


@steady
@given(requests(), st.uuids().map(str) | st.text(), st.uuids().map(str) | st.text())
def test_a_prompt_does_not_depend_on_who_asks(request: Request, one: str, other: str) -> None:
    def of(household_id: str, form: PromptFormat) -> str:
        household = dataclasses.replace(request.context.household, id=household_id)
        return rendered(dataclasses.replace(request.context, household=household), request, form)

    for form in (PromptFormat(), PromptFormat(describe_candidates=True), PromptFormat(max_candidates=2)):
        assert of(one, form) == of(other, form)


@steady
@given(requests(), st.uuids().map(str))
def test_the_identifier_of_a_household_is_in_no_prompt(request: Request, household_id: str) -> None:
    household = dataclasses.replace(request.context.household, id=household_id)
    text = rendered(dataclasses.replace(request.context, household=household), request)
    assert household_id not in text
    assert household_id.replace("-", "") not in text


def request_row(number: int) -> dict[str, Any]:
    """A serving request's body; what is optional comes and goes with the number."""
    week = {
        "meals": [
            {"day": "monday", "recipe_id": "r1", "servings": 2},
            {"day": "friday", "recipe_id": "r 2", "servings": 3},
        ]
    }
    return {
        "household": {"id": f"h{number}", "size": 1 + number, "preferences": ["très épicé", "thai"][: number % 3],
                      "restrictions": ["vegan"][: number % 2], "region": [None, "north"][number % 2]},
        "pantry": {"items": [{"name": "coconut milk", "quantity": 0.5 + number, "unit": "l"}, {"name": "egg", "quantity": 3.0,
                              "unit": None}][: number % 3]},
        "constraints": {"budget": [None, 80.5][number % 2], "max_prep_time": [45, None][number % 2],
                        "excluded_ingredients": ["nuts", "blue cheese"][: number % 3]},
        "workflow_type": "pantry-first", "mode": "exploratory",
        "previous_plan": week if number % 2 else None, "recent_plans": [week] * (number % 2),
    }  # fmt: skip


def test_a_datasets_row_and_a_serving_request_give_the_same_prompt(tmp_path: Path) -> None:
    bodies = [request_row(number) for number in range(6)]
    identifiers = dict.fromkeys(("event_id", "policy_version_id", "experiment_id", "variant_id"), "x")
    times = dict.fromkeys(("generated_at", "accepted_at", "recorded_at"), WHEN)
    enriched = [
        {**body, **identifiers, **times, "plan_id": f"p{number}", "household_id": body["household"]["id"], "propensity": None,
         "accepted_plan": {"meals": []}, "user_edits": []}
        for number, body in enumerate(bodies)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(enriched, ENRICHED), tmp_path / "enriched.parquet")
    weekly.write_training(Engine(tmp_path / "scratch"), [tmp_path / "enriched.parquet"], tmp_path / "training.parquet")
    rows = sorted(pq.read_table(tmp_path / "training.parquet").to_pylist(), key=lambda row: row["metadata"]["plan_id"])
    assert len(rows) == len(bodies)
    for row, body in zip(rows, bodies, strict=True):
        assert set(row["input"]) == set(body)
        trained = plan_documents.read_context(row["input"])
        served = plan_documents.read_context(json.loads(json.dumps(body)))
        assert trained == served == plan_documents.read_context(json.loads(json.dumps(row["input"])))
        assert rendered(trained) == rendered(served)


def test_a_prompt_is_compact_sorted_and_spells_names_as_one_word() -> None:
    asked = context(
        2, 80.4, preferences=["coconut milk"], excluded=["nuts"], pantry=[Quantity("bell pepper", 1, "piece")],
        recent=[plan(("mon", "r2"), ("tue", "r1"))],
    )  # fmt: skip
    shown = [recipe("r1", cuisine="south indian"), recipe("r2")]
    head, body = prompt.render(asked, shown, PromptFormat()).split("\n")
    assert head == prompt.INSTRUCTION
    assert body == (
        '{"budget":80,"candidates":" r1 r2","excluded":" nuts","max_prep_time":null,"mode":"autopilot",'
        '"pantry":" bell_pepper","preferences":" coconut_milk","recent_plans":[" r2 r1"],"region":"north",'
        '"restrictions":"","size":2,"workflow":"plan-first"}'
    )
    described = prompt.render(asked, shown, PromptFormat(describe_candidates=True))
    assert " r1 south_indian tofu 20; r2 thai tofu 20" in described


@steady
@given(requests(), st.integers(0, 9))
def test_the_shown_candidates_are_admissible_sorted_and_no_more_than_fit(request: Request, most: int) -> None:
    shown = prompt.shown_candidates(request.context, request.candidates, PromptFormat(max_candidates=most))
    assert len(shown) == min(most, len(request.candidates))
    assert [each.id for each in shown] == sorted({each.id for each in shown})
    assert set(shown) <= set(request.candidates)


def test_recent_recipes_are_shown_first_then_those_that_meet_wishes_then_those_in_the_pantry() -> None:
    asked = context(preferences=["greek"], pantry=[Quantity("rice", 1, "g")], recent=[plan(("mon", "d"))])
    recipes = [recipe("a"), recipe("b", foods=["rice"]), recipe("c", cuisine="greek"), recipe("d")]
    for most, expected in ((1, "d"), (2, "cd"), (3, "bcd"), (4, "abcd")):
        shown = prompt.shown_candidates(asked, recipes, PromptFormat(max_candidates=most))
        assert "".join(each.id for each in shown) == expected


@steady
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=7))
def test_an_answer_is_read_back_as_the_plan_it_names(keys: list[str]) -> None:
    found = prompt.parse(prompt.completion(keys), context(3))
    assert found.recipe_ids == tuple(keys)
    assert len({meal.day for meal in found.meals}) == len(keys)


@pytest.mark.parametrize(
    "text",
    [
        "", "no JSON", "[]", '"recipes"', "{}", '{"count":1}', '{"recipes":" a"}', '{"count":2,"recipes":" a"}',
        '{"count":true,"recipes":" a"}', '{"count":0,"recipes":""}', '{"count":8,"recipes":" a b c d e f g h"}',
        '{"count":1,"recipes":["a"]}', '{"count":1,"recipes":" a"', "[" * 100_000,
    ],
)  # fmt: skip
def test_an_answer_that_is_no_plan_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(PlanError, match="the model's answer"):
        prompt.parse(text, context())


def test_an_identifier_that_could_not_be_read_back_is_refused() -> None:
    with pytest.raises(PlanError, match="white space"):
        prompt.completion(["fried rice"])


def test_another_rendering_has_another_digest_and_the_same_one_the_same() -> None:
    assert PromptFormat().digest == PromptFormat().digest
    assert PromptFormat().digest != PromptFormat(recent_plans=1).digest


def test_a_format_is_read_back_and_one_of_another_version_is_refused() -> None:
    form = PromptFormat(max_candidates=7)
    assert PromptFormat.from_document(json.loads(json.dumps(dataclasses.asdict(form)))) == form
    with pytest.raises(PlanError, match="version 2"):
        PromptFormat.from_document({"version": 2, "something_new": True})
    with pytest.raises(PlanError, match="not a prompt format"):
        PromptFormat.from_document({"version": 1, "something_new": True})


def test_a_catalogue_may_be_described_without_any_candidate() -> None:
    request = Request(context(restrictions=["vegan"]), book(recipe("a")))
    assert '"candidates":""' in rendered(request.context, request, PromptFormat(describe_candidates=True))
