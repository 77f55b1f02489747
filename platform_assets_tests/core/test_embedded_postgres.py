"""The embedded server can be stopped, killed and started again under a process that goes on using it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from platform_assets.core import embedded_postgres
from platform_assets_tests.postgres import open_folder
from platform_assets_tests.processes import wait_for


@pytest.fixture
def folder() -> Iterator[Path]:
    parent = open_folder("platform-assets-embedded-")
    yield parent / "data"
    embedded_postgres.stop(parent / "data")
    shutil.rmtree(parent, ignore_errors=True)


def answers(folder: Path) -> bool:
    with psycopg.connect(embedded_postgres.url(folder, "postgres")) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().splitlines()[0])


def elsewhere(folder: Path, call: str) -> None:
    """Call a function of the module in another process."""
    program = (
        "import os; from pathlib import Path; from platform_assets.core import embedded_postgres\n"
        f"embedded_postgres.{call}(Path({str(folder)!r})); os._exit(0)  # leaves without stopping what it started"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_a_server_that_another_process_stopped_is_started_again_by_the_next_use(folder: Path) -> None:
    assert answers(folder)
    elsewhere(folder, "stop")
    assert not (folder / "postmaster.pid").exists()
    assert answers(folder)


def test_a_server_that_another_process_started_again_is_the_one_that_stop_stops(folder: Path) -> None:
    assert answers(folder)
    first = postmaster(folder)
    elsewhere(folder, "stop")
    elsewhere(folder, "url")
    assert postmaster(folder) != first
    assert embedded_postgres.stop(folder)
    assert not (folder / "postmaster.pid").exists()


def test_a_server_that_was_killed_is_started_again_by_the_next_use(folder: Path) -> None:
    assert answers(folder)
    processes = [psutil.Process(postmaster(folder)), *psutil.Process(postmaster(folder)).children(recursive=True)]
    processes[0].kill()
    # Its workers end by themselves when they miss it.
    wait_for("the end of all", lambda: not any(is_alive(process) for process in processes), 60)
    assert answers(folder)


def is_alive(process: psutil.Process) -> bool:
    """Zombies are dead: they stay where the first process of a container reaps none."""
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
