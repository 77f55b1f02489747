"""Fixtures: a real Postgres per test process, and a freshly migrated database per test.

The server's folder lies directly under the temporary folder and is open to others: run as root, the embedded server runs
as another user and must be able to reach it.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from platform_assets.core import embedded_postgres, migrations
from platform_assets.core.warehouse import database_url

TEMPLATE = "migrated"
# Of a server for minutes, with databases that nothing reads after it: they need not outlive a crash of the machine.
HASTY = ("fsync", "synchronous_commit", "full_page_writes")


def open_folder(prefix: str) -> Path:
    """A new folder that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a running server."""
    folder = open_folder("platform-assets-postgres-")
    data = folder / "data"
    url = embedded_postgres.url(data, "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        hasten(connection)
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    migrations.upgrade(database_url(url, TEMPLATE))
    yield url
    embedded_postgres.stop(data)
    shutil.rmtree(folder, ignore_errors=True)


def hasten(connection: psycopg.Connection) -> None:
    """Have the server wait for no disk, at once and after a restart. The connection commits each statement."""
    for setting in HASTY:
        connection.execute(f"ALTER SYSTEM SET {setting} = off")
    connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """URL of a new database with every migration applied."""
    return new_database(postgres_server, TEMPLATE)


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: str) -> str:
    """As `postgres_url`, shared by the tests of one file."""
    return new_database(postgres_server, TEMPLATE)


@pytest.fixture
def empty_postgres_url(postgres_server: str) -> str:
    """URL of a new, empty database."""
    return new_database(postgres_server, "template1")


@pytest.fixture(scope="module")
def module_empty_postgres_url(postgres_server: str) -> str:
    """As `empty_postgres_url`, shared by the tests of one file."""
    return new_database(postgres_server, "template1")


def new_database(server: str, template: str) -> str:
    """Create a database of a random name."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        # By files: through the log, which is the default, it takes half as long again.
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return database_url(server, name)


def copy_database(server: str, url: str) -> str:
    """A copy of a database that nobody needs any more: connections that this process keeps to it would forbid it."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [name])
    return new_database(server, str(name))
