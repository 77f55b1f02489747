"""Retailer: rows per second of the simulated retailer's Parquet files on one core, and whether memory stays flat.

It has no peer; what it must be is fast enough that 223 million rows are minutes, and bounded by a batch, not by the size. The
smaller size already fills whole batches in every week, so that the larger one shows what grows with the rows alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import in_own_process, median_peak, median_rate, take_turns
from benchmarks.table import Line

ROWS, TIMES = 16_000_000, 2
RUNS = 3
TARGET = 1_000_000
GROWTH = 1.2


def run(folder: Path) -> list[Line]:
    """A line per size, and one for the memory."""
    turns = take_turns(
        *(partial(in_own_process, write, rows=rows, folder=str(folder)) for rows in (ROWS, TIMES * ROWS)), runs=RUNS
    )
    lines = []
    for samples in turns:
        rate, peak = median_rate(samples), median_peak(samples)
        lines.append(
            Line(
                f"retailer: {samples[0].items:,} rows to Parquet",
                f"{rate:,.0f} rows/s",
                "none",
                memory=f"{peak:,.0f}",
                target=f">= {TARGET:,} rows/s",
                met=rate >= TARGET,
            )
        )
    small, large = (median_peak(samples) for samples in turns)
    flat = Line(
        f"retailer: peak memory, {ROWS:,} rows and {TIMES} times as many", f"{large:,.0f} MB", f"{small:,.0f} MB",
        f"{large / small:.2f}x", target=f"<= {GROWTH}x", met=large <= GROWTH * small,
    )  # fmt: skip
    return [*lines, flat]


def write(rows: int, folder: str) -> Callable[[], int]:
    """Draw the world and write its weeks; nothing in it takes a second thread."""
    from platform_assets.simulators.retailer import Scenario, check, draw_world, write_weeks

    def work() -> int:
        with TemporaryDirectory(dir=folder) as output:
            world = draw_world(Scenario(rows))
            check(world, Path(output), "parquet", replace=False)
            return sum(count for _, count in write_weeks(world, Path(output)))

    return work
