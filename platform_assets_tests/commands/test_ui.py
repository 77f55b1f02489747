"""How `make ui` ends: quietly, whatever its processes do, and only once all that they started is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from platform_assets_tests.processes import wait_for

# Holds one process, which leads a group and starts another, of a program each, and tells the patience in seconds.
# Whatever the tests' own process ignores or holds back, as one in a shell's background does, and passes on to its children.
HOLDER = """
import signal, subprocess, sys
signal.pthread_sigmask(signal.SIG_SETMASK, ())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
from platform_assets.commands import ui
ui.CODE_SERVER_SECONDS, ui.STOP_SECONDS = map(float, sys.argv[1:3])
told = ui.listen()
sys.exit(ui.hold([subprocess.Popen([sys.executable, *sys.argv[3:]], start_new_session=True)], told))
"""
LEADER = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, *sys.argv[2:]])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""
# Each says in a file that it is ready for signals.
STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
SLOW = """
import pathlib, signal, sys, time
told = []
signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
pathlib.Path(sys.argv[1]).touch()
while not told:
    time.sleep(0.05)
time.sleep(1.5)
pathlib.Path(sys.argv[1]).write_text("recorded")
"""


@contextmanager
def held(folder: Path, patience: Sequence[float], program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a leader and its child, which runs the program."""
    pids, ready = folder / "pids", folder / "ready"
    command = [sys.executable, "-c", HOLDER, *map(str, patience), "-c", LEADER, str(pids)]
    process = subprocess.Popen(
        [*command, "-c", program, str(ready), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for("the child", ready.exists, 60, [process])
        yield process
    finally:
        process.kill()
        with suppress(ProcessLookupError):
            os.killpg(leader(folder), signal.SIGKILL)


def leader(folder: Path) -> int:
    return int((folder / "pids").read_text().split()[0])


def running(folder: Path) -> list[int]:
    """Which of the leader and its child run."""
    found = []
    for pid in map(int, (folder / "pids").read_text().split()):
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_a_process_started_may_finish_although_the_process_itself_is_over(
    tmp_path: Path, number: signal.Signals
) -> None:
    with held(tmp_path, (10, 20), SLOW) as process:
        process.send_signal(number)
        said, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
        assert "stopping" in said
        assert (tmp_path / "ready").read_text() == "recorded"
        assert running(tmp_path) == []


def test_what_does_not_end_is_killed_and_further_signals_change_nothing(tmp_path: Path) -> None:
    with held(tmp_path, (0.5, 1.5), STUBBORN) as process:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
            time.sleep(0.4)
        assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
        assert running(tmp_path) == []


def test_a_code_server_is_not_waited_for_as_long_as_a_run(tmp_path: Path) -> None:
    with held(tmp_path, (0.5, 60), STUBBORN, "code-server") as process:
        process.terminate()
        assert (process.communicate(timeout=30)[1], process.returncode) == ("", 0)
        assert running(tmp_path) == []


def test_one_that_fails_ends_all_with_its_status(tmp_path: Path) -> None:
    with held(tmp_path, (0.5, 1), STUBBORN) as process:
        os.kill(leader(tmp_path), signal.SIGKILL)
        assert (process.communicate(timeout=30)[1], process.returncode) == ("", 256 - signal.SIGKILL)
        assert running(tmp_path) == []
