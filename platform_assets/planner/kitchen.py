"""What cooking a recipe takes, in one unit, and how long ingredients keep.

What belongs here: facts about a catalogue that the heuristic planner and the scores share. What does not: any judgement of
a plan (`planner.metrics`).

Amounts become grams: g, kg and mg by mass, ml, cl, dl and l at the weight of water, and everything counted (piece, and any
other unit) at a nominal 100 g, so that amounts in different units can be compared and summed.

Nobody tells how long an item of a pantry keeps; it is derived, by name, from the flags of the catalogue's ingredients:
called frozen = frozen (0.3); perishable in every recipe that names it = fresh (1); in some of them = chilled (0.6); in
none, or a staple, or unknown to the catalogue = dry (0.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from platform_assets.planner.plans import Plan, Quantity, Recipe

FRESH, CHILLED, FROZEN, DRY = 1.0, 0.6, 0.3, 0.1
PIECE_GRAMS = 100.0
_GRAMS = {"mg": 0.001, "g": 1.0, "kg": 1000.0, "ml": 1.0, "cl": 10.0, "dl": 100.0, "l": 1000.0}
_MOST_CATALOGUES = 64


def grams(quantity: float, unit: str) -> float:
    """An amount in grams, by the rules above."""
    return quantity * _GRAMS.get(unit.strip().lower(), PIECE_GRAMS)


def stock(items: Iterable[Quantity]) -> dict[str, float]:
    """Grams of each thing in a pantry; what is listed twice counts together."""
    found: dict[str, float] = {}
    for item in items:
        found[item.name] = found.get(item.name, 0.0) + grams(item.quantity, item.unit)
    return found


@dataclass(frozen=True, slots=True)
class Needs:
    """What a recipe takes: grams of each ingredient per serving, and the names of those that are no staple."""

    per_serving: Mapping[str, float]
    bought: frozenset[str]


class Kitchen:
    """Facts about one catalogue."""

    def __init__(self, recipes: Mapping[str, Recipe]) -> None:
        self.recipes = recipes
        self.needs = {key: _needs(recipe) for key, recipe in recipes.items()}
        self._weights = _shelf_weights(recipes.values())

    def shelf_weight(self, name: str) -> float:
        """How much it matters to use an ingredient up: the sooner it spoils, the more; between 0 and 1."""
        return self._weights.get(name) or (FROZEN if _is_frozen(name) else DRY)

    def used(self, plan: Plan) -> dict[str, float]:
        """Grams of each ingredient that a plan of known recipes takes."""
        found: dict[str, float] = {}
        for meal in plan.meals:
            for name, amount in self.needs[meal.recipe_id].per_serving.items():
                found[name] = found.get(name, 0.0) + amount * meal.servings
        return found


class Kitchens:
    """The Kitchen of each catalogue, computed once: many requests share a catalogue. Holds on to the catalogues it saw."""

    def __init__(self) -> None:
        self._known: dict[int, Kitchen] = {}

    def of(self, recipes: Mapping[str, Recipe]) -> Kitchen:
        """The catalogue's Kitchen; a catalogue is recognised by identity, and must not change."""
        # A Kitchen holds its catalogue, so that no other one can come by its identity.
        known = self._known.get(id(recipes))
        if known is None:
            if len(self._known) >= _MOST_CATALOGUES:
                self._known.clear()
            known = self._known[id(recipes)] = Kitchen(recipes)
        return known


def _needs(recipe: Recipe) -> Needs:
    per_serving: dict[str, float] = {}
    for item in recipe.ingredients:
        amount = grams(item.quantity, item.unit) / recipe.servings
        per_serving[item.name] = per_serving.get(item.name, 0.0) + amount
    return Needs(per_serving, frozenset(item.name for item in recipe.ingredients if not item.staple))


def _shelf_weights(recipes: Iterable[Recipe]) -> dict[str, float]:
    flags: dict[str, set[bool]] = {}
    for recipe in recipes:
        for item in recipe.ingredients:
            flags.setdefault(item.name, set()).add(item.perishable and not item.staple)
    by_flags = {frozenset({True}): FRESH, frozenset({True, False}): CHILLED, frozenset({False}): DRY}
    return {name: FROZEN if _is_frozen(name) else by_flags[frozenset(found)] for name, found in flags.items()}


def _is_frozen(name: str) -> bool:
    return "frozen" in name.lower().split()
