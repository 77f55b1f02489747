"""The production stack on this machine: deploy/ as it is but for its daemon's pauses, around a database that may only be read."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import psycopg
import pytest

from platform_assets.core import migrations
from platform_assets.core.lake import Lake
from platform_assets.simulators.meal_app import Scenario, load, simulate
from platform_assets_tests.end_to_end.deployment import HASTY_DAEMON, Deployment, copy_instance
from platform_assets_tests.end_to_end.external_services import BIN, DEPLOY, ROOT, Compose
from platform_assets_tests.end_to_end.hasty_daemon import SERVICES
from platform_assets_tests.end_to_end.own_services import Postgres, own_postgres
from platform_assets_tests.lake_stores import ACCESS_KEY, SECRET_KEY, Server
from platform_assets_tests.postgres import open_folder
from platform_assets_tests.processes import free_port, is_listening, stop

START, END, WEEKS = date(2026, 1, 2), date(2026, 1, 9), 1
PASSWORD = "0123456789abcdef"
READER = "planner_reader"


@dataclass
class Production(Deployment):
    """A deployment whose processes are the services of deploy/compose.yaml."""

    compose: Compose = field(kw_only=True)
    postgres: Postgres = field(kw_only=True)
    services: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def application_url(self) -> str:
        """The application's database, as its owner sees it."""
        return self.postgres.url("application")

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.settings.lake_url, single_writer=True)

    def process_environment(self, service: str) -> dict[str, str]:
        """As in the container: the service's own variables, and what the image sets."""
        image = {"DAGSTER_HOME": str(self.home), "PLATFORM_HOME": str(self.home / "platform"), "HOME": str(self.home)}
        path = os.pathsep.join([str(BIN), os.environ["PATH"]])
        # The code of this checkout, wherever the interpreter has another one installed.
        return {"PATH": path, "PYTHONPATH": str(ROOT), **image, **self.compose.environment(service)}

    def command(self, service: str) -> list[str]:
        """As in the container, but for the daemon's pauses."""
        program, *arguments = self.compose.command(service)
        hasty = [sys.executable, str(HASTY_DAEMON), SERVICES]
        return [*(hasty if service == "daemon" else [program]), *arguments]

    def launch(self, service: str) -> None:
        """Start a long-lived service."""
        with (self.home / f"process-{service}.log").open("a") as log:
            self.services[service] = subprocess.Popen(
                self.command(service), cwd=self.home, env=self.process_environment(service),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(self.services[service])

    def kill(self, service: str) -> None:
        """kill -9 to it and everything it started, as when its container is killed."""
        process = self.services.pop(service)
        self.processes.remove(process)
        stop(process, by=signal.SIGKILL)

    def run_once(self, service: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a one-shot service to its end."""
        return subprocess.run(
            [*self.compose.command(service), *arguments], cwd=self.home, env=self.process_environment(service),
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def is_listening(self, service: str) -> bool:
        """Whether somebody accepts connections at the port that the service is started with."""
        words = self.command(service)
        return is_listening(int(words[words.index("-p") + 1]))

    def is_well(self, service: str) -> bool:
        """What the service's health check says."""
        command = self.compose.health_check(service)
        done = subprocess.run(command, cwd=self.home, env=self.process_environment(service), capture_output=True)
        return done.returncode == 0

    def locations_loaded(self) -> bool:
        """Whether the web server answers and every code location is loaded."""
        return self._answers()

    def mlflow_answers(self) -> bool:
        """Whether MLflow answers to the name by which the others know it."""
        try:
            with urllib.request.urlopen(f"{self.environment['MLFLOW_TRACKING_URI']}/health", timeout=5) as response:
                return response.status == 200
        except (OSError, urllib.error.HTTPError):
            return False


@contextmanager
def production(store: Server) -> Iterator[Production]:
    """Databases, bucket and a simulated application; no service of the platform started yet."""
    with own_postgres(PASSWORD) as postgres:
        home = open_folder("platform-assets-production-")
        copy_instance(DEPLOY / "dagster.yaml", home)
        for name in ("workspace.yaml", "create_bucket.py"):
            shutil.copy(DEPLOY / name, home)
        stack = _stack(store, postgres.port)
        deployment = Production(home, {}, int(stack.addresses["3000"]), compose=stack, postgres=postgres)
        deployment.environment = deployment.process_environment("planner")
        postgres.run_file(DEPLOY / "databases.sql", stack.environment("postgres"))
        _simulate_application(deployment)
        # This process reads the instance and the lake as the services do.
        with pytest.MonkeyPatch.context() as patch:
            for name, value in deployment.environment.items():
                patch.setenv(name, value)
            try:
                yield deployment
            finally:
                deployment.close()
                shutil.rmtree(home, ignore_errors=True)


def _stack(store: Server, port: int) -> Compose:
    names = ("POSTGRES_PASSWORD", "PLATFORM_DATABASE_PASSWORD", "DAGSTER_DATABASE_PASSWORD", "MLFLOW_DATABASE_PASSWORD")
    values = {
        **dict.fromkeys(names, PASSWORD), "PLATFORM_VERSION": "test", "PLATFORM_BUCKET": "production-bucket",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "PLATFORM_LAKE_SINGLE_WRITER": "1" if store.single_writer else "",
        "PLATFORM_SOURCE_URL": f"postgresql://{READER}:{PASSWORD}@postgres:5432/application",
        "PLATFORM_PLANNER_START": START.isoformat(), "PLATFORM_PLANNER_END": END.isoformat(),
        "PLATFORM_PLANNER_MINIMUM_ROWS": "10", "PLATFORM_PLANNER_RETRAIN_ROWS": "1000000000",
        "MLFLOW_WORKERS": "1",
    }  # fmt: skip
    mlflow, web, planner, world_model, query_predictor = (free_port() for _ in range(5))
    addresses = {
        "postgres:5432": f"127.0.0.1:{port}", "http://s3:8333": store.endpoint, "0.0.0.0": "127.0.0.1",
        "mlflow:5000": f"127.0.0.1:{mlflow}", "localhost:5000": f"127.0.0.1:{mlflow}", "127.0.0.1:5000": f"127.0.0.1:{mlflow}",
        "127.0.0.1:3000": f"127.0.0.1:{web}",
        "5000": str(mlflow), "3000": str(web), "4000": str(planner), "4001": str(world_model),
        "4002": str(query_predictor), "planner": "127.0.0.1", "world_model": "127.0.0.1", "query_predictor": "127.0.0.1",
    }  # fmt: skip
    return Compose(values, addresses)


def _simulate_application(deployment: Production) -> None:
    """A database of its own, filled, and a role that may read it and nothing more."""
    with psycopg.connect(deployment.postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE application")
        connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'")
    migrations.upgrade(deployment.application_url)
    load(simulate(Scenario(seed=3, households=60, start=START, weeks=WEEKS)), deployment.application_url)
    with psycopg.connect(deployment.application_url) as connection:
        connection.execute(f"GRANT USAGE ON SCHEMA exp TO {READER}")
        connection.execute(f"GRANT SELECT ON exp.events TO {READER}")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")
