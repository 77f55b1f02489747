"""A real deployment in a temporary folder: embedded Postgres, dagster-webserver and dagster-daemon as processes.

Tests speak to it as a user does: GraphQL, the lake, MLflow. Everything is stopped and removed at the end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import psycopg

from platform_assets.core import embedded_postgres
from platform_assets.core.lake import Lake
from platform_assets.core.settings import Settings
from platform_assets_tests.postgres import hasten, open_folder
from platform_assets_tests.processes import free_port, stop, wait_for

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HASTY_DAEMON = Path(__file__).with_name("hasty_daemon.py")
# One code location, the planner's: its two code servers are half of what web server and daemon start.
WORKSPACE = """
load_from:
  - python_module:
      module_name: platform_assets.planner.definitions
      location_name: planner
"""
# Of an instance's file: how long after a run's end, or a code server's, something is done.
_DELAYS = re.compile(r"(free_slots_after_run_end_seconds|user_code_failure_retry_delay): \d+")


@dataclass
class Deployment:
    """A running platform."""

    home: Path
    environment: dict[str, str]
    port: int
    processes: list[subprocess.Popen] = field(default_factory=list)
    _opened: ExitStack = field(default_factory=ExitStack)

    @property
    def settings(self) -> Settings:
        """The settings its processes see."""
        return Settings.from_environment(self.environment)

    @property
    def source_url(self) -> str:
        """The application's database."""
        return embedded_postgres.url(self.settings.postgres_folder)

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.settings.lake_url)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Its Dagster instance: opened once, as whoever waits looks at it every other second."""
        return self._opened.enter_context(dg.DagsterInstance.from_config(str(self.home)))

    def close(self) -> None:
        """End every process, and what it started, at once: nobody looks at what an orderly end would leave."""
        stop(*self.processes, by=signal.SIGKILL)
        self._opened.close()

    def start(self, *commands: Sequence[str]) -> None:
        """Start Dagster's processes and wait for the web server."""
        for number, command in enumerate(commands):
            log = (self.home / f"process-{number}.log").open("w")
            self.processes.append(
                subprocess.Popen(
                    [str(BIN / command[0]), *command[1:]],
                    cwd=self.home,  # Dagster reads .env of its folder over the environment
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
            # One after the other: both create the instance's tables, and SQLite would have them collide.
            self.wait_for("the web server", self._answers, 90)

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """One GraphQL request; raises when it has errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error}: {error.read().decode()}\n{self.logs()}") from None
        assert "errors" not in answer, answer
        return answer["data"]

    def launch_backfill(self, assets: Sequence[dg.AssetKey], partitions: Sequence[str]) -> str:
        """Launch a partition backfill as the UI does; returns its id."""
        query = """
            mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
                __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
        """
        keys = [{"path": list(asset.path)} for asset in assets]
        found = self.graphql(query, {"params": {"assetSelection": keys, "partitionNames": list(partitions)}})
        assert found["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", found
        return found["launchPartitionBackfill"]["backfillId"]

    def materializations(self, *assets: dg.AssetKey) -> Counter[tuple[str, str]]:
        """How often each partition of the assets was materialised: runs, not events."""
        found: set[tuple[str, str, str]] = set()
        for asset in assets:
            for record in self.instance.fetch_materializations(asset, limit=5_000).records:
                found.add((asset.to_user_string(), record.partition_key or "", record.run_id))
        return Counter((asset, partition) for asset, partition, _ in found)

    def runs_are_over(self) -> bool:
        """Whether no run is queued or goes on: what a run leaves in MLflow, and its checks on a page, come after its files."""
        return all(run.is_finished for run in self.instance.get_runs())

    def wait_for(self, what: str, condition: Callable[[], Any], seconds: float) -> Any:
        """As `processes.wait_for`, with the ends of the logs when it does not come."""
        try:
            return wait_for(what, condition, seconds, self.processes, pause=2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def logs(self) -> str:
        """The ends of its processes' logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.home.glob("process-*.log"))
        )

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=5) as response:
                assert response.status == 200
            loaded = self.graphql("{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }", {})
            return {entry["loadStatus"] for entry in loaded["workspaceOrError"]["locationEntries"]} == {"LOADED"}
        except (OSError, AssertionError):
            return False


@contextmanager
def deployed(start: date, end: date, minimum_rows: int) -> Iterator[Deployment]:
    """A set-up deployment, nothing simulated, no Dagster process started yet."""
    home = open_folder("platform-assets-deployment-")
    storage = home / "dagster"
    storage.mkdir()
    copy_instance(ROOT / "dagster.yaml", home)
    (home / "workspace.yaml").write_text(WORKSPACE)
    environment = {
        "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PLATFORM_HOME": str(home / "platform"),
        "DAGSTER_HOME": str(home), "PLATFORM_DAGSTER_STORAGE": str(storage), "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PLATFORM_PLANNER_START": start.isoformat(), "PLATFORM_PLANNER_END": end.isoformat(),
        "PLATFORM_PLANNER_MINIMUM_ROWS": str(minimum_rows),
        # No test of the data path pays for a training that its weeks would request.
        "PLATFORM_PLANNER_RETRAIN_ROWS": "1000000000",
    }  # fmt: skip
    deployment = Deployment(home, environment, free_port())
    # The deployment's dagster.yaml is read through environment variables by this process too.
    with patch.dict(os.environ, environment), embedded_postgres.held(deployment.settings.postgres_folder):
        try:
            command = [sys.executable, "-m", "platform_assets.commands", "setup"]
            subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True)
            with psycopg.connect(deployment.source_url, autocommit=True) as connection:
                hasten(connection)
            yield deployment
        finally:
            deployment.close()
            embedded_postgres.stop(deployment.settings.postgres_folder)
            shutil.rmtree(home, ignore_errors=True)


def copy_instance(file: Path, home: Path) -> None:
    """An instance's file as it is, with the delays of `hasty_daemon`."""
    text, found = _DELAYS.subn(r"\1: 3", file.read_text(encoding="utf-8"))
    assert found, f"{file} has other delays than it had"
    (home / file.name).write_text(text)


def web_server(deployment: Deployment) -> list[str]:
    """Program and arguments of the web server."""
    return ["dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(deployment.port)]


DAEMON = [sys.executable, str(HASTY_DAEMON), "run", "-w", "workspace.yaml"]
