"""A temporary Postgres server with every migration applied; nothing of it outlives the block.

The tests have fixtures to the same end; benchmarks do not import the tests, so that each can change alone.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from platform_assets.core import embedded_postgres, migrations
from platform_assets.core.warehouse import database_url

TEMPLATE = "migrated"


@contextmanager
def workplace(prefix: str = "platform-assets-benchmark-") -> Iterator[Path]:
    """A working folder that is gone after the block. Others may enter it: run as root, the server runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """URL of a running server whose database TEMPLATE has every migration applied."""
    data = folder / "postgres"
    url = embedded_postgres.url(data, "postgres")
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        migrations.upgrade(database_url(url, TEMPLATE))
        yield url
    finally:
        embedded_postgres.stop(data)


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """URL of a migrated, empty database; dropped after the block, so that the next one is written to a disk as empty."""
    name = f"benchmark_{uuid.uuid4().hex[:12]}"
    quoted = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(quoted, sql.Identifier(TEMPLATE)))
        yield database_url(url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))


def settle(url: str) -> None:
    """What a database does on its own after a bulk load, done before anything is measured."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
