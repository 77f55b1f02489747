"""How much must be changed to make one plan of another: the cheapest edits, exactly.

Swapping a recipe, adding and removing a meal cost 1; moving a meal to another day and serving it to another number cost 0.5.
Meals are paired so that the sum is smallest. Pairing two meals never costs more than the 2 of removing one and adding the
other, so all meals of the shorter plan are paired, and an assignment of n times m costs finds the minimum.
"""

from __future__ import annotations

from dataclasses import dataclass

from platform_assets.planner.plans import Meal, Plan

# Half edits, so that all sums are whole numbers and exact.
_SWAP, _MOVE, _SERVE, _ADD = 2, 1, 1, 2


@dataclass(frozen=True, slots=True)
class Edits:
    """The cheapest edits: their cost, and the fewest edits that have it."""

    cost: float
    count: int


def edits_between(plan: Plan, other: Plan) -> Edits:
    """The cheapest edits that make `other` of `plan`; the same in both directions."""
    few, many = sorted((plan.meals, other.meals), key=len)
    unpaired = len(many) - len(few)
    # Cost decides, then the number of edits: a pair costs at most 4 half edits in at most 2 steps.
    base = 2 * len(few) + 1
    paired = _cheapest([[_pair(one, another, base) for another in many] for one in few])
    half_edits, count = divmod(paired, base)
    return Edits((half_edits + _ADD * unpaired) / 2, count + unpaired)


def edit_distance_score(plan: Plan, accepted: Plan) -> float:
    """1 - min(1, cost / n), n the meals of the longer plan; two empty plans have nothing to agree on and score 0."""
    longer = max(len(plan.meals), len(accepted.meals))
    return 1 - min(1.0, edits_between(plan, accepted).cost / longer) if longer else 0.0


def _pair(one: Meal, other: Meal, base: int) -> int:
    swapped, moved, served = one.recipe_id != other.recipe_id, one.day != other.day, one.servings != other.servings
    half_edits = _SWAP * swapped + _MOVE * moved + _SERVE * served
    return half_edits * base + min(2, swapped + moved + served)


def _cheapest(costs: list[list[int]]) -> int:
    """The smallest sum of costs over one-to-one pairings of rows with columns."""
    if not costs:
        return 0
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    matrix = np.array(costs, np.int64)
    return int(matrix[linear_sum_assignment(matrix)].sum())
