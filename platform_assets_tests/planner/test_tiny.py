"""The tiny base model: an ordinary base folder, the same bytes again, and something learnt of the catalogue."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from platform_assets.core.digest import sha256_of
from platform_assets.planner import tiny
from platform_assets.planner.language_model import completion_ids, load_base, prompt_ids
from platform_assets.planner.model_documents import FILES, read_base
from platform_assets.planner.plans import PlanError
from platform_assets.planner.prompt import PromptFormat, completion, render
from platform_assets.planner.synthetic_households import Attributes, synthetic_tasks
from platform_assets.planner.tiny import TinyOptions, build_tiny, collate, first_model, loss_of
from platform_assets.planner.tiny_tokenizer import build_tokenizer, recipe_token
from platform_assets_tests.planner.small_model import small_recipes

RECIPES = small_recipes()
ATTRIBUTES = Attributes.of(RECIPES)
SHORT = TinyOptions(steps=3, batch_size=4, width=32, heads=2)
NONE_SHOWN = PromptFormat(max_candidates=0)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(RECIPES)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return folder, build_tiny(RECIPES, folder, SHORT)


@pytest.fixture(scope="module")
def tasks():
    return list(synthetic_tasks(np.random.default_rng(1), ATTRIBUTES, 24))


def test_what_is_built_is_a_base_folder_that_loads_as_any_other(built):
    folder, document = built
    base = read_base(folder)
    assert (base.model_base, base.kind, base.digest) == ("tiny", FILES, document["digest"])
    assert base.parameters["steps"] == 3
    model, tokenizer = load_base(folder)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.tie_word_embeddings


def test_the_same_inputs_give_the_same_bytes(built, tmp_path):
    folder, document = built
    assert build_tiny(dict(reversed(RECIPES.items())), tmp_path, SHORT)["digest"] == document["digest"]
    for path in folder.iterdir():
        assert sha256_of(path) == sha256_of(tmp_path / path.name)


def test_another_seed_is_another_model(built, tmp_path):
    document = build_tiny(RECIPES, tmp_path, TinyOptions(**{**built[1]["parameters"], "seed": 1}))
    assert document["digest"] != built[1]["digest"]


def test_training_leaves_the_random_state_and_threads_of_the_process_alone(tmp_path):
    torch.manual_seed(4)
    threads, wanted = torch.get_num_threads(), torch.random.get_rng_state()
    build_tiny(RECIPES, tmp_path, SHORT)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), wanted)


def test_progress_is_told(tmp_path):
    lines: list[str] = []
    build_tiny(RECIPES, tmp_path, SHORT, lines.append)
    assert len(lines) == 3
    assert "step 3 of 3" in lines[-1]


def test_a_batch_holds_prompts_and_answers_as_training_and_serving_render_them(tokenizer, tasks):
    batch = collate(tasks, tokenizer, NONE_SHOWN, ATTRIBUTES.recipes)
    for row, task in enumerate(tasks):
        asked = prompt_ids(tokenizer, render(task.context, [], NONE_SHOWN))
        whole = asked + completion_ids(tokenizer, completion(task.wanted))
        assert batch.ids[row, : len(whole)].tolist() == whole
        assert set(batch.ids[row, len(whole) :].tolist()) <= {tokenizer.pad_token_id}


def test_a_few_candidates_are_shown_where_asked_for(tokenizer, tasks):
    lengths = [
        (collate(tasks, tokenizer, PromptFormat(max_candidates=many), ATTRIBUTES.recipes).ids != tokenizer.pad_token_id)
        .sum(dim=1)
        .tolist()
        for many in (0, 8)
    ]
    # Eight candidates, and one token more around a list that is not empty.
    assert max(after - before for before, after in zip(*lengths, strict=True)) == 9


def test_recipes_not_yet_named_share_a_prediction(tokenizer, tasks):
    """Against a plain reading of the answer, token by token."""
    batch = collate(tasks[:1], tokenizer, NONE_SHOWN, ATTRIBUTES.recipes)
    wanted = [tokenizer.convert_tokens_to_ids(recipe_token(each)) for each in tasks[0].wanted]
    answer = completion_ids(tokenizer, completion(tasks[0].wanted))
    for row, token in enumerate(answer):
        place = row - 3
        left = wanted[place:] if 0 <= place < len(wanted) else [token]
        expected = torch.zeros(len(tokenizer))
        expected[left] = 1 / len(left)
        assert torch.equal(batch.targets[row], expected)


def test_the_loss_is_the_mean_cross_entropy_over_answers_whatever_the_padding(tokenizer, tasks):
    model = first_model(ATTRIBUTES, tokenizer, SHORT)
    losses, counts = [], []
    for task in tasks[:6]:
        batch = collate([task], tokenizer, NONE_SHOWN, ATTRIBUTES.recipes)
        losses.append(loss_of(model, batch).item())
        counts.append(len(batch.rows))
    together = loss_of(model, collate(tasks[:6], tokenizer, NONE_SHOWN, ATTRIBUTES.recipes)).item()
    assert math.isclose(together, float(np.average(losses, weights=counts)), rel_tol=1e-5)


def test_recipes_of_one_cuisine_start_out_closer_than_others(tokenizer):
    model = first_model(ATTRIBUTES, tokenizer, TinyOptions())
    rows = tokenizer.convert_tokens_to_ids([recipe_token(each.id) for each in ATTRIBUTES.recipes])
    vectors = torch.nn.functional.normalize(model.get_input_embeddings().weight.detach()[rows], dim=1)
    alike = vectors @ vectors.T
    same = torch.tensor([[a.cuisine == b.cuisine for b in ATTRIBUTES.recipes] for a in ATTRIBUTES.recipes])
    same.fill_diagonal_(False)
    assert alike[same].mean() > alike[~same & ~torch.eye(len(rows), dtype=torch.bool)].mean() + 0.1


def test_some_steps_teach_it_where_a_recipe_stands(tokenizer):
    options = TinyOptions(steps=90, batch_size=16, width=64)
    model = first_model(ATTRIBUTES, tokenizer, options)
    unseen = list(synthetic_tasks(np.random.default_rng(99), ATTRIBUTES, 100))
    batch = collate(unseen, tokenizer, NONE_SHOWN, ATTRIBUTES.recipes)
    before, weight_before = loss_of(model, batch).item(), weight_of_recipes(model, batch, tokenizer)
    tiny._train(model, tiny._batches(ATTRIBUTES, tokenizer, options), options, lambda line: None)
    assert loss_of(model, batch).item() < 0.7 * before
    assert weight_of_recipes(model, batch, tokenizer) > 2 * weight_before


@torch.no_grad()
def weight_of_recipes(model, batch, tokenizer) -> float:
    """The probability that it gives to recipes where a recipe is due."""
    recipes = tokenizer.convert_tokens_to_ids([recipe_token(each) for each in RECIPES])
    due = batch.targets[:, recipes].sum(dim=1) > 0
    hidden = model.model(input_ids=batch.ids).last_hidden_state[batch.rows, batch.positions]
    return model.lm_head(hidden[due]).softmax(-1)[:, recipes].sum(dim=1).mean().item()


def test_a_catalogue_too_small_to_learn_is_refused(tmp_path):
    few = dict(list(RECIPES.items())[:3])
    with pytest.raises(PlanError, match="10 recipes or more"):
        build_tiny(few, tmp_path, SHORT)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("width", 30), ("threads", -1)])
def test_options_that_cannot_be_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        TinyOptions(**{name: value})


def test_base_json_is_stable_text(built):
    text = (built[0] / "base.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"
