"""kill -9 of a range run, in each of its steps and inside an MLflow run: running the same range again leaves no trace of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from platform_assets.core import tracking
from platform_assets.core.lake import Address, Lake
from platform_assets.core.publishing import Publisher
from platform_assets.core.services import embedded_tracking_uri
from platform_assets.core.tracking import Tracking
from platform_assets.orchestration import partitions
from platform_assets.orchestration.automation import end_mlflow_runs_since
from platform_assets.orchestration.local_runs import run_range
from platform_assets.orchestration.partitioned import DATA_VERSION, RANGE_END, RANGE_START
from platform_assets.orchestration.resources import LakeResource, MlflowResource
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS, address
from platform_assets.planner.definitions import build
from platform_assets.simulators.meal_app import Scenario, load, simulate
from platform_assets_tests.end_to_end import warm_processes
from platform_assets_tests.end_to_end.deployment import Deployment, deployed
from platform_assets_tests.end_to_end.own_services import mlflow_runs

START, END = date(2026, 1, 2), date(2026, 1, 9)
WEEK = START.isoformat()
DAYS = partitions.days_of_week(WEEK)
DAILY = (EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS)
PUBLISHED_BEFORE_THE_KILL = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed(START, END, minimum_rows=1) as found:
        load(simulate(Scenario(seed=11, households=60, start=START, weeks=1)), found.source_url)
        yield found


def test_a_range_run_again_after_kills_publishes_every_partition_once(deployment: Deployment, tmp_path: Path) -> None:
    expected = _undisturbed(deployment, tmp_path)

    _kill_during(deployment, EVENTS)
    assert None in _digests(deployment.lake, [address(EVENTS, day) for day in DAYS]).values()
    _kill_during(deployment, ENRICHED_PLANS)
    assert None in _digests(deployment.lake, [address(ENRICHED_PLANS, day) for day in DAYS]).values()
    _finish(deployment, "planner_days", DAYS[0], DAYS[-1])

    assert _digests(deployment.lake, list(expected)) == expected
    assert all(_revisions(deployment, where) == 1 for where in expected)
    assert _rows(deployment, EVENTS) + _rows(deployment, QUARANTINED_EVENTS) == _source_rows(deployment)
    instance = deployment.instance
    for asset in DAILY:
        assert instance.get_materialized_partitions(asset) == set(DAYS)
        for day in DAYS:
            assert _newest_version(instance, asset, day) == expected[address(asset, day)]
    # The first killed run reported nothing, the second the events, whose step it had finished; the last run both.
    runs = deployment.materializations(*DAILY)
    assert {runs[ENRICHED_PLANS.to_user_string(), day] for day in DAYS} == {1}
    assert {runs[EVENTS.to_user_string(), day] for day in DAYS} == {2}


def test_a_week_killed_inside_its_mlflow_run_is_registered_once_and_nothing_stays_open(deployment: Deployment) -> None:
    if _count_published(deployment, ENRICHED_PLANS) < len(DAYS):  # when this test runs alone
        _finish(deployment, "planner_days", DAYS[0], DAYS[-1])
    killed = _run(deployment, "planner_weeks", WEEK, WEEK, _die_while_it_logs)
    assert killed == -signal.SIGKILL, _errors(deployment)
    assert _statuses(deployment) == {"week": ["RUNNING"], "parent": ["RUNNING"]}
    published = deployment.lake.current(address(DATASET, WEEK))
    assert published, "the kill came after the publication"

    _finish(deployment, "planner_weeks", WEEK, WEEK)
    assert deployment.lake.current(address(DATASET, WEEK)) == published
    assert _revisions(deployment, address(DATASET, WEEK)) == 1
    assert _statuses(deployment) == {"week": ["FINISHED", "RUNNING"], "parent": ["FINISHED", "RUNNING"]}
    instance = deployment.instance
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        instance.report_run_failed(run)  # as run monitoring does when it finds the process gone
    end_mlflow_runs_since(instance, MlflowResource(tracking_uri=_mlflow(deployment).uri), 0.0)
    assert _newest_version(instance, DATASET, WEEK) == published.digest
    assert _statuses(deployment) == {"week": ["FAILED", "FINISHED"], "parent": ["FAILED", "FINISHED"]}


def _undisturbed(deployment: Deployment, folder: Path) -> dict[Address, str | None]:
    """The digests that one run over the whole range leaves in another lake."""
    definitions = build(deployment.settings, {"lake": LakeResource(url=str(folder / "lake"))})
    tags = {RANGE_START: DAYS[0], RANGE_END: DAYS[-1]}
    with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
        assert definitions.resolve_job_def("planner_days").execute_in_process(instance=instance, tags=tags).success
    found = _digests(Lake(folder / "lake"), [address(asset, day) for asset in DAILY for day in DAYS])
    assert None not in found.values()
    return found


def _kill_during(deployment: Deployment, asset: dg.AssetKey) -> None:
    """Run the range, and have it kill its whole process group when some days of the asset are published."""
    dying = partial(_die_while_it_publishes, "/".join(asset.path) + "/")
    assert _run(deployment, "planner_days", DAYS[0], DAYS[-1], dying) == -signal.SIGKILL, _errors(deployment)
    assert _count_published(deployment, asset) == PUBLISHED_BEFORE_THE_KILL


def _finish(deployment: Deployment, job: str, first: str, last: str) -> None:
    assert _run(deployment, job, first, last) == 0, _errors(deployment)


def _run(
    deployment: Deployment, job: str, first: str, last: str, before: Callable[[], object] | None = None
) -> int | None:
    """The exit code of a run in a process, and a process group, of its own, as a run worker is."""
    log = deployment.home / "run.log"
    process = warm_processes.start(_run_range, deployment.home, deployment.environment, log, (job, first, last), before)
    try:
        process.join(300)
        return process.exitcode
    finally:
        process.kill()
        process.join()


def _run_range(
    home: Path,
    environment: Mapping[str, str],
    log: Path,
    run: tuple[str, str, str],
    before: Callable[[], object] | None,
) -> None:
    os.setsid()
    os.chdir(home)
    os.environ.update(environment)
    os.dup2(os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), sys.stderr.fileno())
    if before:
        before()
    run_range(build(), *run)


def _errors(deployment: Deployment) -> str:
    return (deployment.home / "run.log").read_text()[-3000:]


def _die_while_it_publishes(folder: str) -> None:
    """In the middle of a range: right after a number of days of one asset are published, before anything else is."""
    publish, days = Publisher.publish, []

    def publish_and_count(publisher: Publisher, where: Address, *others: Any) -> Any:
        publication = publish(publisher, where, *others)
        days.extend([where] * where.path.startswith(folder))
        if len(days) == PUBLISHED_BEFORE_THE_KILL:
            os.killpg(0, signal.SIGKILL)
        return publication

    Publisher.publish = publish_and_count  # type: ignore[assignment,method-assign]


def _die_while_it_logs() -> None:
    """In the middle of the week's MLflow run: after its metrics, before its end."""
    tracking.Run.log_file = lambda *_: os.killpg(0, signal.SIGKILL)  # type: ignore[assignment,method-assign]


def _count_published(deployment: Deployment, asset: dg.AssetKey) -> int:
    return sum(_folder(deployment, address(asset, day), "manifest.json").exists() for day in DAYS)


def _digests(lake: Lake, addresses: Sequence[Address]) -> dict[Address, str | None]:
    found = {where: lake.current(where) for where in addresses}
    return {where: revision and revision.digest for where, revision in found.items()}


def _revisions(deployment: Deployment, where: Address) -> int:
    return len(list(_folder(deployment, where, "revisions").iterdir()))


def _folder(deployment: Deployment, where: Address, name: str) -> Path:
    return Path(deployment.settings.lake_url) / where.path / name


def _rows(deployment: Deployment, asset: dg.AssetKey) -> int:
    found = [deployment.lake.current(address(asset, day)) for day in DAYS]
    return sum(revision.rows or 0 for revision in found if revision)


def _source_rows(deployment: Deployment) -> int:
    with psycopg.connect(deployment.source_url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM exp.events WHERE timestamp >= %s AND timestamp < %s", (START, END)
        ).fetchone()
    assert found
    return found[0]


def _newest_version(instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str) -> str | None:
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    (record,) = instance.fetch_materializations(wanted, limit=1).records
    assert record.asset_materialization
    return (record.asset_materialization.tags or {}).get(DATA_VERSION)


def _mlflow(deployment: Deployment) -> Tracking:
    return Tracking(embedded_tracking_uri(deployment.settings))


def _statuses(deployment: Deployment) -> dict[str, list[str]]:
    return mlflow_runs(_mlflow(deployment))
