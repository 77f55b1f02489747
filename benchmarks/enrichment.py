"""Enrichment: accepted plans joined to what was known of household, constraints and pantry, Parquet to Parquet.

Ours is the engine running `planner/sql/enriched_plans.sql`. Peers by the same bitemporal rule: the per-event loop of three
indexed queries in Postgres (on a sample, since its rate does not depend on the number of events; once more with a round trip of
1 ms) and polars. Peers that know nothing of recording times, so cheaper, and wrong wherever something was recorded late:
three plain ASOF joins in one DuckDB statement, and Feast.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks import enrichment_data, postgres
from benchmarks.enrichment_aside import checks, digest
from benchmarks.enrichment_data import BARE, WHOLE, Sizes
from benchmarks.enrichment_polars import join_as_of
from benchmarks.enrichment_workloads import loop, plain_as_of, transform
from benchmarks.measure import (
    ROOT,
    BenchmarkError,
    Sample,
    in_own_process,
    median_peak,
    median_rate,
    rate_ratio,
    run_command,
    take_turns,
)
from benchmarks.table import Line

SIZES = Sizes()
SAMPLE, DISTANT_SAMPLE, ROUND_TRIP_SECONDS = 3_000, 300, 0.001
FEAST_PYTHON = ROOT / ".venv-feast" / "bin" / "python"
# What identifies the versions that were chosen.
CHOSEN = "plan_id, household_valid_from, household_recorded_at, constraints_valid_from, constraints_recorded_at, pantry_valid_from, pantry_recorded_at"
Peer = tuple[str, Callable[[], Sample], float | None]


def run(folder: Path) -> list[Line]:
    """A line per peer, on bare events and on whole plans; then what the result's digest and checks take."""
    enrichment_data.write_parquet(folder, SIZES)
    enrichment_data.write_whole_plans(folder, SIZES)
    with postgres.server(folder) as server, postgres.new_database(server) as url:
        enrichment_data.load(folder, url)
        postgres.settle(url)
        lines = _compare(folder, BARE, [*_loops(folder, BARE, url), *_engines(folder, BARE), *_feast(folder)])
        lines += _compare(folder, WHOLE, [*_loops(folder, WHOLE, url), *_engines(folder, WHOLE)])
    return [*lines, *_aside(folder)]


def _loops(folder: Path, plans: str, url: str) -> list[Peer]:
    near = partial(in_own_process, loop, folder=str(folder), plans=plans, url=url, sample=SAMPLE)
    distant = partial(
        in_own_process, loop, folder=str(folder), plans=plans, url=url, sample=DISTANT_SAMPLE,
        round_trip_seconds=ROUND_TRIP_SECONDS,
    )  # fmt: skip
    return [
        (f"per-event loop, {SAMPLE:,} events, scaled", near, 40.0 if plans == BARE else None),
        (f"the same with a round trip of 1 ms, {DISTANT_SAMPLE:,} events, scaled", distant, None),
    ]


def _engines(folder: Path, plans: str) -> list[Peer]:
    plain = partial(in_own_process, plain_as_of, folder=str(folder), plans=plans)
    polars = partial(in_own_process, join_as_of, folder=str(folder), plans=plans)
    return [("3 plain ASOF joins in DuckDB, WRONG", plain, 2.0), ("polars, the same rule", polars, 0.9)]


def _feast(folder: Path) -> list[Peer]:
    """Where its environment is set up; Feast needs other versions than this project."""
    if not FEAST_PYTHON.exists():
        return []
    environment = {**os.environ, "FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
    command = [str(FEAST_PYTHON), str(ROOT / "benchmarks" / "enrichment_feast.py"), str(folder), BARE]

    def retrieve() -> Sample:
        return Sample(**json.loads(run_command(command, environment)[1].splitlines()[-1]))

    return [("Feast, duckdb store, valid time only", retrieve, 5.0)]


def _compare(folder: Path, plans: str, peers: Sequence[Peer]) -> list[Line]:
    ours, *others = take_turns(
        partial(in_own_process, transform, folder=str(folder), plans=plans), *(contestant for _, contestant, _ in peers)
    )
    if ours[0].items != SIZES.plans:
        raise BenchmarkError(f"enrichment: expected {SIZES.plans} plans, got {ours[0].items}")
    for other in ("loop", "polars"):
        if differing := _differing(folder, other):
            raise BenchmarkError(f"enrichment: {differing} plans differ from those of {other}")
    wrong = f"{_differing(folder, 'plain') / SIZES.plans:.1%} of them wrong"
    return [
        _line(plans, name.replace("WRONG", wrong), target, ours, samples)
        for (name, _, target), samples in zip(peers, others, strict=True)
    ]


def _line(plans: str, peer: str, target: float | None, ours: Sequence[Sample], theirs: Sequence[Sample]) -> Line:
    ratio = rate_ratio(ours, theirs)
    return Line(
        f"enrichment: {SIZES.plans:,} {'bare events' if plans == BARE else 'whole plans'}",
        f"{median_rate(ours):,.0f} plans/s",
        f"{median_rate(theirs):,.0f} plans/s ({peer})",
        f"{ratio:.2f}x",
        f"{median_peak(ours):,.0f} / {median_peak(theirs):,.0f}",
        *((f">= {target:g}x", ratio >= target) if target else ()),
    )


def _differing(folder: Path, other: str) -> int:
    """Plans for which another contestant chose other versions than ours."""
    import duckdb

    found = duckdb.sql(
        f"SELECT count(*) FROM (SELECT {CHOSEN} FROM read_parquet('{folder}/{other}.parquet') "
        f"EXCEPT SELECT {CHOSEN} FROM read_parquet('{folder}/enriched_plans.parquet'))"
    ).fetchone()
    return found[0] if found else 0


def _aside(folder: Path) -> list[Line]:
    """What publication adds to the last result (whole plans), apart from the join."""
    digested, checked = take_turns(
        partial(in_own_process, digest, folder=str(folder)),
        partial(in_own_process, checks, folder=str(folder), plans=WHOLE),
    )
    return [
        Line(
            f"enrichment, apart: {name}", f"{median_rate(samples):,.0f} plans/s", memory=f"{median_peak(samples):,.0f}"
        )
        for name, samples in (("digest of the result", digested), ("its four checks", checked))
    ]
