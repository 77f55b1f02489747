"""A real web server and daemon: a backfill over three weeks, then a late event that reaches its week and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date

import pyarrow.parquet as pq
import pytest

from platform_assets.core.tracking import Tracking
from platform_assets.orchestration import partitions
from platform_assets.orchestration.resources import embedded_tracking_uri
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS, address
from platform_assets.planner.assets.dataset import dataset_address
from platform_assets.simulators.meal_app import Scenario, late_event, load, simulate
from platform_assets_tests.end_to_end.deployment import DAEMON, Deployment, deployed, web_server

START, END, WEEKS = date(2026, 1, 2), date(2026, 1, 23), 3
DAYS = partitions.days_in(START, date(2026, 1, 22))
WEEK_KEYS = ("2026-01-02", "2026-01-09", "2026-01-16")
LATE_DAY = date(2026, 1, 13)
ALL = (EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS, DATASET)
SETTLE_SECONDS = 70  # two ticks of every sensor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed(START, END, minimum_rows=10) as running:
        load(simulate(Scenario(seed=3, households=60, start=START, weeks=WEEKS)), running.source_url)
        running.start(web_server(running), DAEMON)
        yield running


def test_a_backfill_and_a_late_event_reach_what_they_must_and_nothing_else(deployment: Deployment) -> None:
    deployment.launch_backfill((EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS), DAYS)
    deployment.wait_for("every week's dataset", lambda: _published_weeks(deployment) == set(WEEK_KEYS), 360)
    before = _settled(deployment)
    assert {(ENRICHED_PLANS.to_user_string(), day) for day in DAYS} <= before.keys()
    assert all(before[(DATASET.to_user_string(), week)] == 1 for week in WEEK_KEYS)

    rows = _dataset_plans(deployment)
    late = late_event(deployment.source_url, LATE_DAY, "plan")
    week = partitions.week_of_day(LATE_DAY.isoformat())
    deployment.wait_for("the late plan in its dataset", lambda: late.plan_id in _dataset_plans(deployment), 300)

    changed = _settled(deployment) - before
    assert dict(changed) == {
        (EVENTS.to_user_string(), LATE_DAY.isoformat()): 1,
        (QUARANTINED_EVENTS.to_user_string(), LATE_DAY.isoformat()): 1,
        (ENRICHED_PLANS.to_user_string(), LATE_DAY.isoformat()): 1,
        (DATASET.to_user_string(), week): 1,
    }
    assert _dataset_plans(deployment) == rows | {late.plan_id}
    _assert_mlflow_runs_ended(deployment)


def _published_weeks(deployment: Deployment) -> set[str]:
    return {week for week in WEEK_KEYS if deployment.lake.current(dataset_address(week))}


def _settled(deployment: Deployment):
    """Materialisations once nothing new has come for a while."""
    last, since = deployment.materializations(*ALL), time.monotonic()
    while time.monotonic() - since < SETTLE_SECONDS:
        time.sleep(5)
        now = deployment.materializations(*ALL)
        if now != last:
            last, since = now, time.monotonic()
    return last


def _dataset_plans(deployment: Deployment) -> set[str]:
    found = set()
    for week in WEEK_KEYS:
        revision = deployment.lake.current(dataset_address(week))
        assert revision is not None
        path = deployment.lake.fetch(revision, "training.parquet", deployment.home)
        found |= {row["plan_id"] for row in pq.read_table(path, columns=["metadata"])["metadata"].to_pylist()}
    return found


def _assert_mlflow_runs_ended(deployment: Deployment) -> None:
    tracking = Tracking(embedded_tracking_uri(deployment.settings))
    runs = tracking.client.search_runs([tracking.experiment_id("planner_training")])
    assert len([run for run in runs if run.data.tags.get("dagster_partition")]) == len(WEEK_KEYS) + 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    revision = deployment.lake.current(address(EVENTS, LATE_DAY.isoformat()))
    assert revision is not None
