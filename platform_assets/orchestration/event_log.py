"""Makes Dagster's local event log (SQLite) quick enough for a range of partitions; other storages are left as they are.

Dagster opens a connection for every statement of every event and closes it again. As the last of its database, each closing
copies the write-ahead log into the database, deletes it, and waits for the disk; and each commit waits for the disk, too. A
partition has a dozen events. Inside `quick_event_log()` one idle connection a database keeps the write-ahead log open, and
commits are handed to the operating system without waiting (synchronous = NORMAL).

What that gives up: a crash of the whole machine (power loss) may lose the last events, never the database's consistency. A
crash of the process, kill -9 included, loses nothing. A lost event of a publication is found again from the manifests.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any


@contextmanager
def quick_event_log() -> Iterator[None]:
    """For the block, every SQLite database with a write-ahead log that this process opens through SQLAlchemy is quick."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    held: set[str] = set()
    with ExitStack() as open_ones:

        def on_connect(connection: Any, _: Any) -> None:
            # Without a write-ahead log, NORMAL would put the database itself at risk.
            if not isinstance(connection, sqlite3.Connection) or _pragma(connection, "journal_mode") != "wal":
                return
            connection.execute("PRAGMA synchronous = NORMAL")
            path = _path(connection)
            if path not in held:
                held.add(path)
                open_ones.enter_context(closing(_open(path)))

        event.listen(Engine, "connect", on_connect)
        try:
            yield
        finally:
            event.remove(Engine, "connect", on_connect)


def _open(path: str) -> sqlite3.Connection:
    """An idle connection that has read once: only from then on does it keep the write-ahead log. It holds no lock."""
    connection = sqlite3.connect(path, check_same_thread=False)  # a generator may be finished by another thread
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


def _path(connection: sqlite3.Connection) -> str:
    return connection.execute("PRAGMA database_list").fetchone()[2]


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
