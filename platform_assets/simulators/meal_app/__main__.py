"""Command line: fill a migrated database with a simulated meal app, or add one late event to it.

    python -m platform_assets.simulators.meal_app --url URL --seed 7 --households 400 --start 2026-01-02 --weeks 9 \\
        --ground_truth FOLDER [--recipes FILE] [--fault-late SHARE ...] [--replace]
    python -m platform_assets.simulators.meal_app late-event --url URL --day 2026-01-20 [--kind plan|acceptance|edit]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import date
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from platform_assets.simulators.meal_app import Faults, Scenario, SimulatorError, World, late_event, load, stream, truth

FAULT_NAMES = tuple(each.name for each in fields(Faults))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _add_late_event(words[1:]) if words[:1] == ["late-event"] else _simulate(words)
    except (SimulatorError, psycopg.Error, OSError) as error:
        print(f"meal_app: {error}", file=sys.stderr)
        return 1


def _simulate(words: list[str]) -> int:
    options = _parser().parse_args(words)
    scenario = Scenario(
        options.seed, options.households, options.start, options.weeks, options.recipes, _read_faults(options),
        options.randomised_share,
    )  # fmt: skip
    began = time.monotonic()
    with _shown(scenario) as advance, truth.TruthFiles(options.ground_truth) as files:

        def write_truth(chunk: World) -> None:
            files.write(truth.GROUND_TRUTH_FILE, chunk.ground_truth)
            files.write(truth.TASTES_FILE, chunk.tastes)
            if "public.recipes" in chunk.tables:
                files.write(truth.ATTRIBUTES_FILE, chunk.recipe_attributes)
            advance(chunk.tastes.num_rows)

        events = load(stream(scenario), options.url, options.replace, write_truth)
    seconds = time.monotonic() - began
    print(f"{events:,} events of {scenario.households:,} households in {seconds:.1f} s ({events / seconds:,.0f}/s)")
    print(f"ground truth and tastes: {options.ground_truth}")
    return 0


def _add_late_event(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="meal_app late-event")
    parser.add_argument("--url", required=True, help="postgresql://... of a database with a simulated meal app")
    parser.add_argument("--day", required=True, type=date.fromisoformat, help="the past day (UTC) it happened on")
    parser.add_argument("--kind", default="plan", choices=["plan", "acceptance", "edit"])
    options = parser.parse_args(words)
    late = late_event(options.url, options.day, options.kind)
    print(f"late {late.kind}: plan {late.plan_id} of household {late.household_id}")
    print(f"happened {late.happened_at:%Y-%m-%d %H:%M} UTC, recorded {late.recorded_at:%Y-%m-%d %H:%M} UTC")
    print("events: " + ", ".join(late.event_ids))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meal_app", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--url", required=True, help="postgresql://... of a migrated database")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--households", type=int, default=400)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2026, 1, 2), help="a Friday")
    parser.add_argument("--weeks", type=int, default=9)
    parser.add_argument("--recipes", type=Path, help="real recipes as JSON lines instead of the invented catalogue")
    parser.add_argument("--randomised_share", type=float, default=0.1, help="share of plans drawn uniformly")
    parser.add_argument("--ground_truth", type=Path, required=True, help="folder for the truth about faults and tastes")
    parser.add_argument("--replace", action="store_true", help="delete what the simulator wrote before")
    parser.add_argument("--no-faults", action="store_true", help="a clean log; single faults can be added again")
    for name in FAULT_NAMES:
        parser.add_argument(f"--fault-{name.replace('_', '-')}", dest=name, type=float, metavar="SHARE")
    return parser


def _read_faults(options: argparse.Namespace) -> Faults:
    base = Faults.none() if options.no_faults else Faults()
    given = {name: getattr(options, name) for name in FAULT_NAMES}
    return Faults(**{name: getattr(base, name) if share is None else share for name, share in given.items()})


@contextmanager
def _shown(scenario: Scenario) -> Iterator:
    """A progress bar on the error stream; yields the function that moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("households", total=scenario.households)
        yield lambda count: progress.advance(task, count)


if __name__ == "__main__":
    sys.exit(main())
