"""The recipe catalogue as of a moment: which version of which recipe was known when a plan was made.

The as-of rule of every other version table: a version is visible iff valid_from <= T and recorded_at <= T, and the greatest
(valid_from, recorded_at) wins. What does not belong here: reading Postgres (`planner.sources`), using recipes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from platform_assets.planner.plan_documents import read_recipe
from platform_assets.planner.plans import PlanError, Recipe

RECIPES = "recipes.parquet"


class Catalogue:
    """All versions of all recipes; `as_of` is cheap, because few moments change anything."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._versions = sorted(
            (
                (max(row["valid_from"], row["recorded_at"]), row["valid_from"], row["recorded_at"], read_recipe(row))
                for row in rows
            ),
            key=lambda version: (*version[:3], version[3].id),
        )
        self._visible_from = [version[0] for version in self._versions]
        self._known: dict[int, Mapping[str, Recipe]] = {}

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """From recipes.parquet; raises PlanError when there is none."""
        import pyarrow.parquet as pq

        if not path.is_file():
            raise PlanError(
                f"there is no catalogue {path}: name the {RECIPES} or the week's folder that planner/recipes published"
            )
        return cls(pq.read_table(path).to_pylist())

    def as_of(self, moment: datetime) -> Mapping[str, Recipe]:
        """Id -> the version that counts at the moment."""
        count = bisect_right(self._visible_from, moment)
        if count not in self._known:
            newest: dict[str, tuple[tuple[datetime, datetime], Recipe]] = {}
            for _, valid_from, recorded_at, recipe in self._versions[:count]:
                known = newest.get(recipe.id)
                if known is None or (valid_from, recorded_at) > known[0]:
                    newest[recipe.id] = ((valid_from, recorded_at), recipe)
            self._known[count] = MappingProxyType({key: newest[key][1] for key in sorted(newest)})
        return self._known[count]

    @property
    def latest(self) -> Mapping[str, Recipe]:
        """Id -> the newest version of all, whenever it counts."""
        return self.as_of(max(self._visible_from)) if self._visible_from else {}

    @property
    def first(self) -> Mapping[str, Recipe]:
        """Id -> the version that was known first."""
        known: dict[str, Recipe] = {}
        for *_, recipe in self._versions:
            known.setdefault(recipe.id, recipe)
        return known
