"""Dagster's daemon with short pauses: what it does is what `dagster-daemon` does, and only how often it looks is a test's.

    python platform_assets_tests/end_to_end/hasty_daemon.py run -w workspace.yaml

Its loops, the sensors' intervals and the instance's delays are made for a platform that runs for years; a story of a test
would spend nine tenths of its time in them. The intervals are shortened in this process alone: code servers, runs and the
web server are those of production, and so is every decision. Whether the platform's own intervals are sensible is nothing
that a test which waits for them would tell.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from importlib.metadata import entry_points
from typing import Any
from unittest.mock import patch

RELOADS = "dagster._daemon.controller.RELOAD_WORKSPACE_INTERVAL"
# Where the code servers are services of their own, one that was killed and came back is found as in production.
SERVICES = "--with-code-services"
# By name: Dagster has no public setting for them, and a name that is gone fails at the start.
SENSORS = re.compile("planner_(?!end_mlflow_runs)")
PAUSES_SECONDS: dict[str, Any] = {
    # Of the sensors that the stories wait for: every tick costs processor time, which others need meanwhile.
    "dagster._core.remote_representation.external.RemoteSensor.min_interval_seconds": property(
        lambda sensor: 8 if SENSORS.match(sensor.name) else 30
    ),
    "dagster._daemon.sensor.MIN_INTERVAL_LOOP_TIME": 2,
    "dagster._daemon.asset_daemon.MIN_INTERVAL_LOOP_SECONDS": 2,
    "dagster._daemon.controller.DEFAULT_DAEMON_INTERVAL_SECONDS": 3,  # of backfills
    # Longer, for once: every minute the daemon replaces its code servers by new ones, which import everything anew. The code of a
    # story stays as it is.
    RELOADS: 3600,
    "dagster._core.run_coordinator.queued_run_coordinator.QueuedRunCoordinator.dequeue_interval_seconds": 2,
    "dagster.DagsterInstance.run_monitoring_poll_interval_seconds": 3,
}


def main() -> None:
    """Run the daemon's own program."""
    os.environ["DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS"] = "2"  # retries of runs that were lost
    (program,) = entry_points(group="console_scripts", name="dagster-daemon")
    daemon = program.load()
    shortened = dict(PAUSES_SECONDS)
    if SERVICES in sys.argv:
        sys.argv.remove(SERVICES)
        del shortened[RELOADS]
    with ExitStack() as pauses:
        for name, seconds in shortened.items():
            pauses.enter_context(patch(name, seconds))
        daemon()


if __name__ == "__main__":
    sys.exit(main())
