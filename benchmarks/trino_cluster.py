"""Trino cluster: rows per second of the generated query log on one core, by format, and whether memory stays flat.

It has no peer; what it must be is fast enough that a log of millions is minutes, and bounded by a block, not by the size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import in_own_process, median_peak, median_rate, take_turns
from benchmarks.table import Line

ROWS, TIMES = 400_000, 3
TEXT_ROWS = 100_000
RUNS = 3
TARGET = 15_000
GROWTH = 1.3


def run(folder: Path) -> list[Line]:
    """A line per size and format, and one for the memory."""
    works = [("parquet", ROWS), ("parquet", TIMES * ROWS), ("jsonl", TEXT_ROWS), ("table", TEXT_ROWS)]
    turns = take_turns(
        *(partial(in_own_process, write, rows=rows, format=name, folder=str(folder)) for name, rows in works), runs=RUNS
    )
    lines = []
    for (name, rows), samples in zip(works, turns, strict=True):
        rate, target = median_rate(samples), TARGET if name == "parquet" else TARGET / 2
        lines.append(
            Line(
                f"trino_cluster: {rows:,} rows as {name}",
                f"{rate:,.0f} rows/s",
                "none",
                memory=f"{median_peak(samples):,.0f}",
                target=f">= {target:,.0f} rows/s",
                met=rate >= target,
            )
        )
    small, large = (median_peak(samples) for samples in turns[:2])
    flat = Line(
        f"trino_cluster: peak memory, {ROWS:,} rows and {TIMES} times as many", f"{large:,.0f} MB", f"{small:,.0f} MB",
        f"{large / small:.2f}x", target=f"<= {GROWTH}x", met=large <= GROWTH * small,
    )  # fmt: skip
    return [*lines, flat]


def write(rows: int, format: str, folder: str) -> Callable[[], int]:
    """Draw the users, solve the scale and write the days, with the ground truth."""
    from platform_assets.simulators.trino_cluster import SAMPLE, Scenario
    from platform_assets.simulators.trino_cluster.costs import read_law
    from platform_assets.simulators.trino_cluster.generator import Generator
    from platform_assets.simulators.trino_cluster.writers import write_log

    def work() -> int:
        with TemporaryDirectory(dir=folder) as output:
            generator = Generator(Scenario(rows), read_law(SAMPLE))
            return write_log(generator, Path(output), format, Path(output) / "truth")["rows"]

    return work
