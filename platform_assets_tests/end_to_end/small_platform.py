"""A small filled platform in this process, whose every service a test may take away: Postgres, lake, MLflow are replaceable.

One simulated week, and a day of large events beside it: reading that day takes several batches, so that there is a middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from platform_assets.core.lake import Address, Lake
from platform_assets.core.settings import Settings
from platform_assets.orchestration import partitions
from platform_assets.orchestration.partitioned import RANGE_END, RANGE_START
from platform_assets.orchestration.resources import EngineResource, LakeResource, SourceResource
from platform_assets.planner.definitions import build
from platform_assets.planner.limits import Limits
from platform_assets.simulators.meal_app import Scenario, load, simulate

START, END = date(2026, 1, 2), date(2026, 1, 11)
WEEK = START.isoformat()
DAYS = partitions.days_of_week(WEEK)
LARGE_DAY, LARGE_ROWS = "2026-01-10", 6_000


@dataclass
class SmallPlatform:
    """Settings, resources and an instance; `replaced` gives the same with other services."""

    settings: Settings
    instance: dg.DagsterInstance
    resources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        return self.resources["lake"].open()

    def replaced(self, **resources: Any) -> SmallPlatform:
        return replace(self, resources={**self.resources, **resources})

    def run(self, job: str, first: str, last: str | None = None) -> dg.ExecuteInProcessResult:
        """Run a job for one partition or a range; failures come back as results."""
        tags = {RANGE_START: first, RANGE_END: last} if last else {}
        return (
            build(self.settings, self.resources, Limits(quarantine_share=1.0))
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance, tags=tags, partition_key=None if last else first, raise_on_error=False
            )
        )

    def digests(self, addresses: Sequence[Address]) -> dict[str, str | None]:
        """The current digest of each address; None where nothing is published."""
        found = {where.path: self.lake.current(where) for where in addresses}
        return {path: revision and revision.digest for path, revision in found.items()}


@contextmanager
def small_platform(home: Path, source_url: str) -> Iterator[SmallPlatform]:
    """Filled source, empty lake in a folder, no MLflow."""
    load(simulate(Scenario(seed=11, households=60, start=START, weeks=1)), source_url)
    _add_large_day(source_url)
    settings = replace(
        Settings.from_environment({"PLATFORM_HOME": str(home)}),
        planner_start=START, planner_end=END, planner_minimum_rows=1, source_url=source_url, warehouse_url=source_url,
    )  # fmt: skip
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        yield SmallPlatform(
            settings,
            instance,
            {
                "lake": LakeResource(url=settings.lake_url),
                "engine": EngineResource(scratch=str(home / "scratch")),
                "source": SourceResource(url=source_url),
            },
        )


def _add_large_day(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO exp.events (event_type, unit_type, unit_id, payload, timestamp) "
            "SELECT 'plan_dreamt', 'household', i::text, jsonb_build_object('dream', repeat('z', 9000)), "
            f"'{LARGE_DAY} 12:00+00' FROM generate_series(1, {LARGE_ROWS}) AS i"
        )


def attempts(result: dg.ExecuteInProcessResult) -> int:
    """How often the steps of the run were tried: 1 when none was tried again."""
    return 1 + sum(event.is_step_restarted for event in result.all_events)


def words(result: dg.ExecuteInProcessResult) -> str:
    """What the run's failures and retries say, cause by cause."""
    found = []
    for event in result.all_events:
        if event.is_step_failure or event.is_step_up_for_retry:
            error = event.event_specific_data.error  # type: ignore[union-attr]
            while error:
                found.append(error.message)
                error = error.cause
    return "\n".join(found)
