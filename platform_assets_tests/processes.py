"""Processes that tests start: a free port for them, waiting until they answer, and their end.

Which processes, and what is asked of them, belongs to the module that starts them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any


def free_port() -> int:
    """A port of this machine nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def wait_for(
    what: str, condition: Callable[[], Any], seconds: float, processes: Iterable[subprocess.Popen] = (), pause: float = 0.1
) -> Any:  # fmt: skip
    """What the condition returns, once that is true; AssertionError when it does not come or a process ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        for process in processes:
            assert process.poll() is None, f"before {what}, {process.args} ended with {process.returncode}"
        time.sleep(pause)
    raise AssertionError(f"{what} did not come in {seconds:.0f} s")


def stop(*processes: subprocess.Popen, by: signal.Signals = signal.SIGTERM, seconds: float = 20) -> None:
    """Ask each to end, with what it started when it leads a group of its own; kill what has not ended in time."""
    for process in processes:
        _send(process, by)
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _send(process, signal.SIGKILL)
            process.wait()


def _send(process: subprocess.Popen, number: signal.Signals) -> None:
    if process.poll() is None:
        is_leader = os.getpgid(process.pid) == process.pid
        os.killpg(process.pid, number) if is_leader else process.send_signal(number)
