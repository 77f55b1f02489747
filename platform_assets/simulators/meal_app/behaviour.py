"""What people do with a plan: accept, reject or ignore it, and edit it towards their tastes first.

Every edit touches its own day, so the accepted plan is the generated one after its edits, in any order. People swap and
add only what the app offers, the admissible recipes, and stay within the budget.
Legend: n plans, 7 days, R recipes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.meal_app.catalogue import Catalogue, as_bits
from platform_assets.simulators.meal_app.policy import BLOCKED, FEWEST_MEALS, Drafts, gumbel, top
from platform_assets.simulators.meal_app.scenario import DAY, HOUR, MINUTE

IGNORED, ACCEPTED, REJECTED = 0, 1, 2
KEEP, SWAP, ADJUST, REMOVE, ADD = 0, 1, 2, 3, 4
LONGEST_DECISION = int(4.5 * DAY)
TASTE_WEIGHT, PANTRY_WEIGHT = 1.5, 0.8
SWAP_BY_MODE = np.array([0.5, 0.75, 0.6])
ADJUST_SHARE, REMOVE_SHARE, ADD_SHARE = 0.10, 0.07, 0.07


@dataclass(frozen=True)
class Outcome:
    """What became of each plan, and microseconds from generation until then."""

    kind: np.ndarray
    delay: np.ndarray


@dataclass(frozen=True)
class Edited:
    """(n, 7) recipes and servings after the edits, and the kind of edit on each day."""

    recipes: np.ndarray
    servings: np.ndarray
    edits: np.ndarray


def decide(rng: np.random.Generator, utility: np.ndarray, drafts: Drafts, eagerness: float) -> Outcome:
    """The better a plan fits the taste, the likelier it is accepted; who does not accept mostly rejects."""
    planned = drafts.recipes >= 0
    liking = _of_meals(utility, drafts.recipes).sum(axis=1) / planned.sum(axis=1)
    accepted = rng.random(len(liking)) < _logistic(eagerness + 1.2 * liking)
    rejected = ~accepted & (rng.random(len(liking)) < 0.75)
    slow = np.clip(rng.lognormal(np.log(3 * HOUR), 1.6, len(liking)), 3 * MINUTE, LONGEST_DECISION)
    quick = rng.uniform(MINUTE, 30 * MINUTE, len(liking))
    kind = np.where(accepted, ACCEPTED, np.where(rejected, REJECTED, IGNORED))
    return Outcome(kind, np.where(accepted, slow, quick).astype(np.int64))


def edit(
    rng: np.random.Generator, catalogue: Catalogue, utility: np.ndarray, stock: np.ndarray, drafts: Drafts,
    mode: np.ndarray,
) -> Edited:  # fmt: skip
    """The plans after their households edited them; utility (n, R), stock (n, I)."""
    wanted, offered = _wanted_instead(rng, catalogue, utility, stock, drafts)
    recipes, servings, edits = drafts.recipes.copy(), drafts.servings.copy(), np.zeros(drafts.recipes.shape, np.int8)
    liking = _of_meals(utility, recipes)
    disliked = rng.random(recipes.shape) < SWAP_BY_MODE[mode][:, None] * _logistic(-0.8 - 1.6 * liking)
    _swap(recipes, edits, disliked & (recipes >= 0), wanted, offered)
    _adjust(rng, catalogue, recipes, servings, edits, drafts.budget)
    _remove(rng, recipes, servings, edits, liking)
    _add(rng, catalogue, recipes, servings, edits, drafts, wanted, offered)
    return Edited(recipes, servings, edits)


def _wanted_instead(
    rng: np.random.Generator, catalogue: Catalogue, utility: np.ndarray, stock: np.ndarray, drafts: Drafts
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8) recipes not in the plan that the household would rather eat, best first, and whether each is real."""
    shared = np.bitwise_count(as_bits(stock > 0)[:, None] & catalogue.need_bits)
    in_pantry = shared / np.maximum(np.bitwise_count(catalogue.need_bits), 1).astype(np.float32)
    keys = TASTE_WEIGHT * utility + PANTRY_WEIGHT * in_pantry + gumbel(rng, utility.shape)
    offered = drafts.allowed.copy()
    plan, day = np.nonzero(drafts.recipes >= 0)
    offered[plan, drafts.recipes[plan, day]] = False
    keys = np.where(offered, keys, BLOCKED)
    wanted = top(keys, 8)
    return wanted, np.take_along_axis(offered, wanted, axis=1)


def _swap(
    recipes: np.ndarray, edits: np.ndarray, disliked: np.ndarray, wanted: np.ndarray, offered: np.ndarray
) -> None:
    plan, day = np.nonzero(disliked)
    turn = (np.cumsum(disliked, axis=1) - 1)[plan, day]
    real = offered[plan, turn]
    plan, day, turn = plan[real], day[real], turn[real]
    recipes[plan, day], edits[plan, day] = wanted[plan, turn], SWAP


def _adjust(
    rng: np.random.Generator, catalogue: Catalogue, recipes: np.ndarray, servings: np.ndarray, edits: np.ndarray,
    budget: np.ndarray,
) -> None:  # fmt: skip
    """Guests: one or two more servings of a meal that was not swapped, where the budget allows it."""
    plan, day = _pick_days(rng, (recipes >= 0) & (edits == KEEP), ADJUST_SHARE)
    more = rng.integers(1, 3, len(plan))
    extra = catalogue.cost[recipes[plan, day]] * more
    fits = _price(catalogue, recipes, servings)[plan] + extra <= budget[plan]
    plan, day = plan[fits], day[fits]
    servings[plan, day] += more[fits]
    edits[plan, day] = ADJUST


def _remove(
    rng: np.random.Generator, recipes: np.ndarray, servings: np.ndarray, edits: np.ndarray, liking: np.ndarray
) -> None:
    """Out this week: the least liked untouched meal goes, unless few would be left."""
    untouched = (recipes >= 0) & (edits == KEEP)
    leaves = (rng.random(len(recipes)) < REMOVE_SHARE) & untouched.any(axis=1)
    plan = np.nonzero(leaves & ((recipes >= 0).sum(axis=1) > FEWEST_MEALS))[0]
    day = np.argmin(np.where(untouched, liking, np.inf), axis=1)[plan]
    recipes[plan, day], servings[plan, day], edits[plan, day] = -1, 0, REMOVE


def _add(
    rng: np.random.Generator, catalogue: Catalogue, recipes: np.ndarray, servings: np.ndarray, edits: np.ndarray,
    drafts: Drafts, wanted: np.ndarray, offered: np.ndarray,
) -> None:  # fmt: skip
    """One more meal on a free day, where the budget allows it: the best that no swap brought in."""
    plan, day = _pick_days(rng, (recipes < 0) & (edits == KEEP), ADD_SHARE)
    turn = (edits == SWAP).sum(axis=1)[plan]
    recipe, size = wanted[plan, turn], drafts.servings.max(axis=1)[plan]
    price = _price(catalogue, recipes, servings)[plan] + catalogue.cost[recipe] * size
    fits = (price <= drafts.budget[plan]) & offered[plan, turn]
    plan, day = plan[fits], day[fits]
    recipes[plan, day], servings[plan, day], edits[plan, day] = recipe[fits], size[fits], ADD


def _pick_days(rng: np.random.Generator, possible: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """For about `share` of the plans, one random possible day."""
    chosen = (rng.random(len(possible)) < share) & possible.any(axis=1)
    day = np.argmax(np.where(possible, rng.random(possible.shape), -1), axis=1)
    plan = np.nonzero(chosen)[0]
    return plan, day[plan]


def _price(catalogue: Catalogue, recipes: np.ndarray, servings: np.ndarray) -> np.ndarray:
    return (np.where(recipes >= 0, catalogue.cost[recipes], 0.0).astype(np.float64) * servings).sum(axis=1)


def _of_meals(utility: np.ndarray, recipes: np.ndarray) -> np.ndarray:
    """(n, 7) the household's utility of each meal, 0 for a day without one."""
    return np.where(recipes >= 0, np.take_along_axis(utility, np.maximum(recipes, 0), axis=1), 0)


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))
