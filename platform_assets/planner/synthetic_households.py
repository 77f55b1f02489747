"""Invented households over a catalogue, with what they ate and what they want next: what the tiny model learns from first.

Every household is its own world: how strong its taste is, how much it follows fashion, keeps to or avoids what it ate
lately, and uses up its pantry are drawn anew from wide ranges, so that nothing about real logs is presumed. Tastes weigh
what the catalogue says of recipes. No event, dataset row or person enters. What does not belong here: prompts, tokens,
training (`planner.tiny`).
Legend: n households, R recipes, A attributes, I ingredients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from platform_assets.planner.plans import (
    DAYS,
    MOST_MEALS,
    Constraints,
    Household,
    InputContext,
    Meal,
    Plan,
    Quantity,
    Recipe,
)  # fmt: skip

PAST_PLANS = 4
WORKFLOWS = ("plan-first", "meal-first", "pantry-first")
MODES = ("autopilot", "exploratory", "constrained")
CONTINENTS, QUARTERS = ("eu", "us", "ap"), ("north", "south", "east", "west", "central")
BLOCKED = -1e9


class Task(NamedTuple):
    """A request, and the recipes that the household wants; their order means nothing."""

    context: InputContext
    wanted: tuple[str, ...]


@dataclass(frozen=True)
class Attributes:
    """A catalogue as arrays; recipes by id."""

    recipes: tuple[Recipe, ...]

    @classmethod
    def of(cls, recipes: Mapping[str, Recipe]) -> Attributes:
        """From id -> recipe."""
        return cls(tuple(recipes[key] for key in sorted(recipes)))

    @cached_property
    def groups(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Kind -> its names and the (R, A) matrix of which recipe has which: what tastes weigh and embeddings share."""
        kinds: dict[str, list[Sequence[str]]] = {
            "cuisine": [(each.cuisine,) for each in self.recipes],
            "protein": [(each.main_protein,) for each in self.recipes],
            "tag": [each.tags for each in self.recipes],
            "ingredient": [[item.name for item in each.ingredients if not item.staple] for each in self.recipes],
        }
        return {kind: _presence(rows) for kind, rows in kinds.items()}

    @cached_property
    def price(self) -> np.ndarray:
        """(R,) per serving."""
        return np.array([each.cost_per_serving for each in self.recipes])

    @cached_property
    def minutes(self) -> np.ndarray:
        """(R,) preparation time."""
        return np.array([each.prep_time_min for each in self.recipes])

    @cached_property
    def diets(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and the (R, .) matrix of which recipe fits which diet."""
        return _presence([each.diets for each in self.recipes])

    @cached_property
    def excludable(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names and the (R, .) matrix of which recipe holds which allergen or ingredient."""
        return _presence([[*each.allergens, *(item.name for item in each.ingredients)] for each in self.recipes])

    def __len__(self) -> int:
        return len(self.recipes)


@dataclass(frozen=True)
class Drawn:
    """n households as arrays. `plans` (n, 5, 7) are positions of recipes, -1 for none, the wanted plan last."""

    liking: np.ndarray
    allowed: np.ndarray
    size: np.ndarray
    diet: np.ndarray
    excluded: np.ndarray
    minutes: np.ndarray
    budget: np.ndarray
    stock: np.ndarray
    plans: np.ndarray


def synthetic_tasks(rng: np.random.Generator, attributes: Attributes, count: int) -> Iterator[Task]:
    """`count` fresh households, each with one request; who may eat too little of the catalogue is left out."""
    given = 0
    while given < count:
        drawn = _draw(rng, attributes, max(64, count))
        for row in np.flatnonzero((drawn.plans[:, -1] >= 0).any(axis=1))[: count - given]:
            yield _task(rng, attributes, drawn, int(row))
            given += 1


def _draw(rng: np.random.Generator, attributes: Attributes, count: int) -> Drawn:
    liking, utility = _draw_tastes(rng, attributes, count)
    size, diet, excluded, minutes, allowed = _draw_rules(rng, attributes, count)
    stock = rng.random((count, len(attributes.groups["ingredient"][0]))) < rng.uniform(0, 0.5, (count, 1)) ** 1.5
    fewest = rng.uniform(0.5, 1.6, count) * np.quantile(attributes.price, 0.9) * size * MOST_MEALS
    allowed &= attributes.price * size[:, None] <= fewest[:, None] / MOST_MEALS
    plans = _live(rng, attributes, utility, stock, allowed)
    return Drawn(liking, allowed, size, diet, excluded, minutes, np.ceil(fewest), stock, plans)


def _draw_tastes(rng: np.random.Generator, attributes: Attributes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, A') what is liked of the namable attributes, and (n, R) utility with mean 0 and deviation 1."""
    likings, utility = [], np.zeros((count, len(attributes)))
    for kind, (names, matrix) in attributes.groups.items():
        share = rng.uniform(0, 1.0 if kind != "ingredient" else 0.5, (count, 1))
        liking = share * rng.standard_normal((count, len(names)))
        utility += liking @ (matrix - matrix.mean(axis=0)).T
        likings += [liking] if kind != "ingredient" else []
    utility += rng.uniform(0, 0.4, (count, 1)) * rng.standard_normal(utility.shape)
    spread = np.maximum(utility.std(axis=1, keepdims=True), 1e-6)
    return np.concatenate(likings, axis=1), (utility - utility.mean(axis=1, keepdims=True)) / spread


def _draw_rules(rng: np.random.Generator, attributes: Attributes, count: int) -> tuple[np.ndarray, ...]:
    """(n,) size, diet (-1 for none), excluded (-1), minutes, and the (n, R) recipes that keep the rules."""
    size = rng.integers(1, 7, count)
    diet = np.where(rng.random(count) < 0.35, rng.integers(0, max(1, len(attributes.diets[0])), count), -1)
    excluded = np.where(rng.random(count) < 0.35, rng.integers(0, max(1, len(attributes.excludable[0])), count), -1)
    minutes = rng.choice([20, 30, 40, 45, 60, 75, 90, 120, 180, 240], count)
    fits = np.concatenate([attributes.diets[1].T, np.ones((1, len(attributes)))])[diet] > 0
    clean = np.concatenate([attributes.excludable[1].T, np.zeros((1, len(attributes)))])[excluded] == 0
    return size, diet, excluded, minutes, fits & clean & (attributes.minutes <= minutes[:, None])


def _live(
    rng: np.random.Generator, attributes: Attributes, utility: np.ndarray, stock: np.ndarray, allowed: np.ndarray
) -> np.ndarray:
    """(n, 5, 7) plans, one after the other. Habit may be negative: some avoid what they ate lately."""
    count = len(utility)
    fashion = rng.uniform(0, 1.5, (count, 1)) * rng.standard_normal(utility.shape)
    need = attributes.groups["ingredient"][1]
    pantry = (stock @ need.T) / np.maximum(need.sum(axis=1), 1)
    wanted = rng.uniform(0, 3, (count, 1)) * utility + fashion * rng.uniform(0, 1, (count, 1))
    habit, fade = rng.uniform(-2.5, 4, (count, 1)), rng.uniform(0.2, 1, (count, 1))
    offered = rng.uniform(0, 0.9, (count, 1))
    usual = rng.integers(2, MOST_MEALS + 1, count)
    varies = rng.uniform(0, 0.6, count)
    lately, plans = np.zeros(utility.shape), []
    for week in range(PAST_PLANS + 1):
        last = rng.uniform(0, 2, (count, 1)) * pantry if week == PAST_PLANS else 0
        meals = np.where(rng.random(count) < varies, rng.integers(1, MOST_MEALS + 1, count), usual)
        # A slot is the household's own wish, or what it was offered and did not mind: fashion alone.
        own = wanted + habit * lately + last
        plan = _pick(rng, own, fashion + np.minimum(habit, 0) * lately, offered, allowed, meals)
        lately = lately * fade
        np.add.at(lately, (np.nonzero(plan >= 0)[0], plan[plan >= 0]), 1)
        plans.append(plan)
    return np.stack(plans, axis=1)


def _pick(
    rng: np.random.Generator, own: np.ndarray, other: np.ndarray, offered: np.ndarray, allowed: np.ndarray,
    meals: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(n, 7) different allowed recipes: each slot drawn by one of two log-weights, without replacement."""
    rows, chosen = np.arange(len(own)), np.full((len(own), MOST_MEALS), -1)
    noise = rng.gumbel(size=own.shape)
    mine, theirs = np.where(allowed, own + noise, BLOCKED), np.where(allowed, other + noise, BLOCKED)
    for slot in range(MOST_MEALS):
        best = np.where(rng.random(len(own)) < offered[:, 0], theirs.argmax(axis=1), mine.argmax(axis=1))
        real = (mine[rows, best] > BLOCKED) & (slot < meals)
        chosen[:, slot] = np.where(real, best, -1)
        mine[rows, best] = theirs[rows, best] = BLOCKED
    return chosen


def _task(rng: np.random.Generator, attributes: Attributes, drawn: Drawn, row: int) -> Task:
    size = int(drawn.size[row])
    ids = [[attributes.recipes[each].id for each in plan if each >= 0] for plan in drawn.plans[row]]
    shown = int(rng.choice(PAST_PLANS + 1, p=[0.05, 0.1, 0.15, 0.3, 0.4]))
    recent = tuple(_plan(each, size) for each in reversed(ids[PAST_PLANS - shown : PAST_PLANS]) if each)
    diet, excluded = drawn.diet[row], drawn.excluded[row]
    household = Household(
        "", size, _stated(rng, attributes, drawn.liking[row]),
        (attributes.diets[0][diet],) if diet >= 0 else (), _region(rng),
    )  # fmt: skip
    constraints = Constraints(
        float(drawn.budget[row]) if rng.random() < 0.9 else None,
        int(drawn.minutes[row]) if drawn.minutes[row] < 240 or rng.random() < 0.5 else None,
        (attributes.excludable[0][excluded],) if excluded >= 0 else (),
    )
    names = attributes.groups["ingredient"][0]
    pantry = tuple(Quantity(names[item], 1.0, "g") for item in np.flatnonzero(drawn.stock[row]))
    workflow, mode = WORKFLOWS[rng.integers(len(WORKFLOWS))], MODES[rng.integers(len(MODES))]
    context = InputContext(household, pantry, constraints, workflow, mode, recent[0] if recent else None, recent)
    return Task(context, tuple(ids[-1]))


def _stated(rng: np.random.Generator, attributes: Attributes, liking: np.ndarray) -> tuple[str, ...]:
    """Up to four of the attributes that the household likes most: a hint, rarely its very strongest alone."""
    names = [name for kind, (each, _) in attributes.groups.items() if kind != "ingredient" for name in each]
    strongest = np.argsort(-liking)[: rng.integers(2, 9)]
    picked = rng.permutation(strongest)[: rng.integers(0, 5)]
    return tuple(names[index] for index in sorted(picked))


def _region(rng: np.random.Generator) -> str | None:
    if rng.random() < 0.1:
        return None
    return f"{CONTINENTS[rng.integers(len(CONTINENTS))]}-{QUARTERS[rng.integers(len(QUARTERS))]}"


def _plan(recipe_ids: Sequence[str], size: int) -> Plan:
    return Plan(tuple(Meal(day, recipe_id, size) for day, recipe_id in zip(DAYS, recipe_ids, strict=False)))


def _presence(rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, the commonest first, and the (R, .) matrix of who has which."""
    count = Counter(name for row in rows for name in dict.fromkeys(row))
    names = tuple(sorted(count, key=lambda name: (-count[name], name)))
    matrix = np.array([[float(name in row) for name in names] for row in rows]).reshape(len(rows), len(names))
    return names, matrix
