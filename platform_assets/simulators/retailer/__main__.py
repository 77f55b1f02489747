"""Command line: write a simulated retailer's transactions, one file a fiscal week, and its calendar.

    python -m platform_assets.simulators.retailer --output FOLDER --rows 1000000 [--format parquet|csv] \\
        [--release current|older] [--missing_weeks 200619,200620] [--unknown_codes N] [--bad_rows N] \\
        [--ground_truth FOLDER] [--structure-loyalty 0.5 ...] [--replace]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from platform_assets.simulators.retailer.scenario import FORMATS, RELEASES, Scenario, SimulatorError, Structure
from platform_assets.simulators.retailer.shop_weeks import ShopWeek
from platform_assets.simulators.retailer.truth import TruthFiles
from platform_assets.simulators.retailer.world import World, draw_world
from platform_assets.simulators.retailer.writer import check, write_weeks

_SCENARIO_OPTIONS = ("rows", "weeks", "customers", "stores", "products", "seed", "release", "missing_weeks")
_SCENARIO_OPTIONS += ("anonymous_share", "unknown_codes", "bad_rows")
_STRENGTHS = tuple(each.name for each in fields(Structure))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _simulate(options)
    except (SimulatorError, OSError) as error:
        print(f"retailer: {error}", file=sys.stderr)
        return 1


def _simulate(options: argparse.Namespace) -> int:
    began = time.monotonic()
    strengths = {name: getattr(options, name) for name in _STRENGTHS if getattr(options, name) is not None}
    given = {name: getattr(options, name) for name in _SCENARIO_OPTIONS}
    world = draw_world(Scenario(**given, structure=Structure(**strengths)))
    check(world, options.output, options.format, options.replace)
    written = _write(world, options)
    rows, seconds = sum(count for _, count in written), time.monotonic() - began
    print(f"{rows:,} rows of {len(written)} weeks in {seconds:.1f} s ({rows / seconds:,.0f}/s)")
    print(f"transactions: {options.output}")
    if options.ground_truth:
        print(f"ground truth: {options.ground_truth}")
    return 0


def _write(world: World, options: argparse.Namespace) -> list[tuple[ShopWeek, int]]:
    with _shown(world) as advance:
        if options.ground_truth is None:
            return advance(write_weeks(world, options.output, options.format))
        with TruthFiles(options.ground_truth, world) as truth:
            written = advance(write_weeks(world, options.output, options.format, observe=truth.observe))
            truth.finish(written)
    return written


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retailer", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", required=True, type=Path, help="folder for time.csv and transactions_YYYYWW files")
    parser.add_argument("--rows", required=True, type=int, help="over all weeks, those of missing weeks included")
    parser.add_argument("--weeks", type=int, default=117)
    parser.add_argument("--customers", type=int, help="known customers; left out: one per thousand rows, 50 to 99,999")
    parser.add_argument("--stores", type=int, default=761)
    parser.add_argument("--products", type=int, default=4_997)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--format", choices=FORMATS, default="parquet")
    parser.add_argument("--release", choices=RELEASES, default="current", help="which column names customers have")
    parser.add_argument("--missing_weeks", type=_weeks, default=(), help="SHOP_WEEKs without a file, comma-separated")
    parser.add_argument("--anonymous_share", type=float, default=0.205)
    parser.add_argument("--unknown_codes", type=int, default=0, help="products and stores that occur once")
    parser.add_argument(
        "--bad_rows", type=int, default=0, help="rows that break the schema's rules, every kind in turn"
    )
    parser.add_argument("--ground_truth", type=Path, help="folder for what was planted")
    parser.add_argument("--replace", action="store_true", help="delete the transactions the folder holds")
    for name in _STRENGTHS:
        option = f"--structure-{name.replace('_', '-')}"
        parser.add_argument(option, dest=name, type=float, metavar="STRENGTH", help="0: without this effect")
    return parser


def _weeks(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(word) for word in text.split(",")}))


@contextmanager
def _shown(world: World) -> Iterator[Callable[[Iterator[tuple[ShopWeek, int]]], list[tuple[ShopWeek, int]]]]:
    """A progress bar on the error stream; yields the function that writes all weeks and moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("weeks", total=len(world.written_weeks))

        def advance(weeks: Iterator[tuple[ShopWeek, int]]) -> list[tuple[ShopWeek, int]]:
            written = []
            for week in weeks:
                written.append(week)
                progress.advance(task)
            return written

        yield advance


if __name__ == "__main__":
    sys.exit(main())
