"""One grammar of the catalogue serves every household: it allows what a grammar of the household's own candidates allows."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.planner.constrained_answer import Answers
from platform_assets.planner.plans import Recipe, Request, most_meals
from platform_assets_tests.planner.small_model import small_context, small_recipes, small_tokenizer

RECIPES = small_recipes(12)
# Begins r001 to r009: a grammar of all of them would let it go on.
BEGINNING = "r00"
CATALOGUE = {**RECIPES, BEGINNING: replace(RECIPES["r001"], id=BEGINNING)}
SPELLERS = {one: Answers(small_tokenizer(CATALOGUE, one)) for one in (True, False)}


def household(admissible: set[str], known: set[str]) -> Request:
    """A request of a catalogue of `known` recipes, of which the household may eat the admissible ones."""
    context = small_context(RECIPES, 1, None)
    context = replace(context, constraints=replace(context.constraints, max_prep_time=30))
    minutes = {each: 20 if each in admissible else 90 for each in known}
    return Request(context, {each: replace(CATALOGUE[each], prep_time_min=minutes[each]) for each in sorted(known)})


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([RECIPES, CATALOGUE]), st.booleans(), st.data())
def test_it_allows_what_a_grammar_of_the_candidates_allows(
    known: dict[str, Recipe], one: bool, data: st.DataObject
) -> None:
    admissible = data.draw(st.sets(st.sampled_from(sorted(known)), min_size=1))
    wide, narrow = household(admissible, set(known)), household(admissible, admissible)
    most = most_meals(wide.candidates, wide.context)
    ours, theirs = (SPELLERS[one].begin(request, most) for request in (wide, narrow))
    while options := list(theirs.options()):
        assert list(ours.options()) == options
        token = data.draw(st.sampled_from(options))
        ours.decide(token)
        theirs.decide(token)
    assert not ours.options()
    assert ours.tokens == theirs.tokens


def test_households_share_a_grammar() -> None:
    answers = Answers(SPELLERS[True].tokenizer)
    for admissible in ({"r001", "r002"}, {"r003", "r004"}, {"r001", "r004"}):
        answers.begin(household(admissible, set(RECIPES)), 2)
    assert answers._matcher.cache_info().misses == 1


def test_an_id_that_cannot_stand_in_a_plan_troubles_only_those_who_may_eat_it() -> None:
    answers, unspeakable = Answers(SPELLERS[True].tokenizer), replace(RECIPES["r001"], id="a b", prep_time_min=90)
    request = household({"r002", "r003"}, set(RECIPES))
    wide = Request(request.context, {**request.recipes, "a b": unspeakable})
    assert list(answers.begin(wide, 2).options()) == list(SPELLERS[True].begin(request, 2).options())
