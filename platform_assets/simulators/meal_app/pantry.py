"""Pantries: filled by shopping for accepted plans, emptied by cooking them, photographed now and then.

A snapshot is taken shortly before most plans (what is left to use up) and after some shopping trips; a few reach the
database hours or days late. What does not belong here: plans, and malformed snapshots (`faults`).
Legend: H households, I ingredients, n rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.ingredients import INGREDIENTS
from platform_assets.simulators.meal_app.scenario import DAY, HOUR, MINUTE
from platform_assets.simulators.meal_app.text import draw_uuids, integers, join, join_groups, lookup, timestamps

PACKAGE = np.array([each.package for each in INGREDIENTS], np.int32)
PERISHABLE = np.array([each.perishable for each in INGREDIENTS])
STAPLE = np.array([each.staple for each in INGREDIENTS])
KEPT_A_WEEK = np.where(PERISHABLE, 0.4, 0.75)
BEFORE_PLAN_SHARE, AFTER_SHOPPING_SHARE, LATE_SHARE = 0.65, 0.25, 0.12
CRUMBS = 0.15  # of a package: less than that is eaten on the side, and nobody would list it


@dataclass
class Pantries:
    """H pantries: `stock` (H, I) in the ingredients' units, and the meals bought for but not cooked yet."""

    stock: np.ndarray
    uncooked: np.ndarray
    snapshots: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> Pantries:
        """Pantries as they are before the first week: more than they will hold once people cook."""
        there = (rng.random((count, len(INGREDIENTS))) < 0.26) & ~STAPLE
        stock = np.where(there, np.ceil(PACKAGE * rng.uniform(0.1, 1.0, there.shape)), 0).astype(np.int32)
        return cls(stock, np.zeros_like(stock))

    def cook_and_spoil(self, rng: np.random.Generator) -> None:
        """A week passes: what was bought for is eaten, and some of what is left spoils or is eaten otherwise."""
        self.stock = np.maximum(self.stock - self.uncooked, 0)
        self.stock[rng.random(self.stock.shape, np.float32) > KEPT_A_WEEK] = 0
        self.stock[self.stock < CRUMBS * PACKAGE] = 0
        self.uncooked[:] = 0

    def shop(self, catalogue: Catalogue, rows: np.ndarray, recipes: np.ndarray, servings: np.ndarray) -> None:
        """Households `rows` (each at most once) buy whole packages of what their (n, 7) plans need and they lack."""
        need = np.zeros((len(rows), len(INGREDIENTS)), np.float32)
        for day in range(recipes.shape[1]):  # a day without a meal has servings 0, so its recipe -1 adds nothing
            need += catalogue.need[recipes[:, day]] * servings[:, day, None].astype(np.float32)
        needed = np.ceil(need).astype(np.int32)
        missing = np.maximum(needed + self.uncooked[rows] - self.stock[rows], 0)
        self.stock[rows] += -(-missing // PACKAGE) * PACKAGE
        self.uncooked[rows] += needed

    def photograph(self, rows: np.ndarray, moments: np.ndarray, cooked: float = 0.0) -> None:
        """Record what households `rows` have at their moments, after cooking part of what they bought for."""
        items = self.stock[rows] - (self.uncooked[rows] * cooked).astype(np.int32)
        self.snapshots.append((rows, moments, np.maximum(items, 0)))

    @property
    def owners(self) -> np.ndarray:
        """(S,) the household of each snapshot, in the order of `table`."""
        return np.concatenate([each[0] for each in self.snapshots])

    def table(self, rng: np.random.Generator, ids: pa.StringArray) -> pa.Table:
        """Rows of public.pantry_snapshots."""
        rows = self.owners
        taken = np.concatenate([each[1] for each in self.snapshots])
        late = rng.random(len(rows)) < LATE_SHARE
        soon, later = rng.integers(MINUTE // 6, 10 * MINUTE, len(rows)), rng.integers(6 * HOUR, 6 * DAY, len(rows))
        return pa.table(
            {
                "id": draw_uuids(rng, len(rows)),
                "household_id": ids.take(pa.array(rows)),
                "snapshot_time": timestamps(taken),
                "recorded_at": timestamps(taken + np.where(late, later, soon)),
                "items": _items(np.concatenate([each[2] for each in self.snapshots])),
            }
        )


def _items(stock: np.ndarray) -> pa.StringArray:
    """Each row's ingredients in stock as a JSON list of {name, quantity, unit}."""
    row, ingredient = np.nonzero(stock)
    names = lookup([f'{{"name":"{each.name}","quantity":' for each in INGREDIENTS], ingredient)
    units = lookup([f',"unit":"{each.unit}"}}' for each in INGREDIENTS], ingredient)
    items = join(names, integers(stock[row, ingredient]), units)
    return join("[", join_groups(items, np.bincount(row, minlength=len(stock))), "]")
