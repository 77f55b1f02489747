"""Command line: record a log of queries that are really run, or generate one of any size.

    python -m platform_assets.simulators.trino_cluster record --output FOLDER [--queries 6300] [--scale 0.2]
    python -m platform_assets.simulators.trino_cluster generate --output FOLDER --rows 1000000 \\
        [--format parquet|jsonl|table] [--ground_truth FOLDER] [--recording FOLDER]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from platform_assets.simulators.trino_cluster import SAMPLE
from platform_assets.simulators.trino_cluster.scenario import (
    DEFAULT_START,
    FEWEST_USERS,
    FORMATS,
    MOST_USERS,
    ROWS_PER_USER,
    Recording,
    Scenario,
    SimulatorError,
)

_RECORDING_OPTIONS = ("queries", "days", "start", "users", "seed", "scale", "cpu_limit_seconds")
_RECORDING_OPTIONS += ("hurried_cpu_limit_seconds", "memory_limit_mb")
_STRENGTHS = {
    "heavy_share": "share of heavy queries that is aimed at over the whole log, from 0.001 to 0.5; single days differ from it",
    "repeat_share": "probability that a person sends one of the last texts again, on top of what dashboards repeat",
    "season": "strength of weekdays, hours and month ends; 0: all hours alike",
    "drift": "how fast users and templates come and go; 0: they stay",
    "user_spread": "standard deviation of the factor, as a logarithm, that a user's data puts on all costs",
    "noise": "factor on what the recording leaves unexplained within a template",
}
_TEXT_CHANGE = ("text_change_day", "text_change_share")
_SCENARIO_OPTIONS = ("rows", "days", "start", "users", "seed", *_STRENGTHS, *_TEXT_CHANGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (SimulatorError, OSError) as error:
        print(f"trino_cluster: {error}", file=sys.stderr)
        return 1


def _record(options: argparse.Namespace) -> int:
    from platform_assets.simulators.trino_cluster.costs import fit_recording
    from platform_assets.simulators.trino_cluster.recorder import record

    recording = Recording(**{name: getattr(options, name) for name in _RECORDING_OPTIONS})
    began = time.monotonic()
    with _shown("queries", recording.queries) as advance:
        outcomes = record(recording, options.output, options.database, advance)
    fit_recording(options.output)
    print(f"{recording.queries:,} queries in {time.monotonic() - began:.0f} s")
    for name, count in outcomes.most_common():
        print(f"  {name}: {count:,}")
    print(f"recording: {options.output}")
    return 0


def _generate(options: argparse.Namespace) -> int:
    from platform_assets.simulators.trino_cluster.costs import read_law
    from platform_assets.simulators.trino_cluster.generator import Generator
    from platform_assets.simulators.trino_cluster.writers import check, write_log

    scenario = Scenario(**{name: getattr(options, name) for name in _SCENARIO_OPTIONS})
    began = time.monotonic()
    check(options.output, options.format, options.replace)
    generator = Generator(scenario, read_law(options.recording))
    with _shown("days", scenario.days) as advance:
        truth = write_log(generator, options.output, options.format, options.ground_truth, advance)
    seconds = time.monotonic() - began
    print(
        f"{scenario.rows:,} rows in {seconds:.1f} s ({scenario.rows / seconds:,.0f}/s), {truth['heavy_share']:.2%} heavy"
    )
    print(f"log: {options.output}")
    if options.ground_truth:
        print(f"ground truth: {options.ground_truth}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trino_cluster", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="record|generate")
    _record_options(commands.add_parser("record", help="run TPC-H queries with DuckDB and log what they took"))
    _generate_options(commands.add_parser("generate", help="write a log of any size with planted costs"))
    return parser


def _record_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_record)
    parser.add_argument("--output", required=True, type=Path, help="folder for the log, thresholds.json and costs.json")
    parser.add_argument("--database", type=Path, help="TPC-H data made earlier; left out: made beside the log")
    _number(parser, "queries", Recording.queries, "statements to run, one a day at least")
    _number(parser, "scale", Recording.scale, "TPC-H scale factor")
    _number(parser, "cpu_limit_seconds", Recording.cpu_limit_seconds, "CPU time from which a query is interrupted")
    _number(parser, "hurried_cpu_limit_seconds", Recording.hurried_cpu_limit_seconds, "the same, of dashboards")
    _number(parser, "memory_limit_mb", Recording.memory_limit_mb, "megabytes that a query may hold")
    _number(parser, "users", Recording.users, "people and dashboards that send them")
    _calendar_options(parser)


def _generate_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_generate)
    parser.add_argument("--output", required=True, type=Path, help="folder for the log's files")
    parser.add_argument("--rows", required=True, type=int, help="queries of the log, one a day at least")
    parser.add_argument(
        "--format", choices=FORMATS, default="parquet",
        help="jsonl: as the HTTP event listener posts them; table: SQL for Postgres' psql, with COPY (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--recording",
        type=Path,
        default=SAMPLE,
        help="folder whose costs.json holds the law (default: the shipped log's)",
    )
    parser.add_argument("--ground_truth", type=Path, help="folder for what was planted")
    parser.add_argument("--replace", action="store_true", help="delete the log the folder holds")
    for name, text in _STRENGTHS.items():
        _number(parser, name, getattr(Scenario, name), text)
    parser.add_argument(
        "--text_change_day", type=int,
        help="from this day on, 0 the first, a share of the texts is written another way (default: never)",
    )  # fmt: skip
    _number(parser, "text_change_share", Scenario.text_change_share, "that share, of the queries that read tables")
    parser.add_argument(
        "--users", type=int,
        help=f"people and dashboards (default: one per {ROWS_PER_USER:,} rows, {FEWEST_USERS} to {MOST_USERS:,})",
    )  # fmt: skip
    _calendar_options(parser)


def _calendar_options(parser: argparse.ArgumentParser) -> None:
    _number(parser, "days", Recording.days, "days of the log")
    parser.add_argument(
        "--start",
        type=date.fromisoformat,
        default=DEFAULT_START,
        help="first UTC day, YYYY-MM-DD (default %(default)s)",
    )
    _number(parser, "seed", Recording.seed, "the same seed, with the same options, gives the same statements")


def _number(parser: argparse.ArgumentParser, name: str, default: float, text: str) -> None:
    parser.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} (default %(default)s)")


@contextmanager
def _shown(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on the error stream; yields the function that moves it on by one.

    It refreshes itself only when moved: a thread of its own would stand beside the recorder's forks.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), auto_refresh=False)
    with bar as progress:
        task = progress.add_task(what, total=total)

        def advance() -> None:
            progress.advance(task)
            if progress.tasks[0].completed % max(1, total // 200) == 0:
                progress.refresh()

        yield advance


if __name__ == "__main__":
    sys.exit(main())
