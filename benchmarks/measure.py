"""Taking turns, medians, and the child process that one piece of work runs in.

A contestant is a function that runs once and says what it took. What belongs elsewhere: what is run (one module a
benchmark), and how figures are shown (`benchmarks.table`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
RUNS = 5
# A hang ends, a slow machine does not.
TIMEOUT_SECONDS = 1_800


class BenchmarkError(RuntimeError):
    """A contestant failed, or contestants did not do the same work: there is nothing to compare."""


@dataclass(frozen=True)
class Sample:
    """One run: wall seconds, items handled, and the peak resident memory of its process in MB (None: not its own)."""

    seconds: float
    items: int
    peak_mb: float | None = None

    @property
    def rate(self) -> float:
        """Items per second."""
        return self.items / self.seconds


def take_turns(*contestants: Callable[[], Sample], runs: int = RUNS) -> list[list[Sample]]:
    """Every contestant's runs, taken A B C A B C ...

    No turn is thrown away: imports are not timed and the data was written a moment ago, so that the first turn is hardly
    colder than the others, and a median of five does not see one outlier.
    """
    turns = [[contestant() for contestant in contestants] for _ in range(runs)]
    return [list(samples) for samples in zip(*turns, strict=True)]


def median_seconds(samples: Sequence[Sample]) -> float:
    """Median wall seconds."""
    return median(sample.seconds for sample in samples)


def median_rate(samples: Sequence[Sample]) -> float:
    """Median items per second."""
    return median(sample.rate for sample in samples)


def median_peak(samples: Sequence[Sample]) -> float:
    """Median peak memory in MB."""
    return median(sample.peak_mb or 0.0 for sample in samples)


def rate_ratio(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """How many times as fast ours is: the median over turns, so that a slow minute hits both sides of a ratio."""
    return median(our.rate / their.rate for our, their in zip(ours, theirs, strict=True))


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Wall seconds and standard output of a command; raises BenchmarkError with its last words when it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=TIMEOUT_SECONDS, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)[:200]} failed: {done.stderr[-1000:]}")
    return seconds, done.stdout


def in_own_process(workload: Callable[..., Callable[[], int]], **arguments: Any) -> Sample:
    """Run a workload in a fresh interpreter (`benchmarks.child`); arguments must be JSON.

    `workload(**arguments)` imports and connects, and returns the work; only the work is timed. The work returns how many
    items it handled.
    """
    name = f"{workload.__module__}:{workload.__name__}"
    _, output = run_command([sys.executable, "-m", "benchmarks.child", name, json.dumps(arguments)])
    return Sample(**json.loads(output.splitlines()[-1]))
