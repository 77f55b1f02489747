"""A simulated world: the tables of the meal app and its event log, in chunks of households or as a whole.

What does not belong here: writing to a database (`load`). Chunks are drawn from (seed, chunk) alone, so that the same
scenario gives the same rows however many of them are in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app import experiment, faults, truth
from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.diary import Diary
from platform_assets.simulators.meal_app.events import build_events
from platform_assets.simulators.meal_app.household_rows import household_rows
from platform_assets.simulators.meal_app.households import draw_population
from platform_assets.simulators.meal_app.invented_recipes import invent_recipes
from platform_assets.simulators.meal_app.real_recipes import read_recipes
from platform_assets.simulators.meal_app.scenario import Scenario


@dataclass(frozen=True)
class World:
    """Tables by qualified name, with the database's columns (JSON as text), and the truth about them."""

    tables: dict[str, pa.Table]
    ground_truth: pa.Table
    """One row per planted fault; see truth.SCHEMA."""
    tastes: pa.Table
    """household_id and one column per attribute."""
    recipe_attributes: pa.Table
    """recipe_id and the same columns; a household's utility of a recipe is the dot product."""

    @property
    def event_count(self) -> int:
        """Rows of exp.events."""
        return self.tables["exp.events"].num_rows


class Source:
    """Draws a scenario's chunks; the catalogue and everything else they share is drawn once."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    @property
    def chunks(self) -> int:
        """How many chunks the scenario has."""
        return -(-self.scenario.households // self.scenario.chunk_households)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The recipes: the given file's, or invented ones."""
        if self.scenario.recipes_file is not None:
            return Catalogue(read_recipes(self.scenario.recipes_file))
        return Catalogue(invent_recipes(np.random.default_rng([self.scenario.seed, 1])))

    @cached_property
    def popularity(self) -> np.ndarray:
        """(R,) what the logging policy prefers."""
        return self.catalogue.popularity(np.random.default_rng([self.scenario.seed, 2]))

    def draw(self, chunk: int) -> World:
        """The chunk's world; chunk 0 also holds the recipes, the experiment and the empty days."""
        scenario, size = self.scenario, self.scenario.chunk_households
        rng = np.random.default_rng([scenario.seed, 4, chunk])
        people = draw_population(rng, scenario, self.catalogue, min(size, scenario.households - chunk * size))
        diary = Diary(rng, scenario, self.catalogue, self.popularity, people)
        plans = diary.live()
        variant = experiment.assign(people)
        log = build_events(rng, scenario, self.catalogue, people, plans, experiment.arms(variant))
        snapshots = diary.pantries.table(rng, people.ids)
        events, snapshots, planted = faults.plant(rng, scenario, log, plans, snapshots, diary.pantries.owners)
        tables = self._shared() if chunk == 0 else {}
        tables |= household_rows(self.catalogue, people)
        tables["exp.assignments"] = experiment.assignment_rows(rng, scenario, people, variant)
        tables |= {"public.pantry_snapshots": snapshots, "exp.events": events}
        if chunk == 0:
            planted = pa.concat_tables([planted, truth.empty_day_rows(faults.draw_empty_days(scenario))])
        tastes = truth.taste_rows(self.catalogue, people)
        return World(tables, planted, tastes, truth.attribute_rows(self.catalogue))

    def _shared(self) -> dict[str, pa.Table]:
        rng = np.random.default_rng([self.scenario.seed, 5])
        recipes = self.catalogue.table(rng, self.scenario)
        return {**experiment.experiment_rows(self.scenario), "public.recipes": recipes}


def stream(scenario: Scenario) -> Iterator[World]:
    """The scenario's chunks, one at a time: memory stays bounded for any number of households."""
    source = Source(scenario)
    for chunk in range(source.chunks):
        yield source.draw(chunk)


def simulate(scenario: Scenario) -> World:
    """The whole scenario in memory."""
    parts = list(stream(scenario))
    tables = {
        name: pa.concat_tables([part.tables[name] for part in parts if name in part.tables]) for name in parts[0].tables
    }
    return World(
        tables,
        pa.concat_tables([part.ground_truth for part in parts]),
        pa.concat_tables([part.tastes for part in parts]),
        parts[0].recipe_attributes,
    )
