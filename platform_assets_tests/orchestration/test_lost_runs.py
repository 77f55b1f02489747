"""Runs whose process is gone are declared failed; runs that live, or that no code server launched, are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import dagster as dg
import psutil
import pytest

from platform_assets.orchestration import lost_runs
from platform_assets.orchestration.lost_runs import (
    LAUNCHED_BY_CODE_SERVER,
    LOCATION,
    WILL_RETRY,
    exists,
    fail_lost_runs,
)

OF_PLANNER = {LOCATION: "__repository__@planner", LAUNCHED_BY_CODE_SERVER: "{}"}


@dg.op
def nothing() -> None: ...


@dg.job
def work() -> None:
    nothing()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as created:
        yield created


@pytest.fixture
def process() -> Iterator[subprocess.Popen]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as running:
        yield running
        running.kill()


def started(instance: dg.DagsterInstance, pid: int, tags: dict[str, str]) -> str:
    """A run in status STARTED whose process reported its id, as the framework records both."""
    run = instance.create_run_for_job(work, run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.report_engine_event(f"Started process for run (pid: {pid}).", run)
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def tags(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return dict(run.tags)


def test_a_run_fails_when_its_process_dies_and_not_before(
    instance: dg.DagsterInstance, process: subprocess.Popen
) -> None:
    run_id = started(instance, process.pid, OF_PLANNER)
    assert fail_lost_runs(instance, "planner") == []
    process.kill()
    process.wait()
    assert fail_lost_runs(instance, "planner") == [run_id]
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert fail_lost_runs(instance, "planner") == []


@pytest.mark.parametrize(("retries", "is_retried"), [(2, "true"), (0, "false")])
def test_no_look_of_a_backfill_sees_a_lost_run_as_over_for_good_that_will_be_retried(
    retries: int, is_retried: str, process: subprocess.Popen, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"run_retries": {"enabled": True, "max_retries": retries}}
    with dg.DagsterInstance.ephemeral(settings=settings) as instance:
        seen, add = [], instance.run_storage.handle_run_event
        monkeypatch.setattr(
            instance.run_storage, "handle_run_event", lambda *event: (add(*event), seen.append(tags(instance, run_id)))
        )
        run_id = started(instance, process.pid, OF_PLANNER)
        process.kill()
        process.wait()
        assert fail_lost_runs(instance, "planner") == [run_id]
        assert seen[-1][WILL_RETRY] == "true", "as soon as it has failed"
        assert tags(instance, run_id)[WILL_RETRY] == is_retried, "as Dagster decides then"


def test_where_nothing_is_retried_a_lost_run_does_not_wait_for_it(
    instance: dg.DagsterInstance, process: subprocess.Popen
) -> None:
    run_id = started(instance, process.pid, OF_PLANNER)
    process.kill()
    process.wait()
    assert fail_lost_runs(instance, "planner") == [run_id]
    assert WILL_RETRY not in tags(instance, run_id)


def test_a_younger_process_of_the_same_number_is_another_process() -> None:
    created = psutil.Process(os.getpid()).create_time()
    assert exists(os.getpid(), reported_at=created)
    assert not exists(os.getpid(), reported_at=created - 60)


def test_after_the_clock_was_set_no_live_process_counts_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "boot_time", lambda: lost_runs.BOOT_TIME + 3_600)
    assert exists(os.getpid(), reported_at=psutil.Process(os.getpid()).create_time() - 60)


@pytest.mark.parametrize(
    "tags",
    [{LOCATION: "__repository__@planner"}, {LOCATION: "__repository__@other", LAUNCHED_BY_CODE_SERVER: "{}"}],
    ids=["of a command", "of another code location"],
)
def test_what_lives_elsewhere_is_left_alone(
    instance: dg.DagsterInstance, process: subprocess.Popen, tags: dict[str, str]
) -> None:
    run_id = started(instance, process.pid, tags)
    process.kill()
    process.wait()
    assert fail_lost_runs(instance, "planner") == []
    assert status(instance, run_id) == dg.DagsterRunStatus.STARTED
