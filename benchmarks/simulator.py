"""Simulator: events per second of the meal app's command, into an empty database.

It has no peer; what it must be is fast enough that a demo does not wait for it. The rate is the command's own figure, which
leaves out the start of the interpreter; the wall time of the whole command stands beside it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import postgres
from benchmarks.measure import BenchmarkError, Sample, median_rate, median_seconds, run_command, take_turns
from benchmarks.table import Line

HOUSEHOLDS, WEEKS = 10_000, 4
TARGET = 50_000
_LAST_WORDS = re.compile(r"([\d,]+) events of [\d,]+ households in ([\d.]+) s")


def run(folder: Path) -> list[Line]:
    """One line."""
    walls: list[Sample] = []
    with postgres.server(folder) as url:
        (own,) = take_turns(lambda: _simulate(folder, url, walls))
    rate = median_rate(own)
    return [
        Line(
            f"simulator: {own[0].items:,} events",
            f"{rate:,.0f} events/s",
            "none",
            f"{median_seconds(walls):.1f} s wall",
            target=f">= {TARGET:,} events/s",
            met=rate >= TARGET,
        )
    ]


def _simulate(folder: Path, server: str, walls: list[Sample]) -> Sample:
    command = [sys.executable, "-m", "platform_assets.simulators.meal_app"]
    command += ["--households", str(HOUSEHOLDS), "--weeks", str(WEEKS)]
    with postgres.new_database(server) as url, TemporaryDirectory(dir=folder) as truth:
        wall, output = run_command([*command, "--url", url, "--ground_truth", truth])
    found = _LAST_WORDS.search(output)
    if not found:
        raise BenchmarkError(f"the simulator did not say how many events it wrote: {output[-200:]}")
    events = int(found[1].replace(",", ""))
    walls.append(Sample(wall, events))
    return Sample(float(found[2]), events)
