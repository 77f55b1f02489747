"""The data of `benchmarks.planner_gate`: one app, two populations, and training weeks with planted faults.

Both populations are simulated into one database, so that the planner's assets build their days and weeks together. They
share the catalogue; what the app proposes and what people like was drawn anew for the second. Nobody's taste changes within
the simulator: the second population stands for the first one a while later. What does not belong here: models and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.embedded import START, Platform, platform, quiet
from benchmarks.measure import BenchmarkError
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import recipes
from platform_assets.planner.catalogue import Catalogue
from platform_assets.simulators import meal_app
from platform_assets.simulators.meal_app.world import Source

SEED, DRIFTED_SEED = 7, 8
# Four weeks of history, four that are trained on, and with the first, which is short, two that are evaluated.
WEEKS, TRAINED_WEEKS, EVALUATED_WEEKS = 9, 4, 2
# Both are in every chunk 0, but a database holds them once.
SHARED = ("exp.experiments", "exp.variants", "public.recipes")
Targets = Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Weeks:
    """The weekly datasets of one population: files training.parquet, oldest first."""

    files: tuple[Path, ...]

    @property
    def trained(self) -> tuple[Path, ...]:
        """The weeks that models are trained on."""
        return self.files[-TRAINED_WEEKS - EVALUATED_WEEKS : -EVALUATED_WEEKS]

    @property
    def evaluated(self) -> tuple[Path, ...]:
        """The weeks after them."""
        return self.files[-EVALUATED_WEEKS:]


@dataclass(frozen=True)
class World:
    """The two populations' weeks, and their recipes."""

    usual: Weeks
    drifted: Weeks
    recipes: Path

    @cached_property
    def catalogue(self) -> Catalogue:
        """All versions of all recipes."""
        return Catalogue.read(self.recipes)


def build_world(folder: Path, households: int) -> World:
    """Simulate both populations, of so many households each, and build their days and weeks; some minutes."""
    with platform(folder, 7 * WEEKS) as app:
        drifted = _simulate(app.source_url, households)
        files = _build_weeks(app, folder)
        end = datetime.combine(START, datetime.min.time(), UTC) + timedelta(weeks=WEEKS)
        found = recipes.extract(Warehouse(app.source_url), end, folder)
    sides = {name: Weeks(_part(files, folder / name, drifted, name == "drifted")) for name in ("usual", "drifted")}
    return World(sides["usual"], sides["drifted"], found.path)


def with_targets(weeks: Sequence[Path], folder: Path, change: Targets) -> tuple[Path, ...]:
    """The same weeks with other accepted plans: `change` is given the targets of one week at a time."""

    def changed(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("target")
        field = table.schema.field(place)
        return table.set_column(place, field, pa.array(change(table["target"].to_pylist()), field.type))

    return _rewrite(weeks, folder, changed)


def shuffled_between_rows(seed: int = 0) -> Targets:
    """Every accepted plan becomes that of a row drawn anew: popularity stays, what a household likes is lost."""
    random = np.random.default_rng(seed)
    return lambda targets: [targets[row] for row in random.permutation(len(targets))]


def shuffled_recipes(catalogue: Catalogue, seed: int = 0) -> Targets:
    """Every recipe becomes another one, the same everywhere: as when the ids of two exports are mixed up."""
    ids = sorted(catalogue.latest)
    other = dict(zip(ids, np.random.default_rng(seed).permutation(ids).tolist(), strict=True))

    def renamed(target: dict[str, Any]) -> dict[str, Any]:
        meals = target["accepted_plan"]["meals"]
        plan = {"meals": [{**meal, "recipe_id": other[meal["recipe_id"]]} for meal in meals]}
        return {**target, "accepted_plan": plan, "user_edits": []}

    return lambda targets: [renamed(target) for target in targets]


def _simulate(url: str, households: int) -> pa.Array:
    """Load both populations; returns the ids of the second one's households."""
    scenario = meal_app.Scenario(SEED, households, START, WEEKS)
    usual, drifted = Source(scenario), Source(replace(scenario, seed=DRIFTED_SEED))
    drifted.catalogue = usual.catalogue
    moved: list[pa.Array] = []

    def chunks() -> Iterator[meal_app.World]:
        yield from map(usual.draw, range(usual.chunks))
        for world in map(drifted.draw, range(drifted.chunks)):
            moved.extend(world.tastes["household_id"].chunks)
            yield replace(world, tables={name: rows for name, rows in world.tables.items() if name not in SHARED})

    meal_app.load(chunks(), url)
    return pa.concat_arrays(moved)


def _build_weeks(app: Platform, folder: Path) -> tuple[Path, ...]:
    from platform_assets.orchestration import partitions
    from platform_assets.orchestration.local_runs import run_range

    days = partitions.planner_daily(app.settings).get_partition_keys()
    weeks = partitions.planner_weekly(app.settings).get_partition_keys()
    definitions = app.definitions()
    with app.instance(folder / "instance") as instance, quiet():
        run_range(definitions, "planner_days", days[0], days[-1], instance)
        run_range(definitions, "planner_weeks", weeks[0], weeks[-1], instance)
    files = tuple(sorted(Path(app.settings.lake_url, "datasets", "planner").glob("*/training.parquet")))
    if len(files) != WEEKS:
        raise BenchmarkError(f"planner_gate: {len(files)} weekly datasets were built, not {WEEKS}")
    return files


def _part(files: Sequence[Path], folder: Path, drifted: pa.Array, wanted: bool) -> tuple[Path, ...]:
    """The rows of one population only."""

    def own(table: pa.Table) -> pa.Table:
        household = pc.struct_field(table["input"], ["household", "id"])  # pyright: ignore
        is_drifted = pc.is_in(household, drifted)  # pyright: ignore
        return table.filter(is_drifted if wanted else pc.invert(is_drifted))  # pyright: ignore

    return _rewrite(files, folder, own)


def _rewrite(files: Sequence[Path], folder: Path, change: Callable[[pa.Table], pa.Table]) -> tuple[Path, ...]:
    written = tuple(folder / file.parent.name / file.name for file in files)
    for file, target in zip(files, written, strict=True):
        target.parent.mkdir(parents=True)
        pq.write_table(change(pq.read_table(file)), target)
    return written
