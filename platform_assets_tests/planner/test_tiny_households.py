"""Invented households: requests that could be real, tastes that can be seen, and nothing of the simulated app."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from statistics import mean

import numpy as np
import pytest

from platform_assets.planner import synthetic_households
from platform_assets.planner.plans import admissible
from platform_assets.planner.prompt import PromptFormat, render
from platform_assets.planner.synthetic_households import Attributes, synthetic_tasks
from platform_assets_tests.planner.small_model import small_recipes

RECIPES = small_recipes(120)
ATTRIBUTES = Attributes.of(RECIPES)


@pytest.fixture(scope="module")
def tasks():
    return list(synthetic_tasks(np.random.default_rng(3), ATTRIBUTES, 1_500))


def test_every_wanted_recipe_is_admissible_and_wanted_once(tasks):
    for task in tasks[:400]:
        allowed = {recipe.id for recipe in admissible(task.context, RECIPES.values())}
        assert 1 <= len(task.wanted) <= 7
        assert set(task.wanted) <= allowed
        assert len(set(task.wanted)) == len(task.wanted)


def test_past_plans_are_admissible_too_and_the_previous_plan_is_the_newest(tasks):
    for task in tasks[:400]:
        allowed = {recipe.id for recipe in admissible(task.context, RECIPES.values())}
        plans = task.context.recent_plans
        assert all(set(plan.recipe_ids) <= allowed for plan in plans)
        assert task.context.previous_plan == (plans[0] if plans else None)


def test_households_differ_in_everything_that_a_prompt_shows(tasks):
    contexts = [task.context for task in tasks]
    assert {len(each.recent_plans) for each in contexts} == set(range(5))
    assert {len(task.wanted) for task in tasks} == set(range(1, 8))
    assert min(Counter(each.mode for each in contexts).values()) > 300
    assert {None} < {each.constraints.max_prep_time for each in contexts}
    assert {None} < {each.constraints.budget for each in contexts}
    assert len({render(each, [], PromptFormat()) for each in contexts}) == len(contexts)


def test_some_repeat_what_they_ate_and_some_avoid_it(tasks):
    shares = [
        mean(recipe in task.context.previous_plan.recipe_ids for recipe in task.wanted)
        for task in tasks
        if task.context.previous_plan
    ]
    assert sum(share >= 0.5 for share in shares) > 150
    assert sum(share == 0 for share in shares) > 150


def test_stated_preferences_say_something_about_what_is_wanted(tasks):
    """Wanted recipes have a stated attribute more often than admissible ones at large."""
    surplus = []
    for task in (each for each in tasks if each.context.household.preferences):
        liked = set(task.context.household.preferences)
        has = {key: bool(liked & {each.cuisine, each.main_protein, *each.tags}) for key, each in RECIPES.items()}
        allowed = admissible(task.context, RECIPES.values())
        surplus.append(mean(has[key] for key in task.wanted) - mean(has[each.id] for each in allowed))
    assert mean(surplus) > 4 * np.std(surplus) / len(surplus) ** 0.5


def test_the_same_seed_gives_the_same_households():
    first, second = (list(synthetic_tasks(np.random.default_rng(5), ATTRIBUTES, 40)) for _ in range(2))
    assert first == second
    assert first != list(synthetic_tasks(np.random.default_rng(6), ATTRIBUTES, 40))


def test_nothing_of_the_simulated_app_is_read():
    tree = ast.parse(inspect.getsource(synthetic_households))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any("simulators" in module or "dataset" in module for module in modules)
