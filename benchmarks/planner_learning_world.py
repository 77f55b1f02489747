"""The simulated app that the planner's model is to learn: its weekly datasets, its recipes, and its tastes.

Built by the planner's own assets from a simulated log, as every other dataset is. Which rows are trained on and which are
held out stands here too: households by the dataset's own split, weeks by time. What does not belong here: any planner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.embedded import START, platform, quiet
from benchmarks.measure import BenchmarkError
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import recipes
from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.plan_documents import read_context, read_plan
from platform_assets.planner.plans import Plan, Request

WEEKS, TRAINED_WEEKS = 9, 4
TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class Row:
    """One accepted plan of the evaluated week."""

    household_id: str
    request: Request
    accepted: Plan


@dataclass(frozen=True)
class World:
    """Where the app's data lie; `weeks` are the dataset files by date."""

    folder: Path
    weeks: tuple[Path, ...]
    recipes: Path
    truth: Path

    @cached_property
    def catalogue(self) -> Catalogue:
        """All versions of all recipes."""
        return Catalogue.read(self.recipes)

    @property
    def trained(self) -> tuple[Path, ...]:
        """The trailing weeks before the evaluated one."""
        return self.weeks[-1 - TRAINED_WEEKS : -1]

    def training_rows(self) -> list[dict[str, Any]]:
        """Rows of the trailing weeks, of the households that are trained on."""
        return [row for path in self.trained for row in _read(path, TRAIN)]

    def held_out(self) -> list[Row]:
        """Rows of the week after them, of households that no training saw."""
        return [_row(each, self.catalogue) for each in _read(self.weeks[-1], VALIDATION)]

    def tastes(self) -> tuple[Mapping[str, int], np.ndarray]:
        """Household -> row, and the (H, R) utility of each recipe, by id, that the simulator planted."""
        tastes = pq.read_table(self.truth / "tastes.parquet").to_pydict()
        attributes = pq.read_table(self.truth / "recipe_attributes.parquet").to_pydict()
        order = np.argsort(attributes["recipe_id"])
        names = [name for name in attributes if name != "recipe_id"]
        utility = np.array([tastes[name] for name in names]).T @ np.array([attributes[name] for name in names])
        return {str(key): row for row, key in enumerate(tastes["household_id"])}, utility[:, order]


def build_world(folder: Path, households: int) -> World:
    """Simulate the app and build its days and weeks; some minutes for twenty thousand households."""
    from platform_assets.orchestration import partitions
    from platform_assets.orchestration.local_runs import run_range

    with platform(folder, 7 * WEEKS) as app:
        app.simulate(households, WEEKS)
        days = partitions.planner_daily(app.settings).get_partition_keys()
        weeks = partitions.planner_weekly(app.settings).get_partition_keys()
        definitions = app.definitions()
        with app.instance(folder / "instance") as instance, quiet():
            run_range(definitions, "planner_days", days[0], days[-1], instance)
            run_range(definitions, "planner_weeks", weeks[0], weeks[-1], instance)
        end = datetime.combine(START, datetime.min.time(), UTC) + timedelta(weeks=WEEKS)
        found = recipes.extract(Warehouse(app.source_url), end, folder)
    lake = Path(app.settings.lake_url, "datasets", "planner")
    files = tuple(sorted(lake.glob("*/training.parquet")))
    if len(files) != WEEKS:
        raise BenchmarkError(f"planner_learning: {len(files)} weekly datasets were built, not {WEEKS}")
    return World(folder, files, found.path, app.settings.home / "simulated")


def _read(path: Path, split: str) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=2_000):
            yield from (row for row in batch.to_pylist() if row["metadata"]["split"] == split)


def _row(row: Mapping[str, Any], catalogue: Catalogue) -> Row:
    facts = row["metadata"]
    context = read_context(row["input"])
    request = Request(context, catalogue.as_of(facts["timestamp"]))
    return Row(context.household.id, request, read_plan(row["target"]["accepted_plan"]))
