"""Runs whose process is gone without a word: found, declared failed, and so retried and told about.

A code server reports a run of its own that dies. When the code server dies itself (replaced, out of memory, the machine
restarted), its runs die with it and stay STARTED for ever: they hold their places in the queue and in pools, and neither
alert nor retry comes. Dagster's run monitor cannot see it, because the default launcher has no health check.

This sensor is evaluated where the runs live, in their code server's container or machine, and asks the operating system.
That is also its limit: one container per code location. Runs of other launchers, and of commands, are left alone.
"""

from __future__ import annotations

import re

import dagster as dg
import psutil

LAUNCHED_BY_CODE_SERVER = ".dagster/grpc_info"
LOCATION = ".dagster/repository"
WILL_RETRY = "dagster/will_retry"
PROCESS_REPORT = re.compile(r"^Started process for run \(pid: (\d+)\)")
CLOCK_SECONDS = 2.0  # between the kernel's idea of a process's start and the event's timestamp, which comes later
# As this code server saw it when it started. It moves when the clock is set, and with it the age of every process.
BOOT_TIME = psutil.boot_time()


def lost_runs(location: str) -> dg.SensorDefinition:
    """The sensor of one code location, on by default."""

    @dg.sensor(
        name=f"{location}_lost_runs",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Declares runs failed whose process died together with its code server.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        lost = fail_lost_runs(context.instance, location)
        return dg.SkipReason(
            f"declared failed: {', '.join(lost)}" if lost else "every run that is started has its process"
        )

    return sensor


def fail_lost_runs(instance: dg.DagsterInstance, location: str) -> list[str]:
    """Mark the location's started runs failed whose process does not exist on this machine; returns their ids."""
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={LOCATION: f"__repository__@{location}"})
    lost = [run for run in instance.get_runs(started) if _is_lost(instance, run)]
    failed = []
    for run in lost:
        # Again: it may have ended between the two looks, and its process with it.
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status == dg.DagsterRunStatus.STARTED:
            if instance.run_retries_enabled:
                # Dagster decides on the retry once the run has failed. A backfill that looked in between would see a run that is over
                # for good and end, and of a backfill that has ended nothing is retried.
                instance.add_run_tags(run.run_id, {WILL_RETRY: "true"})
            instance.report_run_failed(now, "The process of this run is gone: its code server died or was replaced.")
            failed.append(run.run_id)
    return failed


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    if LAUNCHED_BY_CODE_SERVER not in run.tags:
        return False
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        text = entry.dagster_event.message if entry.dagster_event else None
        if found := PROCESS_REPORT.match(text or ""):
            return not exists(int(found.group(1)), entry.timestamp)
    return False


def exists(pid: int, reported_at: float) -> bool:
    """Whether the process that reported its id then is still there; after a restart its number may be another's.

    Once the clock was set, ages cannot be compared with reports: then whatever has the number counts, so that no live run is
    declared failed.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        clock_was_set = abs(psutil.boot_time() - BOOT_TIME) > CLOCK_SECONDS
        return clock_was_set or process.create_time() <= reported_at + CLOCK_SECONDS
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # what may not be looked at is another user's
        return False
