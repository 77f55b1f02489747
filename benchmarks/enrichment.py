"""Enrichment: accepted plans joined to what was known of household, constraints and pantry, Parquet to Parquet.

Ours is the engine running `planner/sql/enriched_plans.sql`. Peers: the per-event loop of three indexed queries in Postgres
(bitemporal like ours; on a sample, since its rate does not depend on the number of events) and three plain ASOF joins in one
DuckDB statement, which know nothing of recording times: cheaper, and wrong wherever something was recorded late.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import enrichment_data, postgres
from benchmarks.enrichment_data import PLANS
from benchmarks.enrichment_workloads import loop, plain_as_of, transform
from benchmarks.measure import BenchmarkError, in_own_process, median_peak, median_rate, rate_ratio, take_turns
from benchmarks.table import Line

SAMPLE = 3_000
# What identifies the versions that were chosen.
CHOSEN = "plan_id, household_valid_from, household_recorded_at, constraints_valid_from, constraints_recorded_at, pantry_valid_from, pantry_recorded_at"


def run(folder: Path) -> list[Line]:
    """Two lines, one a peer; the second names the share of plans that plain ASOF joins get wrong."""
    enrichment_data.write_parquet(folder)
    with postgres.server(folder) as server, postgres.new_database(server) as url:
        enrichment_data.load(folder, url)
        postgres.settle(url)
        ours, plain, events = take_turns(
            partial(in_own_process, transform, folder=str(folder)),
            partial(in_own_process, plain_as_of, folder=str(folder)),
            partial(in_own_process, loop, folder=str(folder), url=url, sample=SAMPLE),
        )
    if ours[0].items != PLANS or plain[0].items != PLANS:
        raise BenchmarkError(f"enrichment: expected {PLANS} plans, got {ours[0].items} and {plain[0].items}")
    if differing := _differing(folder, "loop"):
        raise BenchmarkError(f"enrichment: {differing} of {SAMPLE} plans differ from the per-event loop's")
    wrong = _differing(folder, "plain") / PLANS
    return [
        Line(
            f"enrichment: {PLANS:,} plans",
            f"{median_rate(ours):,.0f} plans/s",
            f"{median_rate(other):,.0f} plans/s ({name})",
            f"{rate_ratio(ours, other):.2f}x",
            f"{median_peak(ours):,.0f} / {median_peak(other):,.0f}",
        )
        for other, name in (
            (events, f"per-event loop, {SAMPLE:,} plans, scaled"),
            (plain, f"3 plain ASOF joins, {wrong:.1%} of plans wrong"),
        )
    ]


def _differing(folder: Path, other: str) -> int:
    """Plans for which another contestant chose other versions than ours."""
    import duckdb

    found = duckdb.sql(
        f"SELECT count(*) FROM (SELECT {CHOSEN} FROM read_parquet('{folder}/{other}.parquet') "
        f"EXCEPT SELECT {CHOSEN} FROM read_parquet('{folder}/enriched_plans.parquet'))"
    ).fetchone()
    return found[0] if found else 0
