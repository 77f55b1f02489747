"""Dagster's overhead: a 28-day range run of the planner, over the same work without a run.

Both sides run the bodies of the assets, on the same simulated app, in one process, each time into an empty lake, and must
publish the same digests. "Without" hands them a stand-in for Dagster's context: no run, no instance, no event. The overhead
is what a run takes beyond its work, per partition, split by where the time goes:

- events: storing run, step and materialisation events;
- checks: storing check evaluations, and looking up the materialisations they belong to;
- metadata: samples, schemas, lineage, plots;
- the rest: what Dagster does besides.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from benchmarks.embedded import Platform, platform, quiet
from benchmarks.measure import BenchmarkError
from benchmarks.table import Line

HOUSEHOLDS, WEEKS = 100, 4
TURNS = 3
STORAGES = ("sqlite", "postgres")
TARGET = 0.4
# The asset, the job that runs it alone, and the calendar.
ASSETS = (
    ("events", "planner_extraction", "days"),
    ("enriched_plans", "planner_enrichment", "days"),
    ("dataset", "planner_weeks", "weeks"),
)
PARTS = ("events", "checks", "metadata")


@dataclass
class Clock:
    """Seconds spent in each part; what one timed function spends inside another counts for the inner one alone."""

    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _inner: list[float] = field(default_factory=list)

    def timed(self, function: Callable[..., Any], part: Callable[..., str]) -> Callable[..., Any]:
        """The function, timed; `part` names the part from its arguments."""

        @wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                whole = time.perf_counter() - began
                self.spent[part(*arguments)] += whole - self._inner.pop()
                if self._inner:
                    self._inner[-1] += whole

        return run


@dataclass(frozen=True)
class Run:
    """One range: its wall seconds, those of each part, and the digests it published."""

    seconds: float
    parts: Mapping[str, float]
    digests: Mapping[str, str]


def run(folder: Path) -> list[Line]:
    """A line an asset and storage."""
    with platform(folder, 7 * WEEKS) as app:
        app.simulate(HOUSEHOLDS, WEEKS)
        return [line for storage in STORAGES for line in _compare(app, folder / storage, storage)]


def _compare(app: Platform, folder: Path, storage: str) -> Iterator[Line]:
    turns = []
    for turn in range(TURNS):
        without = _without_dagster(app.with_lake(folder / f"plain-{turn}"))
        with_it = _with_dagster(app.with_lake(folder / f"dagster-{turn}"), folder / f"instance-{turn}", storage)
        if any(without[name].digests != with_it[name].digests for name in without):
            raise BenchmarkError("dagster_overhead: the two ways published different digests")
        turns.append((without, with_it))
    for name, _, _ in ASSETS:
        yield _line(name, storage, [(without[name], with_it[name]) for without, with_it in turns])


def _line(name: str, storage: str, turns: Sequence[tuple[Run, Run]]) -> Line:
    partitions = len(turns[0][0].digests)
    work = [without.parts["work"] for without, _ in turns]
    # The work of the same run is taken off: two runs of it differ by more than the overhead on a busy machine.
    overhead = [(run.seconds - run.parts["work"]) / partitions for _, run in turns]
    split = {part: median(run.parts[part] / partitions for _, run in turns) for part in PARTS}
    found = median(overhead)
    shown = ", ".join(f"{part} {seconds:.3f}" for part, seconds in split.items())
    return Line(
        f"overhead: {name}, {partitions} partitions, {storage}",
        f"{found:.2f} s a partition ({shown}, rest {found - sum(split.values()):.3f})",
        f"{median(work) / partitions:.2f} s a partition (the work itself)",
        f"{median(run.seconds / plain for (_, run), plain in zip(turns, work, strict=True)):.2f}x the time",
        target=f"<= {TARGET} s",
        met=found <= TARGET,
    )


def _with_dagster(app: Platform, folder: Path, storage: str) -> dict[str, Run]:
    from platform_assets.orchestration.local_runs import run_range

    definitions, found = app.definitions(), {}
    with app.instance(folder, storage) as instance:
        for name, job, calendar in ASSETS:
            keys = _keys(app, calendar)
            with _timing() as clock, quiet():
                began = time.perf_counter()
                run_range(definitions, job, keys[0], keys[-1], instance)
                seconds = time.perf_counter() - began
            found[name] = Run(seconds, clock.spent, _digests(app, name, keys))
    return found


def _without_dagster(app: Platform) -> dict[str, Run]:
    import dagster as dg

    definitions, resources, found = app.definitions(), app.resources(), {}
    for name, _, calendar in ASSETS:
        keys, asset = _keys(app, calendar), dg.AssetKey(["planner", name])
        body: Any = definitions.resolve_assets_def(asset).op.compute_fn
        wanted = [each for each in signature(body.decorated_fn).parameters if each in resources]
        with _timing() as clock:
            began = time.perf_counter()
            for key in keys:
                list(body.decorated_fn(_stand_in(asset, key), **{each: resources[each] for each in wanted}))
            seconds = time.perf_counter() - began
        found[name] = Run(seconds, clock.spent, _digests(app, name, keys))
    return found


def _stand_in(asset: Any, key: str) -> Any:
    """What the assets' bodies use of a context, for a run over one partition."""
    run = SimpleNamespace(run_id=str(uuid4()), tags={}, job_name="without")
    return SimpleNamespace(
        partition_keys=[key], run=run, retry_number=0, log=logging.getLogger("benchmarks.without"), asset_key=asset
    )


@contextmanager
def _timing() -> Iterator[Clock]:
    """Times what the split names, wherever it is called from."""
    import dagster as dg

    from platform_assets.core import plots
    from platform_assets.orchestration import metadata, partitioned
    from platform_assets.planner import lineage

    clock = Clock()
    shown = [(metadata, name) for name in ("table_metadata", "image", "counts_markdown")]
    shown += [(lineage, "enriched_plans_lineage"), (lineage, "dataset_lineage"), (plots, "drift_plot")]
    targets = [(owner, name, lambda *_: "metadata") for owner, name in shown]
    targets += [(dg.DagsterInstance, "fetch_materializations", lambda *_: "checks")]
    targets += [(dg.DagsterInstance, "handle_new_event", _part_of_event)]
    original = partitioned.run_partitions

    def run_partitions(context: Any, produce: Any, declared: Any = ()) -> Any:
        return original(context, clock.timed(produce, lambda *_: "work"), declared)

    with ExitStack() as stack:
        stack.enter_context(patch.object(partitioned, "run_partitions", run_partitions))
        for owner, name, part in targets:
            stack.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), part)))
        yield clock


def _part_of_event(_: Any, event: Any) -> str:
    kind = event.dagster_event.event_type_value if event.dagster_event else ""
    return "checks" if kind.startswith("ASSET_CHECK") else "events"


def _keys(app: Platform, calendar: str) -> Sequence[str]:
    from platform_assets.orchestration import partitions

    of = partitions.planner_weekly if calendar == "weeks" else partitions.planner_daily
    return of(app.settings).get_partition_keys()


def _digests(app: Platform, name: str, keys: Sequence[str]) -> dict[str, str]:
    from platform_assets.core.lake import Lake
    from platform_assets.planner.assets import common

    lake, asset = Lake(app.settings.lake_url), getattr(common, name.upper())
    places = {key: common.address(asset, key) for key in keys}
    found = {key: lake.current(place) for key, place in places.items()}
    if missing := [key for key, revision in found.items() if revision is None]:
        raise BenchmarkError(f"dagster_overhead: {name} was not published for {missing}")
    return {key: revision.digest for key, revision in found.items() if revision}
