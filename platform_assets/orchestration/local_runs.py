"""Runs of a job in this process, on the local instance: what commands use. The UI shows them like any other run."""

from __future__ import annotations

import dagster as dg

from platform_assets.orchestration.partitioned import RANGE_END, RANGE_START

QUIET = {"loggers": {"console": {"config": {"log_level": "INFO"}}}}  # progress, without every event


class RunFailed(RuntimeError):
    """A run did not succeed; the message names it."""


def run_range(definitions: dg.Definitions, job: str, first: str, last: str) -> None:
    """One run over the partitions from `first` to `last`. Raises RunFailed."""
    result = definitions.resolve_job_def(job).execute_in_process(
        run_config=QUIET,
        instance=dg.DagsterInstance.get(),
        tags={RANGE_START: first, RANGE_END: last},
        raise_on_error=False,
    )
    if not result.success:
        raise RunFailed(f"{job} failed: run {result.run_id}; `make ui` shows it")
