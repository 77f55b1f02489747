"""The recipe catalogue: columns, and the matrices that policy and households read.

A catalogue is invented (`invented_recipes`) or read from real recipes (`real_recipes`); both give the same plain rows.
What does not belong here: who likes what. Legend: R recipes, K attributes, I ingredients.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app.ingredients import DIETS, EXCLUDABLE, INGREDIENTS, POSITION
from platform_assets.simulators.meal_app.scenario import DAY, DAY_NAMES, HOUR, Scenario, SimulatorError
from platform_assets.simulators.meal_app.text import json_text, timestamps

FEWEST_RECIPES = 30
REVISED_SHARE = 0.05
TAG_WEIGHT = 0.6


@dataclass(frozen=True)
class Recipe:
    """One dish; `ingredients` as in the database: {name, quantity, unit, staple, perishable}."""

    id: str
    title: str
    cuisine: str
    main_protein: str
    ingredients: list[dict]
    tags: list[str]
    allergens: list[str]
    diets: list[str]
    prep_time_min: int
    cost_per_serving: float
    servings: int


class Catalogue:
    """R recipes and what can be computed from them."""

    def __init__(self, recipes: list[Recipe]) -> None:
        if len(recipes) < FEWEST_RECIPES:
            raise SimulatorError(f"a catalogue needs {FEWEST_RECIPES} recipes or more, got {len(recipes)}")
        self.recipes = recipes

    def __len__(self) -> int:
        return len(self.recipes)

    @cached_property
    def quoted_ids(self) -> list[str]:
        """The R ids as JSON."""
        return [json_text(each.id) for each in self.recipes]

    @cached_property
    def meal_heads(self) -> pa.StringArray:
        """(7 R) a planned meal's JSON up to its servings, by day, then recipe."""
        heads = (f'{{"day":"{day}","recipe_id":{each},"servings":' for day in DAY_NAMES for each in self.quoted_ids)
        return pa.array(heads, pa.string())

    @cached_property
    def prep(self) -> np.ndarray:
        """(R,) minutes."""
        return np.array([each.prep_time_min for each in self.recipes], np.int32)

    @cached_property
    def cost(self) -> np.ndarray:
        """(R,) price per serving."""
        return np.array([each.cost_per_serving for each in self.recipes])

    @cached_property
    def diet_bits(self) -> np.ndarray:
        """(R,) bit i: fits DIETS[i]."""
        return np.array([bits(each.diets, DIETS) for each in self.recipes], np.int32)

    @cached_property
    def excludable_bits(self) -> np.ndarray:
        """(R,) bit i: contains EXCLUDABLE[i], an allergen or an ingredient."""
        names = ([*each.allergens, *(item["name"] for item in each.ingredients)] for each in self.recipes)
        return np.array([bits(each, EXCLUDABLE) for each in names], np.int32)

    @cached_property
    def need(self) -> np.ndarray:
        """(R, I) amount of each non-staple ingredient per serving, in the ingredient's unit."""
        need = np.zeros((len(self), len(INGREDIENTS)), np.float32)
        for row, recipe in enumerate(self.recipes):
            for item in recipe.ingredients:
                if not item["staple"]:
                    need[row, POSITION[item["name"]]] = item["quantity"] / recipe.servings
        return need

    @cached_property
    def need_bits(self) -> np.ndarray:
        """(R,) which non-staple ingredients a recipe needs, one bit each."""
        return as_bits(self.need > 0)

    @cached_property
    def attributes(self) -> tuple[tuple[str, ...], np.ndarray]:
        """K names and the (R, K) matrix that tastes weigh: cuisine, main protein, tags; every column has mean 0."""
        names, columns = [], []
        for name, values, weight in (
            ("cuisine", [[each.cuisine] for each in self.recipes], 1.0),
            ("protein", [[each.main_protein] for each in self.recipes], 1.0),
            ("tag", [each.tags for each in self.recipes], TAG_WEIGHT),
        ):
            common = Counter(value for row in values for value in row).most_common(12)
            names += [f"{name}:{value}" for value, _ in common]
            columns += [[weight * (value in row) for row in values] for value, _ in common]
        matrix = np.array(columns, np.float32).T
        return tuple(names), matrix - matrix.mean(axis=0)

    def popularity(self, rng: np.random.Generator) -> np.ndarray:
        """(R,) log-weights by which the app's planner prefers recipes; drawn apart from every taste."""
        return rng.normal(0, 0.8, len(self)).astype(np.float32)

    def table(self, rng: np.random.Generator, scenario: Scenario) -> pa.Table:
        """Rows of public.recipes: one version each, and a second one for a few.

        A revision only lowers the price (an offer): a plan within its budget under the old price stays within it.
        """
        count = len(self)
        valid = scenario.start_us - rng.integers(40 * DAY, 60 * DAY, count)
        revised = np.sort(rng.choice(count, max(1, int(count * REVISED_SHARE)), replace=False))
        revised_at = rng.integers(scenario.start_us, scenario.end_us, len(revised))
        late = rng.integers(HOUR, 5 * DAY, len(revised))
        rows = [_row(each, 1.0) for each in self.recipes] + [_row(self.recipes[i], 0.85) for i in revised]
        table = pa.Table.from_pylist(rows, schema=ROW_SCHEMA)
        valid, recorded = np.concatenate([valid, revised_at]), np.concatenate([valid + HOUR, revised_at + late])
        return table.append_column("valid_from", timestamps(valid)).append_column("recorded_at", timestamps(recorded))


ROW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("title", pa.string()),
        ("cuisine", pa.string()),
        ("main_protein", pa.string()),
        ("ingredients", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("allergens", pa.list_(pa.string())),
        ("diets", pa.list_(pa.string())),
        ("prep_time_min", pa.int32()),
        ("cost_per_serving", pa.float64()),
        ("servings", pa.int32()),
    ]
)


def as_bits(present: np.ndarray) -> np.ndarray:
    """(n, I) truth values as (n,) sets of 64 bits."""
    padded = np.zeros((len(present), 64), bool)
    padded[:, : present.shape[1]] = present
    return np.packbits(padded, axis=1).view(np.uint64)[:, 0]


def bits(names: list[str], vocabulary: tuple[str, ...]) -> int:
    """Bit i is set when vocabulary[i] is among the names."""
    present = set(names)
    return sum(1 << position for position, name in enumerate(vocabulary) if name in present)


def _row(recipe: Recipe, price: float) -> dict:
    return {
        **vars(recipe),
        "ingredients": json_text(recipe.ingredients),
        "cost_per_serving": round(recipe.cost_per_serving * price, 2),
    }
