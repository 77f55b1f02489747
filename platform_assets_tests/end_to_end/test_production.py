"""The whole path in production's shape: deploy/ as it is, every service a process of its own, and a code server killed midway.

One story, told once by the fixture `story`; the tests look at what it left. The files' contents are tested in test_deploy.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import boto3
import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.core.tracking import Tracking
from platform_assets.orchestration import partitions
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS, address
from platform_assets_tests.end_to_end.production import END, READER, START, Production, production
from platform_assets_tests.lake_stores import Server

DAYS = [day for day in partitions.days_in(START, END) if day < END.isoformat()]
WEEK_KEYS = ("2026-01-02",)
POOL = "lake_single_writer"
CODE_SERVERS = ("planner", "world_model", "query_predictor")
STARTED, QUEUED, FAILED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.FAILURE

# The story takes two minutes alone, and counts as the first test's; several times as long beside the rest of the suite.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Story:
    """What happened: runs by their role, and what the commands said."""

    refused: str
    """The run of a day whose events were not there."""
    lost: str
    """The run whose code server was killed while it waited for the source."""
    waited_in_queue: bool
    """Whether the other run stayed in the queue while the lost one held the pool."""
    preflight_before: str
    preflight_after: str


@pytest.fixture(scope="module")
def deployment(rclone: Server) -> Iterator[Production]:
    with production(rclone) as created:
        yield created


@pytest.fixture(scope="module")
def story(deployment: Production) -> Story:
    before, after = _prepare(deployment)
    _start_dagster(deployment)
    deployment.launch_backfill([ENRICHED_PLANS], DAYS[:1])
    refused = deployment.wait_for("the run without events", lambda: _run(deployment, FAILED), 180)
    with _source_locked(deployment):
        deployment.launch_backfill((EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS), DAYS[:4])
        lost = deployment.wait_for("a run in its first step", lambda: _run(deployment, STARTED, in_step=True), 180)
        deployment.launch_backfill((EVENTS, QUARANTINED_EVENTS), DAYS[4:])
        waited = deployment.wait_for("the other run", lambda: _stays_queued(deployment, seconds=5), 180)
        deployment.kill("planner")
    deployment.launch("planner")
    deployment.wait_for("the code location, back", deployment.locations_loaded, 180)
    deployment.wait_for("every week's dataset", lambda: _published_weeks(deployment) == set(WEEK_KEYS), 900)
    deployment.wait_for("every run's end", deployment.runs_are_over, 180)
    return Story(refused, lost, waited == "queued", before, after)


def test_preflight_asks_for_the_migration_and_is_content_after_it(story: Story) -> None:
    assert "run `make migrate`" in story.preflight_before
    assert "everything is there" in story.preflight_after


def test_days_and_weeks_lie_in_the_bucket(story: Story, deployment: Production) -> None:
    assert deployment.lake.root == "s3://production-bucket/lake"
    for asset in (EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS):
        assert [day for day in DAYS if deployment.lake.current(address(asset, day)) is None] == []
    for week in WEEK_KEYS:
        revision = deployment.lake.current(address(DATASET, week))
        assert revision is not None
        table = pq.read_table(deployment.lake.fetch(revision, "training.parquet", deployment.home / "read"))
        assert table.num_rows == revision.rows >= 10


def test_mlflow_artefacts_lie_in_the_bucket_and_are_read_through_the_server(
    story: Story, deployment: Production
) -> None:
    tracking = Tracking(deployment.environment["MLFLOW_TRACKING_URI"])
    runs = tracking.client.search_runs([tracking.experiment_id("planner_training")])
    weeks = [run for run in runs if run.data.tags.get("dagster_partition")]
    assert {run.data.tags["dagster_partition"] for run in weeks} == set(WEEK_KEYS)
    assert {run.info.artifact_uri.partition(":")[0] for run in weeks} == {"mlflow-artifacts"}
    assert "schema.json" in [file.path for file in tracking.client.list_artifacts(weeks[0].info.run_id)]
    assert any(key.endswith(f"{weeks[0].info.run_id}/artifacts/schema.json") for key in _keys("mlflow/"))


def test_what_steps_print_lies_in_the_bucket(story: Story, deployment: Production) -> None:
    keys = _keys("dagster-logs/")
    assert any(story.refused in key and key.endswith(".err") for key in keys), keys


def test_events_lie_in_postgres_and_none_on_the_disk(story: Story, deployment: Production) -> None:
    with psycopg.connect(deployment.postgres.url("dagster")) as connection:
        found = connection.execute("SELECT count(*) FROM event_logs WHERE run_id = %s", [story.lost]).fetchone()
    assert found is not None
    assert found[0] > 0
    assert list(deployment.home.rglob("*.db")) == []


def test_the_source_is_another_database_and_only_read(story: Story, deployment: Production) -> None:
    with psycopg.connect(deployment.environment["PLATFORM_WAREHOUSE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM exp.events").fetchone() == (0,)
    with (
        psycopg.connect(deployment.postgres.url("application", READER)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM exp.events")


def test_each_database_opens_to_its_own_role_only(story: Story, deployment: Production) -> None:
    for role, other in (("mlflow", "platform"), ("platform", "dagster"), ("dagster", "mlflow")):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(deployment.postgres.url(other, role))


def test_a_pool_of_one_slot_is_held_by_one_run_at_a_time(story: Story, deployment: Production) -> None:
    assert story.waited_in_queue
    instance = deployment.instance
    assert instance.event_log_storage.get_concurrency_info(POOL).slot_count == 1
    steps = sorted(_pooled_steps(instance))
    assert len(steps) >= 4
    for (_, end, first), (start, _, second) in pairwise(steps):
        assert end <= start, f"{first} and {second} held the pool together"


def test_a_run_that_lost_its_process_is_retried_and_one_whose_step_failed_is_not(
    story: Story, deployment: Production
) -> None:
    instance = deployment.instance
    statuses = {run_id: instance.get_run_by_id(run_id) for run_id in (story.lost, story.refused)}
    assert {run.status for run in statuses.values() if run} == {FAILED}
    retries = [run for run in instance.get_runs() if run.parent_run_id == story.lost]
    assert [run.status for run in retries] == [dg.DagsterRunStatus.SUCCESS]
    assert [run for run in instance.get_runs() if run.parent_run_id == story.refused] == []


def test_every_long_lived_service_passes_its_own_health_check(story: Story, deployment: Production) -> None:
    assert set(deployment.services) == {"mlflow", *CODE_SERVERS, "webserver", "daemon"}
    for service in deployment.services:
        deployment.wait_for(f"{service}, well", lambda service=service: deployment.is_well(service), 180)


def _prepare(deployment: Production) -> tuple[str, str]:
    """Bucket, MLflow, migration; what preflight says before and after it."""
    created = deployment.run_once("bucket")
    assert created.returncode == 0, created.stderr
    deployment.launch("mlflow")
    deployment.wait_for("MLflow", deployment.mlflow_answers, 180)
    before = deployment.run_once("preflight")
    assert before.returncode == 1, before.stdout + before.stderr
    migrated = deployment.run_once("migrate", "--apply")
    assert migrated.returncode == 0, migrated.stderr
    after = deployment.run_once("preflight")
    assert after.returncode == 0, after.stdout + after.stderr
    return before.stdout, after.stdout


def _start_dagster(deployment: Production) -> None:
    for server in CODE_SERVERS:
        deployment.launch(server)
    for server in CODE_SERVERS:
        # Asked once it listens: every health check is a process that imports Dagster first.
        deployment.wait_for(f"the port of {server}", lambda server=server: deployment.is_listening(server), 180)
        deployment.wait_for(f"the code server {server}", lambda server=server: deployment.is_well(server), 180)
    deployment.launch("webserver")
    deployment.wait_for("the web server", deployment.locations_loaded, 180)
    deployment.launch("daemon")


@contextmanager
def _source_locked(deployment: Production) -> Iterator[None]:
    """Whoever reads events waits: a run is in its step for as long as the test needs it there."""
    with psycopg.connect(deployment.application_url) as connection:
        connection.execute("LOCK TABLE exp.events IN ACCESS EXCLUSIVE MODE")
        yield


def _run(deployment: Production, status: dg.DagsterRunStatus, in_step: bool = False) -> str | None:
    instance = deployment.instance
    for run in instance.get_runs(dg.RunsFilter(statuses=[status])):
        if not in_step or instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START):
            return run.run_id
    return None


def _stays_queued(deployment: Production, seconds: float) -> str | None:
    """'queued' when a run stays in the queue for so long, over several looks of the queue; 'started' when it leaves it."""
    if (queued := _run(deployment, QUEUED)) is None:
        return None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if _run(deployment, QUEUED) != queued:
            return "started"
        time.sleep(1)
    return "queued"


def _published_weeks(deployment: Production) -> set[str]:
    return {week for week in WEEK_KEYS if deployment.lake.current(address(DATASET, week))}


def _pooled_steps(instance: dg.DagsterInstance) -> Iterator[tuple[float, float, str]]:
    """When each step of each run held the pool: every asset of the planner is in it. One that still runs holds it on."""
    for run in instance.get_runs():
        ends = dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE
        begun = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
        ended = [entry for kind in ends for entry in instance.all_logs(run.run_id, of_type=kind)]
        for entry in begun:
            later = [found.timestamp for found in ended if found.timestamp >= entry.timestamp]
            yield entry.timestamp, min(later, default=float("inf")), f"{run.run_id} {entry.step_key}"


def _keys(prefix: str) -> list[str]:
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket="production-bucket", Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]
