"""The whole preparation of the world model, raw rows to tensor cache, at two sizes: time, memory, and whether it is linear.

    python -m benchmarks.world_model_scale [--rows 22000000 223000000] [--folder FOLDER]

A retailer is simulated at each size. Every stage then runs in a process of its own (`benchmarks.world_model_scale_stages`), as
its asset does it. What is judged is processor time: that of the clock hangs on what else the machine does. A folder that is
named is kept, and no stage that it holds is repeated, so that a run which was broken off goes on. It is run only by name.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import ROOT, BenchmarkError
from benchmarks.postgres import workplace
from benchmarks.table import Line, show
from benchmarks.world_model_scale_stages import PREPARATION, SIMULATION, STAGES, Place, Taken

ROWS = (22_000_000, 223_000_000)
MOST_MB = 6_000
MOST_GROWTH = 1.35

Found = Mapping[str, Taken]


def run(folder: Path, rows: Sequence[int] = ROWS) -> list[Line]:
    """A line a stage and size, their sums, and how processor time a row grows from each size to the next."""
    lines: list[Line] = []
    before: tuple[int, Found] | None = None
    for count in sorted(rows):
        found = prepare(Place(folder / str(count), count))
        lines += _size(count, found)
        if before:
            lines += _growth(before, (count, found))
        before = count, found
    return [replace(line, name=f"world_model_scale: {line.name}") for line in lines]


def prepare(place: Place) -> dict[str, Taken]:
    """What each stage takes; those done earlier are not repeated. Raises BenchmarkError when one fails."""
    found = {}
    for stage in STAGES:
        if not (taken := place.taken(stage)):
            _tell(f"{stage} of {place.rows:,} rows ...")
            taken = _taken(place, stage)
        _tell(f"{stage} of {place.rows:,} rows: {_text(place.rows, taken)}")
        found[stage] = taken
    return found


def _taken(place: Place, stage: str) -> Taken:
    program = [sys.executable, "-m", "benchmarks.world_model_scale_stages"]
    # Its progress goes where ours goes.
    done = subprocess.run([*program, stage, str(place.rows), str(place.folder)], cwd=ROOT, check=False)
    taken = place.taken(stage)
    if done.returncode or not taken:
        raise BenchmarkError(f"world_model_scale: {stage} of {place.rows:,} rows ended with {done.returncode}")
    return taken


def _size(rows: int, found: Found) -> Iterator[Line]:
    for stage, taken in found.items():
        name = "simulate, not counted" if stage == SIMULATION else stage
        yield Line(f"{rows:,} rows, {name}", _text(rows, taken), memory=_memory(taken))
    whole = _whole(found)
    yield Line(
        f"{rows:,} rows, all stages", _text(rows, whole), memory=_memory(whole),
        target=f"<= {MOST_MB:,} MB", met=whole.peak_mb <= MOST_MB,
    )  # fmt: skip


def _growth(small: tuple[int, Found], large: tuple[int, Found]) -> Iterator[Line]:
    """Processor time a row at both sizes; only that of all stages is judged."""
    for stage in PREPARATION:
        yield _ratio(stage, *((rows, found[stage]) for rows, found in (small, large)))
    whole = _ratio("all stages", *((rows, _whole(found)) for rows, found in (small, large)))
    ratio = _growth_of(*((rows, _whole(found)) for rows, found in (small, large)))
    yield replace(whole, target=f"linear: <= {MOST_GROWTH}x", met=ratio <= MOST_GROWTH)


def _ratio(name: str, small: tuple[int, Taken], large: tuple[int, Taken]) -> Line:
    texts = [f"{taken.processor_seconds / rows * 1e6:.2f} s a million, {rows:,} rows" for rows, taken in (large, small)]
    return Line(f"processor time, {name}", *texts, ratio=f"{_growth_of(small, large):.2f}x")


def _growth_of(small: tuple[int, Taken], large: tuple[int, Taken]) -> float:
    low, high = (taken.processor_seconds / rows for rows, taken in (small, large))
    return high / low


def _whole(found: Found) -> Taken:
    """Sums of the preparation's stages, and the highest of their peaks."""
    each = [found[stage] for stage in PREPARATION]
    anonymous = [taken.anonymous_mb for taken in each if taken.anonymous_mb is not None]
    return Taken(
        sum(taken.seconds for taken in each), sum(taken.processor_seconds for taken in each),
        max(taken.peak_mb for taken in each), max(anonymous, default=None), max(taken.load for taken in each),
    )  # fmt: skip


def _text(rows: int, taken: Taken) -> str:
    return (
        f"{_duration(taken.seconds)}, processor {_duration(taken.processor_seconds)}, "
        f"{rows / taken.processor_seconds:,.0f} rows/s a core, load {taken.load}"
    )


def _memory(taken: Taken) -> str:
    anonymous = "" if taken.anonymous_mb is None else f", {taken.anonymous_mb:,.0f} anonymous"
    return f"{taken.peak_mb:,.0f}{anonymous}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.world_model_scale")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="one size or more")
    parser.add_argument("--folder", type=Path, help="kept afterwards; stages that it holds are not repeated")
    options = parser.parse_args()
    began, load = time.perf_counter(), os.getloadavg()[0]
    try:
        with nullcontext(options.folder.absolute()) if options.folder else workplace() as folder:
            lines = run(folder, options.rows)
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    show(lines, time.perf_counter() - began, round(load, 1))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
