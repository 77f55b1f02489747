"""Enrichment of ten million events by the engine's default memory limit: how much memory its process takes, and how long.

A million households with two versions each of what is known of them, and five million pantry snapshots. What does not fit is
spilled to disk. Not part of a plain run: it generates for minutes.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import enrichment_data
from benchmarks.enrichment_data import BARE, Sizes
from benchmarks.enrichment_workloads import transform
from benchmarks.measure import BenchmarkError, in_own_process
from benchmarks.table import Line

SIZES = Sizes(plans=10_000_000, households=1_000_000, snapshots_each=5)
TARGET_MB = 4_000


def run(folder: Path) -> list[Line]:
    """One line."""
    enrichment_data.write_parquet(folder, SIZES)
    found = in_own_process(transform, folder=str(folder), plans=BARE)
    if found.items != SIZES.plans:
        raise BenchmarkError(f"enrichment_scale: expected {SIZES.plans} plans, got {found.items}")
    peak = found.peak_mb or 0.0
    return [
        Line(
            f"enrichment: {SIZES.plans:,} bare events in {found.seconds:,.0f} s", f"{found.rate:,.0f} plans/s",
            memory=f"{peak:,.0f}", target=f"<= {TARGET_MB:,} MB", met=peak <= TARGET_MB,
        )
    ]  # fmt: skip
