"""Runs of a job in this process, on the local instance: what commands use. The UI shows them like any other run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from platform_assets.orchestration.alert_text import redact
from platform_assets.orchestration.event_log import quick_event_log
from platform_assets.orchestration.partitioned import RANGE_END, RANGE_START

QUIET = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}  # progress, without every event


class RunFailed(RuntimeError):
    """A run did not succeed; the message names it."""


def run_range(
    definitions: dg.Definitions, job: str, first: str, last: str, instance: dg.DagsterInstance | None = None,
    run_config: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """One run over the partitions from `first` to `last`, on the environment's instance by default. Raises RunFailed.

    `run_config` as the Launchpad takes it; it goes over what is set here for every run.
    """
    with quick_event_log():
        result = definitions.resolve_job_def(job).execute_in_process(
            run_config={**QUIET, **(run_config or {})},
            instance=instance or dg.DagsterInstance.get(),
            tags={RANGE_START: first, RANGE_END: last},
            raise_on_error=False,
        )
    if not result.success:
        errors = [event.step_failure_data.error for event in result.filter_events(lambda event: event.is_step_failure)]
        causes = redact("; ".join((error.cause or error).message.strip() for error in errors if error))
        raise RunFailed(f"{job} failed: run {result.run_id}; `make ui` shows it: {causes}")
