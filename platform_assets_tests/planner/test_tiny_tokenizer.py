"""The tiny model's tokenizer: short prompts, no text lost, answers that a grammar can hold."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.planner import prompt
from platform_assets.planner.language_model import completion_ids, prompt_ids
from platform_assets.planner.prompt import PromptFormat
from platform_assets.planner.tiny_tokenizer import build_tokenizer, recipe_token, vocabulary, word_token, words_of
from platform_assets_tests.planner.small_model import small_context, small_recipes

RECIPES = small_recipes()


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(RECIPES)


def test_every_recipe_and_every_word_of_the_catalogue_is_one_token(tokenizer):
    words = {word for recipe in RECIPES.values() for word in words_of(recipe)}
    texts = [*map(recipe_token, RECIPES), *map(word_token, words)]
    assert {len(tokenizer(text)["input_ids"]) for text in texts} == {1}
    assert len({tokenizer(text)["input_ids"][0] for text in texts}) == len(set(texts))


@pytest.mark.parametrize("seed", range(12))
def test_a_prompt_is_some_dozens_of_tokens_and_comes_back_as_it_was(tokenizer, seed):
    text = prompt.render(small_context(RECIPES, seed), [], PromptFormat(max_candidates=0))
    ids = prompt_ids(tokenizer, text)
    assert len(ids) < 50 < len(text) / 5
    assert tokenizer.decode(ids) == f"<|user|>{text}<|assistant|>"


def test_a_shown_candidate_costs_one_token(tokenizer):
    context, shown = small_context(RECIPES, 1), list(RECIPES.values())[:20]
    counts = [len(prompt_ids(tokenizer, prompt.render(context, shown[:many], PromptFormat()))) for many in range(1, 21)]
    assert {after - before for before, after in pairwise(counts)} == {1}


def test_an_answer_is_its_recipes_and_five_tokens_more(tokenizer):
    ids = sorted(RECIPES)[:4]
    tokens = completion_ids(tokenizer, prompt.completion(ids))
    assert tokenizer.convert_ids_to_tokens(tokens) == [
        '{"count":', "4", ',"recipes":"', *map(recipe_token, ids), '"}', "<|end|>",
    ]  # fmt: skip


@settings(max_examples=60)
@given(text=st.text(max_size=80))
def test_any_text_at_all_survives(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not set(ids) & set(tokenizer.all_special_ids):
        assert tokenizer.decode(ids) == text


def test_the_same_catalogue_gives_the_same_ids_in_any_order(tokenizer):
    again = build_tokenizer(dict(reversed(RECIPES.items())))
    assert json.dumps(again.get_vocab(), sort_keys=True) == json.dumps(tokenizer.get_vocab(), sort_keys=True)
    assert len(vocabulary(RECIPES)) == len(set(vocabulary(RECIPES)))
