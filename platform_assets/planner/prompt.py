"""The one prompt of the planner, for training, replay and serving alike, and the completion that answers it.

Compact JSON with sorted keys. Lists of names are one string, each name with a space before it: then a name is the same
tokens wherever it stands, and a separator costs none. The completion holds the number of meals and the chosen recipes, in
any order: days and servings are assigned afterwards (`plans.place`), because neither needs a model.

`household.id` is never rendered: a model that knows whom it plans for learns households by heart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platform_assets.planner.plans import MOST_MEALS, InputContext, Plan, PlanError, Recipe, place

VERSION = 1
INSTRUCTION = "Choose the week's recipes for this household from its candidates."


@dataclass(frozen=True)
class PromptFormat:
    """What of a context is rendered; saved with every model, so that it is served as it was trained."""

    version: int = VERSION
    max_candidates: int = 160
    """How many admissible recipes are shown; a plan may hold any admissible one, shown or not."""
    recent_plans: int = 4
    """How many recent plans are shown."""
    pantry_items: int = 24
    """How many pantry items are shown, by name."""
    describe_candidates: bool = False
    """Cuisine, protein and minutes beside each id: for a model that did not learn the catalogue."""

    @property
    def digest(self) -> str:
        """SHA-256 over these choices and this module's text: another rendering is another digest."""
        content = json.dumps(asdict(self), sort_keys=True).encode() + Path(__file__).read_bytes()
        return hashlib.sha256(content).hexdigest()

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> PromptFormat:
        """As saved with a model; raises PlanError when it was rendered by another version."""
        if document.get("version") != VERSION:
            raise PlanError(
                f"the model was trained on prompt version {document.get('version')}, this is {VERSION}: train it again"
            )
        try:
            return cls(**document)
        except TypeError as error:
            raise PlanError(f"not a prompt format of version {VERSION}: {error}") from None


def shown_candidates(context: InputContext, admissible: Sequence[Recipe], form: PromptFormat) -> list[Recipe]:
    """The admissible recipes that the prompt lists, by id.

    All of them where they fit; else those of recent plans first, then those that match most stated preferences, then those
    that use most of the pantry, then by id.
    """
    if not form.max_candidates or len(admissible) <= form.max_candidates:
        return list(admissible)[: form.max_candidates]
    recent = {recipe_id for plan in context.recent_plans for recipe_id in plan.recipe_ids}
    stock, liked = {item.name for item in context.pantry}, set(context.household.preferences)

    def rank(recipe: Recipe) -> tuple[bool, int, int, str]:
        matches = len(liked & {recipe.cuisine, recipe.main_protein, *recipe.tags})
        used = sum(item.name in stock for item in recipe.ingredients if not item.staple)
        return recipe.id not in recent, -matches, -used, recipe.id

    return sorted(sorted(admissible, key=rank)[: form.max_candidates], key=lambda recipe: recipe.id)


def render(context: InputContext, candidates: Iterable[Recipe], form: PromptFormat) -> str:
    """The prompt, without the chat template around it."""
    household, constraints = context.household, context.constraints
    document = {
        "budget": None if constraints.budget is None else round(constraints.budget),
        "candidates": _candidates(candidates, form),
        "excluded": _names(constraints.excluded_ingredients),
        "max_prep_time": constraints.max_prep_time,
        "mode": context.mode,
        "pantry": _names(item.name for item in context.pantry[: form.pantry_items]),
        "preferences": _names(household.preferences),
        "recent_plans": [_names(plan.recipe_ids) for plan in context.recent_plans[: form.recent_plans]],
        "region": household.region,
        "restrictions": _names(household.restrictions),
        "size": household.size,
        "workflow": context.workflow_type,
    }
    return f"{INSTRUCTION}\n{json.dumps(document, separators=(',', ':'), sort_keys=True, ensure_ascii=False)}"


def completion(recipe_ids: Sequence[str]) -> str:
    """The answer: how many meals, and which recipes. Raises PlanError for an id that `parse` could not read back."""
    if spaced := [each for each in recipe_ids if each.split() != [each]]:
        raise PlanError(f"a recipe id must not hold white space, got {spaced[0]!r}: give the recipe a short id")
    return f'{{"count":{len(recipe_ids)},"recipes":"{_names(recipe_ids)}"}}'


def parse(text: str, context: InputContext) -> Plan:
    """The plan that an answer means; raises PlanError for anything that is not one."""
    try:
        document = json.loads(text)
        chosen = document["recipes"].split()
        count = document["count"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PlanError(f"the model's answer is not a plan: {error!r}") from None
    if isinstance(count, bool) or count != len(chosen) or not 1 <= len(chosen) <= MOST_MEALS:
        raise PlanError(f"the model's answer announces {count!r} meals and names {len(chosen)}")
    return place(chosen, context)


def _candidates(candidates: Iterable[Recipe], form: PromptFormat) -> str:
    if not form.describe_candidates:
        return _names(recipe.id for recipe in candidates)
    described = (
        f" {recipe.id} {_word(recipe.cuisine)} {_word(recipe.main_protein)} {recipe.prep_time_min}"
        for recipe in candidates
    )
    return ";".join(described)


def _names(names: Iterable[str]) -> str:
    return "".join(f" {_word(name)}" for name in names)


def _word(name: str) -> str:
    return name.replace(" ", "_")
