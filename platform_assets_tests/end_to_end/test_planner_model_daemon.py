"""The real daemon, from datasets to a judged version: trainings by the sensor, replay and verdict by automation, across a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest

from platform_assets.core.model_versions import ModelVersions
from platform_assets.core.registry import Registry
from platform_assets.core.services import embedded_tracking_uri
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import registration
from platform_assets.planner.assets.common import DATASET, MODEL, POLICY_VERSION, REPLAY_SCORES, address
from platform_assets.planner.assets.jobs import LONG, TRAINING
from platform_assets.simulators.meal_app import Scenario, load, simulate
from platform_assets_tests.end_to_end.deployment import DAEMON, ROOT, Deployment, deployed
from platform_assets_tests.processes import stop

START, END = date(2026, 1, 2), date(2026, 1, 16)
FIRST, SECOND = "2026-01-02", "2026-01-09"
PATIENCE_SECONDS = 900  # a loaded machine
BY_HAND = (
    "from platform_assets.orchestration.local_runs import run_range\n"
    "from platform_assets.planner.definitions import defs\n"
    "run_range(defs, 'planner_days', {first!r}, {last!r})\n"
    "run_range(defs, 'planner_weeks', {week!r}, {week!r})\n"
)
SMALL = {
    "PLATFORM_PLANNER_RETRAIN_ROWS": "1", "PLATFORM_PLANNER_TINY_STEPS": "3", "PLATFORM_PLANNER_GATE_ROWS": "20", "PLATFORM_PLANNER_GATE_HOUSEHOLDS": "10",
    "OMP_NUM_THREADS": "1",
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed(START, END, minimum_rows=1) as found:
        found.environment.update(SMALL)
        load(simulate(Scenario(seed=11, households=60, start=START, weeks=2)), found.source_url)
        yield found


def test_new_weeks_are_trained_replayed_and_judged_once_although_the_daemon_was_killed(deployment: Deployment) -> None:
    _materialize(deployment, FIRST, "2026-01-08")
    daemon = _start_daemon(deployment)
    deployment.wait_for("the first model", lambda: _is_done(deployment, MODEL, FIRST), PATIENCE_SECONDS)
    os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()
    deployment.processes.clear()

    _materialize(deployment, SECOND, "2026-01-15")
    assert not _is_done(deployment, REPLAY_SCORES, SECOND)
    _start_daemon(deployment)
    for asset in (MODEL, POLICY_VERSION):
        deployment.wait_for(
            f"{asset.to_user_string()} of {SECOND}", lambda a=asset: _is_done(deployment, a, SECOND), PATIENCE_SECONDS
        )
    stop(*deployment.processes, by=signal.SIGINT)

    assert dict(deployment.materializations(MODEL, REPLAY_SCORES, POLICY_VERSION)) == {
        (MODEL.to_user_string(), FIRST): 1, (MODEL.to_user_string(), SECOND): 1,
        (REPLAY_SCORES.to_user_string(), SECOND): 1, (POLICY_VERSION.to_user_string(), SECOND): 1,
    }  # fmt: skip
    tracking = Tracking(embedded_tracking_uri(deployment.settings))
    registry = Registry(Warehouse(deployment.source_url))
    models = ModelVersions(tracking, registration.MODEL_NAME).all()
    assert {tags["dagster_partition"]: tags["stage"] for tags in models.values()} == {
        FIRST: "archived", SECOND: "training",
    }  # fmt: skip
    statuses = {each.version: each.status for each in registry.versions(registration.POLICY)}
    assert statuses == {0: "active", 1: "rejected", 2: "registered"}
    chain = _chain(deployment.instance)
    assert all(run.tags.items() >= LONG.items() for run in chain), "whoever starts a long run gives it its time"
    runs = [(run.job_name == TRAINING, run.status) for run in chain]
    success = dg.DagsterRunStatus.SUCCESS
    assert sorted(runs, key=str) == [(False, success), (False, success), (True, success), (True, success)]
    assert deployment.lake.current(address(DATASET, SECOND))


def _start_daemon(deployment: Deployment) -> subprocess.Popen:
    with (deployment.home / f"process-daemon-{len(list(deployment.home.glob('*.log')))}.log").open("w") as log:
        process = subprocess.Popen(
            DAEMON, cwd=deployment.home, env=deployment.environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    deployment.processes.append(process)
    return process


def _materialize(deployment: Deployment, week: str, last: str) -> None:
    """The week's days, dataset and catalogue, by hand."""
    program = BY_HAND.format(first=week, last=last, week=week)
    environment = {**deployment.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=deployment.home, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]


def _is_done(deployment: Deployment, asset: dg.AssetKey, week: str) -> bool:
    """Whether a run materialised the partition and none goes on; a failed run of the model's chain is told at once."""
    instance = deployment.instance
    failed = [run for run in _chain(instance) if run.status == dg.DagsterRunStatus.FAILURE]
    assert not failed, [(run.job_name, run.tags.get("dagster/partition")) for run in failed]
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[week])
    records = instance.fetch_materializations(wanted, limit=1).records
    return bool(records) and all(run.is_finished for run in instance.get_runs())


def _chain(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs of models, replays and verdicts; others the kill may have met."""
    chain = {MODEL, REPLAY_SCORES, POLICY_VERSION}
    return [run for run in instance.get_runs() if chain & (run.asset_selection or set()) or run.job_name == TRAINING]
