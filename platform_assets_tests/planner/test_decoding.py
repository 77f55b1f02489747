"""Decoding: batched and constrained it says what one slow row at a time says, and only what a household may have."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.planner import key_values, prompt
from platform_assets.planner.constrained_answer import Answers, grammar
from platform_assets.planner.decoding import INFEASIBLE, LanguageModelPlanner
from platform_assets.planner.language_model import completion_ids, load_base, prompt_ids
from platform_assets.planner.model_documents import ModelError
from platform_assets.planner.plans import Constraints, PlanError, Recipe, Request, most_meals, plan_price, within_budget
from platform_assets.planner.policies import Proposal, run_policies
from platform_assets.planner.possible_recipes import PossibleRecipes
from platform_assets.planner.prompt import PromptFormat
from platform_assets.planner.validator import breaches
from platform_assets_tests.planner.small_model import small_context, small_recipes, small_tokenizer, write_base

FORM = PromptFormat(max_candidates=12)
RECIPES = small_recipes(40)
BUDGETS = (None, 80.0, 30.0, 15.0, 0.5)


def requests(count: int) -> list[Request]:
    return [Request(small_context(RECIPES, seed, BUDGETS[seed % len(BUDGETS)]), RECIPES) for seed in range(count)]


@pytest.fixture(scope="module", params=["one token an id", "pieces"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A model and its tokenizer."""
    folder = write_base(tmp_path_factory.mktemp("base"), RECIPES, request.param == "one token an id")
    return load_base(folder)


def planner(base: tuple[Any, Any], **options: Any) -> LanguageModelPlanner:
    return LanguageModelPlanner(*base, FORM, **options)


def one_token_at_a_time(base: tuple[Any, Any], request: Request) -> Proposal:
    """The oracle: no cache, no batch, no padding; everything is read again for every token."""
    model, tokenizer = base
    shown = prompt.shown_candidates(request.context, request.candidates, FORM)
    tokens = prompt_ids(tokenizer, prompt.render(request.context, shown, FORM))
    most = most_meals(request.candidates, request.context)
    if not most:
        return Proposal(None, error=INFEASIBLE)
    answer, decisions = Answers(tokenizer).begin(request, most), 0
    while not answer.done:
        allowed = list(answer.allowed())
        with torch.inference_mode():
            scores = model(torch.tensor([[*tokens, *answer.tokens]])).logits[0, -1]
        decisions += len(allowed) > 1
        answer.say(allowed[int(scores[allowed].argmax())])
    return Proposal(prompt.parse(answer.text, request.context), len(tokens) + len(answer.tokens), decisions)


def test_batches_and_kept_keys_and_values_change_no_plan_and_no_cost(base: tuple[Any, Any]) -> None:
    asked = requests(20)
    expected = [one_token_at_a_time(base, request) for request in asked]
    assert sum(each.raw is not None for each in expected) > 12
    for batch_size in (1, 7, 64):
        assert planner(base, batch_size=batch_size).propose(asked) == expected
    assert [planner(base).propose([request])[0] for request in asked] == expected


def test_a_prompt_read_in_many_parts_gives_the_same_plan(
    base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(20)
    at_once = planner(base).propose(asked)
    monkeypatch.setattr(key_values, "PASS_TOKENS", 100)
    assert planner(base).propose(asked) == at_once


def test_proposals_come_in_the_order_of_the_requests(base: tuple[Any, Any]) -> None:
    asked = requests(20)
    proposals = planner(base, batch_size=4).propose(asked)
    order = random.Random(3).sample(range(20), 20)
    assert planner(base, batch_size=4).propose([asked[index] for index in order]) == [proposals[i] for i in order]


def test_the_number_of_threads_changes_no_plan(base: tuple[Any, Any]) -> None:
    asked, threads, found = requests(20), torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(planner(base).propose(asked))
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_every_plan_keeps_every_rule_without_the_validator(base: tuple[Any, Any]) -> None:
    asked = requests(100)
    for request, proposal in zip(asked, planner(base).propose(asked), strict=True):
        if proposal.raw is None:
            assert (proposal.error, proposal.tokens, proposal.passes) == (INFEASIBLE, 0, 0)
            assert not request.candidates
        else:
            assert not breaches(proposal.raw, request)
            assert len(set(proposal.raw.recipe_ids)) == len(proposal.raw.recipe_ids)
    feasible = [request for request in asked if request.candidates]
    assert not any(planned.interventions for planned in run_policies(planner(base), feasible))


def test_a_plan_costs_its_prompt_and_its_answer_and_what_was_decided(tmp_path: Path) -> None:
    base = load_base(write_base(tmp_path, RECIPES))
    request = requests(1)[0]
    (proposal,) = planner(base).propose([request])
    assert proposal.raw is not None
    shown = prompt.shown_candidates(request.context, request.candidates, FORM)
    asked = prompt_ids(base[1], prompt.render(request.context, shown, FORM))
    answer = completion_ids(base[1], prompt.completion(proposal.raw.recipe_ids))
    assert proposal.tokens == len(asked) + len(answer) - 1  # the end token is not said
    assert proposal.passes == 1 + len(proposal.raw.meals)


def test_fewer_meals_can_be_asked_for(base: tuple[Any, Any]) -> None:
    proposals = planner(base, max_meals=2).propose(requests(20))
    assert {len(each.raw.meals) for each in proposals if each.raw} <= {1, 2}


def test_an_unconstrained_model_says_what_it_likes_until_the_end_token_or_the_limit(base: tuple[Any, Any]) -> None:
    asked = [request for request in requests(12) if request.candidates]
    proposals = planner(base, constrained=False).propose(asked)
    assert proposals == planner(base, constrained=False, batch_size=1).propose(asked)
    # Random weights say nothing sensible: that is counted, and told.
    assert all(each.raw is None and "not a plan" in each.error and each.tokens > each.passes > 0 for each in proposals)


def test_an_unconstrained_answer_is_read_as_it_is(base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    request, tokenizer = requests(1)[0], base[1]
    said = completion_ids(tokenizer, prompt.completion(["r001", "r001"]))

    def script(model: Any, prompts: Any, rows: Sequence[key_values.Row], batch_size: int) -> None:
        while rows[0].options() is None:
            rows[0].decide(said[len(rows[0].tokens)])

    monkeypatch.setattr(key_values, "decode_greedily", script)
    (proposal,) = planner(base, constrained=False).propose([request])
    assert proposal.raw is not None
    assert proposal.raw.recipe_ids == ("r001", "r001")
    assert proposal.passes == len(said)


def test_settings_say_how_it_decodes(base: tuple[Any, Any]) -> None:
    assert planner(base, batch_size=8, seed=5).settings == {
        "batch_size": 8, "constrained": True, "device": "cpu", "dtype": "float32", "max_meals": 7, "quantization": "",
        "seed": 5, "temperature": 0.0,
    }  # fmt: skip


def test_a_prompt_longer_than_the_model_names_the_remedy(
    base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base[0].config, "max_position_embeddings", 150)
    with pytest.raises(ModelError, match="max_candidates"):
        planner(base).propose(requests(1))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"max_meals": 8}])
def test_impossible_settings_are_refused(base: tuple[Any, Any], options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="write 1 or more"):
        planner(base, **options)


@pytest.mark.parametrize("recipe_id", ["", "r 1", 'r"1', "r\\1", "r\n1"])
def test_a_recipe_id_that_an_answer_cannot_spell_is_refused_by_name(recipe_id: str) -> None:
    with pytest.raises(PlanError, match="letters, digits"):
        grammar(["r1", recipe_id], 2)


# Ids that begin other ids, that tokens span, and that share all but their end.
IDS = ("a", "ab", "abc", "b", "r1", "r10", "r11", "r2", "é", "ée")
TOKENIZERS = {
    one: small_tokenizer({each: replace(RECIPES["r001"], id=each) for each in IDS}, one) for one in (True, False)
}
SPELLERS = {one: Answers(tokenizer) for one, tokenizer in TOKENIZERS.items()}
PRICES = st.dictionaries(
    st.sampled_from(IDS), st.integers(1, 900).map(lambda cents: cents / 100), min_size=1, max_size=5
)


def priced(prices: dict[str, float], budget: float | None) -> Request:
    """A request of one person to whom the recipes cost this."""
    context = small_context(RECIPES, 1)
    context = replace(
        context,
        household=replace(context.household, size=1),
        constraints=Constraints(budget, None, ()),
    )
    recipes = {each: replace(RECIPES["r001"], id=each, cost_per_serving=price) for each, price in prices.items()}
    return Request(context, recipes)


def valid_answers(request: Request) -> list[str]:
    """Every answer that names different admissible recipes and can be paid, by trying all."""
    choices = (
        chosen
        for count in range(1, len(request.recipes) + 1)
        for chosen in itertools.permutations(sorted(request.recipes), count)
    )
    limits = request.context.constraints
    return [
        prompt.completion(chosen)
        for chosen in choices
        if within_budget(math.fsum(request.recipes[each].cost_per_serving for each in chosen), limits)
    ]


@settings(max_examples=60, deadline=None)
@given(
    prices=PRICES,
    budget=st.none() | st.integers(1, 2000).map(lambda cents: cents / 100),
    one=st.booleans(),
    data=st.data(),
)
def test_a_token_is_allowed_exactly_when_a_valid_answer_goes_on_with_it(
    prices: dict[str, float], budget: float | None, one: bool, data: st.DataObject
) -> None:
    request, answers = priced(prices, budget), SPELLERS[one]
    valid = [each.encode() for each in valid_answers(request)]
    most = most_meals(request.candidates, request.context)
    assert (most > 0) == bool(valid)
    if not valid:
        return
    beginnings = {each[:length] for each in valid for length in range(len(each) + 1)}
    pieces = {token: answers.text_of(token) for token in range(len(answers.tokenizer))}
    answer = answers.begin(request, most)
    answer._spelt = set  # any spelling
    while not answer.done:
        before, allowed = answer._text, list(answer.allowed())
        going_on = [token for token, piece in pieces.items() if piece and before + piece in beginnings]
        forced = answer._matcher.compute_ff_tokens()
        assert set(allowed) <= set(going_on)
        assert forced or allowed == going_on
        answer.say(data.draw(st.sampled_from(allowed)))
    assert answer.text.encode() in valid


@settings(max_examples=60, deadline=None)
@given(prices=PRICES, budget=st.none() | st.integers(1, 2000).map(lambda cents: cents / 100), one=st.booleans())
def test_every_valid_answer_can_be_said_as_training_spells_it(
    prices: dict[str, float], budget: float | None, one: bool
) -> None:
    request, answers = priced(prices, budget), SPELLERS[one]
    for text in valid_answers(request)[:40]:
        answer = answers.begin(request, most_meals(request.candidates, request.context))
        for token in completion_ids(answers.tokenizer, text)[:-1]:
            assert token in answer.allowed(), (text, answer.text)
            answer.say(token)
        assert answer.done
        assert answer.text == text


def test_an_id_is_spelt_only_as_training_spells_it() -> None:
    answers = SPELLERS[True]
    answer = answers.begin(priced({"r1": 1.0, "r2": 1.0, "b": 1.0}, None), 3)
    answer.options()
    answer.decide(answers.tokenizer.convert_tokens_to_ids("2"))
    said = [answers.text_of(token) for token in answer.options()]
    assert sorted(said) == [b" b", b" r1", b" r2"]


@given(
    prices=st.lists(st.integers(1, 900).map(lambda cents: cents / 100), min_size=1, max_size=7),
    budget=st.none() | st.integers(1, 3000).map(lambda cents: cents / 100),
    meals=st.integers(1, 7),
    data=st.data(),
)
def test_a_recipe_is_possible_exactly_when_some_payable_choice_goes_on_with_it(
    prices: list[float], budget: float | None, meals: int, data: st.DataObject
) -> None:
    recipes = [replace(RECIPES["r001"], id=f"r{index}", cost_per_serving=price) for index, price in enumerate(prices)]
    limits = Constraints(budget, None, ())
    possible, chosen = PossibleRecipes.of(recipes, 1, limits, meals), list[Recipe]()
    while len(chosen) < meals:
        expected = [each.id for each in recipes if _some_choice_pays([*chosen, each], recipes, meals, limits)]
        assert [each.decode() for each in possible.ids] == expected
        if not expected:
            assert not chosen  # only the announced number of meals can be impossible, never a later meal
            return
        recipe_id = data.draw(st.sampled_from(expected))
        possible = possible.after(recipe_id.encode())
        chosen.append(next(each for each in recipes if each.id == recipe_id))
    assert not possible.ids


def _some_choice_pays(chosen: list[Recipe], recipes: list[Recipe], meals: int, limits: Constraints) -> bool:
    if len({each.id for each in chosen}) < len(chosen):
        return False
    rest = [each for each in recipes if each not in chosen]
    return any(
        within_budget(math.fsum(each.cost_per_serving for each in (*chosen, *others)), limits)
        for others in itertools.combinations(rest, meals - len(chosen))
    )


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=2, max_size=5))
def test_the_common_beginning_leaves_every_prompt_a_token_of_its_own(prompts: list[list[int]]) -> None:
    shortest = min(map(len, prompts))
    common = max(length for length in range(shortest + 1) if len({tuple(each[:length]) for each in prompts}) == 1)
    assert key_values.shared_prefix(prompts) == min(common, shortest - 1)
    assert key_values.shared_prefix(prompts[:1]) == 0


def test_a_budget_that_is_met_to_the_cent_is_kept(base: tuple[Any, Any]) -> None:
    # 0.1 + 0.2 is more than 0.3 in floating point: such a budget must neither be broken nor end in no meal at all.
    request = priced({"r001": 0.1, "r002": 0.2, "r003": 9.0}, 0.3)
    (proposal,) = planner(base).propose([request])
    assert proposal.raw is not None
    assert not breaches(proposal.raw, request)
    assert plan_price(proposal.raw, request.recipes) <= 0.3 + 1e-9
