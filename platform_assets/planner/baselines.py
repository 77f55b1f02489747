"""Policies without a model: the heuristic planner (policy version 0), popularity, and the previous plan again.

All of them rank the admissible recipes and take the best that the budget leaves room for; they differ in the ranking. What
does not belong here: running them (`planner.policies`), fitting anything but counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from platform_assets.planner import kitchen, plans
from platform_assets.planner.plans import Recipe, Request
from platform_assets.planner.policies import Proposal
from platform_assets.planner.popularity import Popularity
from platform_assets.planner.validator import meals_wanted


def choose(ranking: Iterable[Recipe], request: Request) -> list[Recipe]:
    """Down the ranking, whatever leaves enough of the budget for the cheapest recipes to fill the other meals.

    As many recipes as `meals_wanted`, each once: the ranking must hold every admissible recipe, and nothing else.
    """
    context, wanted = request.context, meals_wanted(request)
    cheapest = sorted(request.candidates, key=lambda recipe: recipe.cost_per_serving)
    chosen: dict[str, Recipe] = {}
    for recipe in ranking:
        if len(chosen) == wanted:
            break
        others = (other for other in cheapest if other.id not in chosen and other.id != recipe.id)
        tried = [*chosen.values(), recipe, *islice(others, wanted - len(chosen) - 1)]
        if plans.most_meals(tried, context) == wanted:
            chosen[recipe.id] = recipe
    return list(chosen.values())


def propose(ranking: Iterable[Recipe], request: Request) -> Proposal:
    """A plan from a ranking; nothing for a request that cannot be served."""
    chosen = choose(ranking, request)
    if not chosen:
        return Proposal(None, error="no recipe is admissible")
    return Proposal(plans.place([recipe.id for recipe in chosen], request.context))


@dataclass(frozen=True)
class HeuristicWeights:
    """What each term of the heuristic's score counts; kept as the policy version's parameters."""

    preference: float = 1.0
    """For the share of the stated preferences that a recipe meets by its cuisine, main protein or tags."""
    pantry: float = 1.0
    """For the share of its bought ingredients that the pantry holds, each by its shelf life."""
    repetition: float = 1.0
    """Against what stood in the newest recent plan; half of it for the plan before, and so on."""
    price: float = 0.3
    """Against its price, as a share of the dearest admissible recipe's."""


class HeuristicPlanner:
    """Policy version 0: the sum of four terms per recipe, each of which `explain` shows. Ties go to the smaller id."""

    name = "heuristic"

    def __init__(self, weights: HeuristicWeights | None = None) -> None:
        self.weights = weights or HeuristicWeights()
        self._kitchens = kitchen.Kitchens()

    def document(self) -> dict[str, Any]:
        """Its parameters, for the policy version's config_defaults."""
        return {"policy": self.name, **asdict(self.weights)}

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        """The best recipes by score."""
        return [propose(self.ranking(request), request) for request in requests]

    def ranking(self, request: Request) -> list[Recipe]:
        """The admissible recipes, best first."""
        scores = {key: sum(terms.values()) for key, terms in self.explain(request).items()}
        return sorted(request.candidates, key=lambda recipe: (-scores[recipe.id], recipe.id))

    def explain(self, request: Request) -> dict[str, dict[str, float]]:
        """The terms of each admissible recipe's score, by recipe id."""
        weights, context = self.weights, request.context
        facts, stock, liked = (
            self._kitchens.of(request.recipes),
            kitchen.stock(context.pantry),
            set(context.household.preferences),
        )
        dearest = max((recipe.cost_per_serving for recipe in request.candidates), default=0.0) or 1.0
        eaten = _recency(request)
        return {
            recipe.id: {
                "preference": weights.preference * _share_met(recipe, liked),
                "pantry": weights.pantry * _share_in_stock(facts, recipe, stock, context.household.size),
                "repetition": -weights.repetition * eaten.get(recipe.id, 0.0),
                "price": -weights.price * recipe.cost_per_serving / dearest,
            }
            for recipe in request.candidates
        }


class PopularityPlanner:
    """The recipes that households of the same workflow type and mode accept most."""

    name = "popularity"

    def __init__(self, popularity: Popularity) -> None:
        self.popularity = popularity

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        """The most popular recipes."""
        return [propose(self.ranking(request), request) for request in requests]

    def ranking(self, request: Request) -> list[Recipe]:
        """The admissible recipes, best first; ties by id."""
        context = request.context
        share = self.popularity.shares(context.workflow_type, context.mode)
        return sorted(request.candidates, key=lambda recipe: (-share(recipe.id), recipe.id))


class RepeatPlanner:
    """The newest recent plan again, each recipe once; what is no longer admissible gives way to another planner's choice."""

    name = "repeat_previous"

    def __init__(self, otherwise: HeuristicPlanner | PopularityPlanner | None = None) -> None:
        self.otherwise = otherwise or HeuristicPlanner()

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        """The previous plan, completed."""
        return [propose(self.ranking(request), request) for request in requests]

    def ranking(self, request: Request) -> list[Recipe]:
        """What was eaten last, in the week's order, then the other planner's ranking."""
        context, known = request.context, {recipe.id: recipe for recipe in request.candidates}
        newest = context.recent_plans[0] if context.recent_plans else context.previous_plan
        again = [known[key] for key in (newest.recipe_ids if newest else ()) if key in known]
        return list(dict.fromkeys((*again, *self.otherwise.ranking(request))))


def _recency(request: Request) -> dict[str, float]:
    """1 for what stood in the newest recent plan, one half for the plan before, and so on; the newest counts."""
    eaten: dict[str, float] = {}
    for age, plan in enumerate(request.context.recent_plans):
        for recipe_id in plan.recipe_ids:
            eaten.setdefault(recipe_id, 0.5**age)
    return eaten


def _share_met(recipe: Recipe, liked: set[str]) -> float:
    return len(liked & {recipe.cuisine, recipe.main_protein, *recipe.tags}) / len(liked) if liked else 0.0


def _share_in_stock(facts: kitchen.Kitchen, recipe: Recipe, stock: dict[str, float], size: int) -> float:
    needs = facts.needs[recipe.id]
    covered = 0.0
    for name in needs.bought & stock.keys():
        needed = needs.per_serving[name] * size
        covered += facts.shelf_weight(name) * (min(1.0, stock[name] / needed) if needed else 1.0)
    return covered / len(needs.bought) if needs.bought else 0.0
