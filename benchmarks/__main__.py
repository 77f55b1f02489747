"""Command line: run every benchmark, or those named, and print one table.

python -m benchmarks [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

from rich.console import Console

from benchmarks import (
    dagster_overhead,
    decoding,
    definitions,
    digest,
    enrichment,
    enrichment_scale,
    extraction,
    featuriser,
    loader,
    planner_gate,
    planner_learning,
    query_predictor_quality,
    query_sampling,
    retailer,
    simulator,
    training,
    trino_cluster,
    world_model_quality,
    world_model_scale,
    world_model_training,
    year,
)
from benchmarks.measure import BenchmarkError
from benchmarks.postgres import workplace
from benchmarks.table import Line, show

BENCHMARKS: dict[str, Callable[..., list[Line]]] = {
    "definitions": definitions.run,
    "digest": digest.run,
    "extraction": extraction.run,
    "enrichment": enrichment.run,
    "decoding": decoding.run,
    "training": training.run,
    "simulator": simulator.run,
    "retailer": retailer.run,
    "trino_cluster": trino_cluster.run,
    "loader": loader.run,
    "dagster_overhead": dagster_overhead.run,
    "year": year.run,
    "enrichment_scale": enrichment_scale.run,
    "planner_learning": planner_learning.run,
    "planner_gate": planner_gate.run,
    "world_model_quality": world_model_quality.run,
    "world_model_scale": world_model_scale.run,
    "featuriser": featuriser.run,
    "query_sampling": query_sampling.run,
    "query_predictor_quality": query_predictor_quality.run,
    "world_model_training": world_model_training.run,
}
# They take many minutes.
BY_NAME_ONLY = {
    "year", "enrichment_scale", "planner_learning", "planner_gate", "world_model_quality", "world_model_scale",
    "query_sampling", "query_predictor_quality",
}  # fmt: skip


def main() -> int:
    """Run the benchmarks; returns the exit status. A missed target is shown, not failed: machines differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios against peers, in one run.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"any of: {', '.join(BENCHMARKS)}; left out: all but {', '.join(BY_NAME_ONLY)}",
    )
    names = parser.parse_args().names or [name for name in BENCHMARKS if name not in BY_NAME_ONLY]
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}")
    status, failed = Console(stderr=True), False
    began, load, lines = time.perf_counter(), os.getloadavg()[0], []
    try:
        for name in names:
            started = time.perf_counter()
            with workplace() as folder:
                lines += BENCHMARKS[name](folder)
            status.print(f"{name}: {time.perf_counter() - started:.0f} s")
    except BenchmarkError as error:
        status.print(f"benchmarks: {error}", markup=False)
        failed = True
    show(lines, time.perf_counter() - began, round(load, 1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
