"""Definitions: a fresh interpreter that loads the planner's code location, over one that only imports Dagster.

Every reload of a code location and every step process pays this. The floor is Dagster itself, which we cannot change.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.measure import Sample, median_seconds, run_command, take_turns
from benchmarks.table import Line

LOCATION = "platform_assets.planner.definitions"
PEER = "dagster"
TARGET = 1.3


def run(folder: Path) -> list[Line]:
    """One line. The ratio is time over time: lower is better, 1.0 is the floor."""
    environment = {**os.environ, "PLATFORM_HOME": str(folder / "home")}
    contestants = [partial(_import, name, environment) for name in (LOCATION, PEER)]
    for each in contestants:
        each()  # Not counted: the first import after an installation compiles.
    ours, peer = take_turns(*contestants)
    ratio = median(our.seconds / their.seconds for our, their in zip(ours, peer, strict=True))
    return [
        Line(
            "definitions: load",
            f"{median_seconds(ours):.2f} s",
            f"{median_seconds(peer):.2f} s (import {PEER})",
            f"{ratio:.2f}x the time",
            target=f"<= {TARGET}",
            met=ratio <= TARGET,
        )
    ]


def _import(module: str, environment: dict[str, str]) -> Sample:
    seconds, _ = run_command([sys.executable, "-c", f"import {module}"], environment)
    return Sample(seconds, 1)
