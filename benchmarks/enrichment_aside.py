"""What is done with an enriched day besides joining it: its digest, and the checks of the asset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def digest(folder: str) -> Callable[[], int]:
    """The logical digest under which it is published."""
    from platform_assets.core.digest import digest_table

    path = Path(folder) / "enriched_plans.parquet"

    def work() -> int:
        return digest_table([path]).rows

    return work


def checks(folder: str, plans: str) -> Callable[[], int]:
    """The four checks of planner/enriched_plans; raises when one fails, since then it was not the same work."""
    import duckdb  # noqa: F401
    import pyarrow.parquet as pq

    from platform_assets.core import quality as common
    from platform_assets.core.engine import Engine
    from platform_assets.planner import quality
    from platform_assets.planner.limits import Limits

    here = Path(folder)
    enriched, excluded, accepted = (here / f"{n}.parquet" for n in ("enriched_plans", "excluded_plans", plans))

    def work() -> int:
        engine = Engine(here / "scratch")
        outcomes = [
            quality.no_leak(engine, enriched, ()),
            quality.plans_reconcile(engine, accepted, enriched, excluded),
            common.unique(engine, "one_row_per_plan", [enriched], "plan_id"),
            quality.join_coverage(engine, enriched, excluded, Limits().join_coverage),
        ]
        if failed := [outcome.reason for outcome in outcomes if not outcome.passed]:
            raise AssertionError(failed)
        return pq.read_metadata(enriched).num_rows

    return work
