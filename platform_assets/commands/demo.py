"""Simulate a meal-planning app, then let Dagster build every day and week of it; print what was made.

The runs are ordinary Dagster runs on the local instance, so that the UI shows them afterwards. Nothing here but the
simulator is special to the demo.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from platform_assets.commands.setup import refuse_external_source, set_up
from platform_assets.core import embedded_postgres
from platform_assets.core.dataset import SUMMARY
from platform_assets.core.lake import Lake
from platform_assets.core.settings import Settings
from platform_assets.core.warehouse import Warehouse
from platform_assets.orchestration import partitions
from platform_assets.orchestration.local_runs import run_range

HOUSEHOLDS, WEEKS, SEED = 400, 9, 7
DAYS_A_RUN = 28


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size of the simulated app."""
    parser.add_argument("--households", type=int, default=HOUSEHOLDS)
    parser.add_argument("--seed", type=int, default=SEED)


def run(arguments: argparse.Namespace) -> int:
    """The main job, end to end."""
    started = time.monotonic()
    settings = Settings.from_environment()
    refuse_external_source(settings, "the demo")
    set_up(settings)
    with embedded_postgres.held(settings.postgres_folder):
        _simulate(settings, arguments)
        _materialize(settings)
    _report(settings, time.monotonic() - started)
    return 0


def _simulate(settings: Settings, arguments: argparse.Namespace) -> None:
    url = embedded_postgres.url(settings.postgres_folder)
    with Warehouse(url).connect() as connection:
        known = connection.execute("SELECT count(*) FROM exp.events").fetchone()
    if known and known[0]:
        print(f"the source holds {known[0]:,} events already; none are simulated")
        return
    options = {
        "--url": url, "--seed": arguments.seed, "--households": arguments.households, "--weeks": WEEKS,
        "--start": settings.planner_start, "--ground_truth": settings.home / "simulated",
    }  # fmt: skip
    words = [str(word) for option in options.items() for word in option]
    subprocess.run([sys.executable, "-m", "platform_assets.simulators.meal_app", *words], check=True)


def _materialize(settings: Settings) -> None:
    from platform_assets.planner.assets import jobs
    from platform_assets.planner.definitions import build

    definitions = build(settings)
    days, weeks = demo_calendar(settings)
    for chunk in (days[i : i + DAYS_A_RUN] for i in range(0, len(days), DAYS_A_RUN)):
        run_job(definitions, jobs.DAYS, chunk[0], chunk[-1])
    if weeks:
        run_job(definitions, jobs.WEEKS, weeks[0], weeks[-1])


def demo_calendar(settings: Settings) -> tuple[list[str], list[str]]:
    """The days and whole weeks that are both simulated and in the calendar."""
    end = (settings.planner_start + timedelta(days=7 * WEEKS)).isoformat()
    days = [day for day in partitions.planner_daily(settings).get_partition_keys() if day < end]
    weeks = partitions.planner_weekly(settings).get_partition_keys()
    return days, [week for week in weeks if partitions.dataset_date(week) <= end]


def run_job(definitions: Any, job: str, first: str, last: str, ops: Mapping[str, Any] | None = None) -> None:
    """Run a job over a range of partitions and say how long it took; `ops` are configurations of its assets' steps."""
    print(f"{job}: {first} to {last} ...", flush=True)
    started = time.monotonic()
    run_range(definitions, job, first, last, run_config={"ops": ops} if ops else None)
    print(f"{job}: done in {time.monotonic() - started:.0f} s", flush=True)


def _report(settings: Settings, seconds: float) -> None:
    from platform_assets.planner.assets import common

    lake = Lake(settings.lake_url, single_writer=settings.lake_single_writer)
    print("\ndataset      rows  digest")
    newest = None
    for week in demo_calendar(settings)[1]:
        if revision := lake.current(common.address(common.DATASET, week)):
            print(f"{partitions.dataset_date(week)}  {revision.rows:>5,}  {revision.digest}")
            newest = revision
    if newest:
        print(f"\nmade in {seconds:.0f} s; newest: {newest.uri}\n")
        print(lake.read_side(newest, SUMMARY).decode())
    print("Open the UI with `make ui`, then http://127.0.0.1:3000 (Dagster) and http://127.0.0.1:5001 (MLflow).")
