"""A year of the planner, from nothing: an app of the demo's size is simulated, and every day and week is backfilled.

In range runs of 28 days, as a backfill from the UI makes them, one after the other in this process; the weeks in one run.
It takes many minutes and is run only by name. A last range much slower than the second would mean that a partition's
price grows with the calendar (the first has less to look back on). Afterwards one tick of each of the two sensors that look
at the whole calendar is timed: the late-data sensor's comparison, and the automation conditions.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.embedded import Platform, platform, quiet
from benchmarks.measure import BenchmarkError
from benchmarks.table import Line

if TYPE_CHECKING:
    import dagster as dg

DAYS, WEEKS = 365, 52
WEEKS_SIMULATED = 53  # the 365th day is the first of the 53rd week


def run(folder: Path) -> list[Line]:
    """One line."""
    from platform_assets.commands.demo import HOUSEHOLDS
    from platform_assets.orchestration import partitions

    with platform(folder, DAYS) as app:
        simulation = app.simulate(HOUSEHOLDS, WEEKS_SIMULATED)
        days = partitions.planner_daily(app.settings).get_partition_keys()
        weeks = partitions.planner_weekly(app.settings).get_partition_keys()
        if (len(days), len(weeks)) != (DAYS, WEEKS):
            raise BenchmarkError(f"year: the calendar has {len(days)} days and {len(weeks)} weeks")
        with app.instance(folder / "instance") as instance, quiet():
            stages = _backfill(app, instance, days, weeks)
            ticks = _tick(app, instance)
    return [_line(HOUSEHOLDS, simulation, stages), Line("year: one tick", _listed(ticks, "s"), "none")]


def _backfill(
    app: Platform, instance: dg.DagsterInstance, days: Sequence[str], weeks: Sequence[str]
) -> dict[str, list[float]]:
    """Seconds a partition, by job; the partitions of one range share their time."""
    from platform_assets.commands.demo import DAYS_A_RUN
    from platform_assets.orchestration.local_runs import run_range

    chunks = [days[i : i + DAYS_A_RUN] for i in range(0, len(days), DAYS_A_RUN)]
    ranges = [(job, chunk) for job in ("planner_extraction", "planner_enrichment") for chunk in chunks]
    stages: dict[str, list[float]] = {}
    definitions = app.definitions()
    for job, keys in [*ranges, ("planner_weeks", weeks)]:
        began = time.perf_counter()
        run_range(definitions, job, keys[0], keys[-1], instance)
        stages.setdefault(job, []).extend([(time.perf_counter() - began) / len(keys)] * len(keys))
    return stages


def _tick(app: Platform, instance: dg.DagsterInstance) -> dict[str, float]:
    """Seconds that sensors take over the finished year, in which nothing is left to do."""
    import dagster as dg

    from platform_assets.planner.assets import sensors

    resources, definitions = app.resources(), app.definitions()
    began = time.perf_counter()
    changed = sensors.changed_source_days(app.settings, resources["lake"], resources["source"])
    compared = time.perf_counter()
    dg.evaluate_automation_conditions(definitions, instance)
    if changed:
        raise BenchmarkError(f"year: published days differ from the source: {sorted(changed)[:3]}")
    return {"late data": compared - began, "automation conditions": time.perf_counter() - compared}


def _line(households: int, simulation: float, stages: Mapping[str, Sequence[float]]) -> Line:
    whole = simulation + sum(map(sum, stages.values()))
    minutes = {"simulation": simulation / 60, **{job: sum(seconds) / 60 for job, seconds in stages.items()}}
    # Ranges of 28 full days: the very last one is a single day, and would show what a run costs.
    growth = {job: seconds[-28] / seconds[28] for job, seconds in stages.items() if len(seconds) == DAYS}
    return Line(
        f"year: {DAYS} days, {WEEKS} weeks, {households} households",
        f"{whole / 60:.1f} min ({_listed(minutes, 'min')})",
        "none",
        f"last range / second: {_listed(growth, 'x')}",
    )


def _listed(figures: Mapping[str, float], unit: str) -> str:
    return ", ".join(f"{name} {figure:.2f} {unit}" for name, figure in figures.items())
