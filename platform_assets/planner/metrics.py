"""The formulas by which a plan is judged, each between 0 and 1, None where it is undefined.

What belongs here: one function per metric, of well-formed plans of known recipes. What does not: which plans are judged at all,
and the combined score (`planner.scoring`), the cost of edits (`planner.edit_distance`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from platform_assets.planner.kitchen import Kitchen, stock
from platform_assets.planner.plans import InputContext, Plan
from platform_assets.planner.targets import Target, generated_recipes

DISHES_WEIGHT, ATTRIBUTES_WEIGHT, NEW_WEIGHT = 0.5, 0.3, 0.2
PANTRY_WEIGHT, SHARED_WEIGHT = 0.6, 0.4


def plan_alignment(plan: Plan, accepted: Plan) -> float:
    """Multiset Jaccard of the recipes: sum of min(P_r, A_r) / sum of max(P_r, A_r)."""
    predicted, wanted = Counter(plan.recipe_ids), Counter(accepted.recipe_ids)
    return _share((predicted & wanted).total(), (predicted | wanted).total()) or 0.0


def slot_match(plan: Plan, accepted: Plan) -> float:
    """Meals with the same day and recipe, as a share of the longer plan's meals."""
    slots, wanted = (Counter((meal.day, meal.recipe_id) for meal in each.meals) for each in (plan, accepted))
    return _share((slots & wanted).total(), max(slots.total(), wanted.total())) or 0.0


def added_hit(plan: Plan, target: Target) -> float | None:
    """The share planned of what the user's edits brought in, |P n (A \\ G)| / |A \\ G|; None where they brought nothing in.

    G, the plan as generated, lacks meals that were removed (`targets.generated_recipes`): those are in A \\ G of no row.
    """
    added = Counter(target.accepted.recipe_ids) - generated_recipes(target)
    return _share((Counter(plan.recipe_ids) & added).total(), added.total()) if target.edits else None


def removed_avoided(plan: Plan, target: Target) -> float | None:
    """1 - the share planned of what the user's edits took out, |P n (G \\ A)| / |G \\ A|; None where they took nothing out.

    G \\ A holds what was swapped away; of removed meals the data does not name the recipe.
    """
    removed = generated_recipes(target) - Counter(target.accepted.recipe_ids)
    share = _share((Counter(plan.recipe_ids) & removed).total(), removed.total()) if target.edits else None
    return None if share is None else 1 - share


def meal_diversity(plan: Plan, previous: Plan | None, kitchen: Kitchen) -> float | None:
    """How unlike each other and the previous week the meals are.

    0.5 * mean over pairs of (1 - Jaccard of non-staple ingredients) + 0.3 * mean of the entropies of cuisine and main
    protein, each / ln(meals), + 0.2 * share of meals that were not in the previous plan. Of one meal only the last part is
    defined, without a previous plan only the others; weights are renormalised.
    """
    recipes = [kitchen.recipes[key] for key in plan.recipe_ids]
    dishes = attributes = new = None
    if len(recipes) > 1:
        pairs = list(combinations([kitchen.needs[key].bought for key in plan.recipe_ids], 2))
        dishes = sum(1 - _jaccard(one, other) for one, other in pairs) / len(pairs)
        spread = (_entropy(recipe.cuisine for recipe in recipes), _entropy(recipe.main_protein for recipe in recipes))
        attributes = sum(spread) / 2 / math.log(len(recipes))
    if previous is not None and previous.meals and recipes:
        before = set(previous.recipe_ids)
        new = sum(key not in before for key in plan.recipe_ids) / len(recipes)
    return weighted(((DISHES_WEIGHT, dishes), (ATTRIBUTES_WEIGHT, attributes), (NEW_WEIGHT, new)))


def leftovers_utility(plan: Plan, context: InputContext, kitchen: Kitchen) -> float | None:
    """How well the plan uses what there is, and what it makes the household buy: 0.6 * U1 + 0.4 * U2.

    U1 = sum w * min(used, have) / sum w * have over the pantry, in grams, w by shelf life (`planner.kitchen`). U2 = share of
    the non-staple ingredients that must be bought that two or more meals use. An empty pantry leaves U2 alone, nothing
    to buy U1 alone, both None.
    """
    have, used = stock(context.pantry), kitchen.used(plan)
    weighed = {name: kitchen.shelf_weight(name) for name in have}
    gain = math.fsum(weighed[name] * min(used.get(name, 0.0), amount) for name, amount in have.items())
    u1 = _share(gain, math.fsum(weighed[name] * amount for name, amount in have.items()))
    meals = Counter(name for key in plan.recipe_ids for name in kitchen.needs[key].bought)
    bought = [name for name in meals if used[name] > have.get(name, 0.0)]
    u2 = _share(sum(meals[name] > 1 for name in bought), len(bought))
    return weighted(((PANTRY_WEIGHT, u1), (SHARED_WEIGHT, u2)))


def _share(part: float, whole: float) -> float | None:
    return min(1.0, part / whole) if whole > 0 else None


def weighted(parts: Iterable[tuple[float, float | None]]) -> float | None:
    """The weighted mean of the defined parts; None where no part is."""
    defined = [(weight, value) for weight, value in parts if value is not None]
    if not defined:
        return None
    mean = sum(weight * value for weight, value in defined) / sum(weight for weight, _ in defined)
    return min(1.0, max(0.0, mean))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """1 for two empty sets: they do not differ."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _entropy(values: Iterable[str]) -> float:
    counts = Counter(values)
    total = counts.total()
    return -sum(count / total * math.log(count / total) for count in counts.values())
