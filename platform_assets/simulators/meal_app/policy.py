"""The logging policy: the heuristic planner that is policy version 0. It does not know the tastes.

It reads constraints, a popularity it was given, and its own memory of what it planned lately. A share of its plans is
drawn uniformly instead: those tell what people like without the policy having chosen it.

Propensity of a uniform plan, as logged: 1/M, with M the household's admissible recipes at the time. Meals are drawn without
replacement, so by symmetry each slot holds each admissible recipe with probability 1/M; the whole ordered plan of n
meals has the probability (M - n)! / M!.
A recipe is admissible when it fits diets, exclusions and time, and its price for the household is within the budget's
n-th part: then any n of them are within the budget, and uniform draws need no rejection.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.households import Population, admissible
from platform_assets.simulators.meal_app.scenario import RANDOMISED_MARGIN

ROTATION = 2.0
FEWEST_MEALS = 3
BLOCKED = np.float32(-1e9)
SMALLEST = np.float32(1e-30)  # keeps the logarithm of an exponential draw of exactly 0 finite


@dataclass(frozen=True)
class Drafts:
    """n drawn plans as (n, 7) recipe positions by day, -1 for a day without a meal, and what they were drawn under."""

    rows: np.ndarray
    recipes: np.ndarray
    servings: np.ndarray
    budget: np.ndarray
    allowed: np.ndarray
    admissible_count: np.ndarray
    randomised: np.ndarray

    def take(self, chosen: np.ndarray) -> Drafts:
        """Only the chosen plans; `chosen` is a mask."""
        return Drafts(*(getattr(self, each.name)[chosen] for each in fields(self)))


def draw_plans(
    rng: np.random.Generator, catalogue: Catalogue, people: Population, preference: np.ndarray, rows: np.ndarray,
    moments: np.ndarray, meals: np.ndarray, share: float,
) -> Drafts:  # fmt: skip
    """Plans for the households `rows` at their moments; households that cannot be served are left out.

    `preference` (n, R) is popularity less what was planned lately; `meals` (n,) the wanted number of meals.
    """
    profile, limits = people.profile.as_of(rows, moments), people.constraints.as_of(rows, moments)
    fits = admissible(catalogue, profile["diets"], limits["excluded"], limits["max_prep"])
    meals, allowed = _within_budget(catalogue, fits, profile["size"], limits["budget"], meals)
    count = allowed.sum(axis=1)
    randomised = _choose_exactly(rng, len(rows), share)
    keys = np.where(randomised[:, None], np.float32(0), preference) + gumbel(rng, allowed.shape)
    recipes = _spread(rng, top(np.where(allowed, keys, BLOCKED), 7), meals)
    served = count >= meals
    servings = np.where(recipes >= 0, profile["size"][:, None], 0)
    drafts = Drafts(rows, recipes, servings, limits["budget"], allowed, count, randomised)
    return drafts if served.all() else drafts.take(served)


def gumbel(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Gumbel noise: the greatest of log-weights with it is a draw by weight, the greatest n a draw without replacement."""
    return -np.log(rng.standard_exponential(shape, np.float32) + SMALLEST)


def top(keys: np.ndarray, count: int) -> np.ndarray:
    """(n, count) positions of each row's greatest keys, best first; with Gumbel noise in the keys, a sample."""
    chosen = np.argpartition(keys, -count, axis=1)[:, -count:]
    order = np.argsort(-np.take_along_axis(keys, chosen, axis=1), axis=1)
    return np.take_along_axis(chosen, order, axis=1)


def _within_budget(
    catalogue: Catalogue, fits: np.ndarray, size: np.ndarray, budget: np.ndarray, meals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Meals and (n, R) admissible recipes; who has too few recipes at its price gets fewer, dearer meals."""
    price = catalogue.cost * size[:, None]
    allowed = fits & (price <= (budget / meals)[:, None])
    meals = np.where(allowed.sum(axis=1) < meals, FEWEST_MEALS, meals)
    return meals, fits & (price <= (budget / meals)[:, None])


def _choose_exactly(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """(count,) exactly the share, rounded up, is true: a coin per plan would often log less than was asked for."""
    chosen = np.zeros(count, bool)
    wanted = min(count, int(np.ceil(share * RANDOMISED_MARGIN * count)))
    chosen[rng.permutation(count)[:wanted]] = True
    return chosen


def _spread(rng: np.random.Generator, ranked: np.ndarray, meals: np.ndarray) -> np.ndarray:
    """(n, 7) the first `meals` ranked recipes on random, different days; -1 elsewhere."""
    kept = np.where(np.arange(7) < meals[:, None], ranked, -1)
    days = np.argsort(rng.random(ranked.shape), axis=1)
    plan = np.empty_like(kept)
    np.put_along_axis(plan, days, kept, axis=1)
    return plan
