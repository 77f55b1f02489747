"""Processes forked from one that has imported the libraries: a start costs a tenth of a second instead of ten.

Programs too may be started so, in place of `subprocess.Popen`: they are processes of their own with everything that
`orchestration.programs` gives them, and only the imports are saved. What runs in the processes is the tests' business.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from platform_assets.orchestration import programs

SECONDS = 600
LIBRARIES = [
    "dagster_mlflow.resources", "llguidance", "matplotlib.pyplot", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store",
    "platform_assets.planner.definitions", "platform_assets.planner.decoding", "platform_assets.planner.language_model",
    "platform_assets.planner.replay", "platform_assets.planner.tiny", "platform_assets.planner.training",
    "platform_assets.planner.training_output", "platform_assets.training.trainer", "platform_assets_tests.postgres",
    "transformers.models.llama.modeling_llama", "peft", "scipy.stats", "psycopg", "duckdb", "sqlglot.lineage",
    "platform_assets.world_model.definitions", "platform_assets.world_model.fitting", "platform_assets.world_model.replay",
    "platform_assets.world_model.training", "platform_assets.world_model.training_output",
    "platform_assets_tests.end_to_end.warm_registration",
]  # fmt: skip
PROCESSES = multiprocessing.get_context("forkserver")


def start(target: Callable[..., None], *arguments: Any) -> Any:
    """A process that calls a function, which must be a module's own."""
    PROCESSES.set_forkserver_preload(LIBRARIES)
    process = PROCESSES.Process(target=target, args=arguments)
    with patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}):
        process.start()
    return process


def in_process(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function of a test module where the libraries are: this process never imports them."""
    process = start(function, *arguments)
    process.join(SECONDS)
    assert process.exitcode == 0, f"{function.__name__} ended with {process.exitcode}"


def start_programs_warm(before: Callable[[], object] | None) -> None:
    """Have this process, which has just begun, fork its programs; `before` is called in each of them first.

    They are forks of one that is made now: later this process has threads and connections, which no fork may share. (A fork
    server inside a fork server's process would begin anew, and import everything.)
    """
    here, there = multiprocessing.Pipe()
    if os.fork() == 0:
        here.close()
        _fork_programs(there, before)
        os._exit(0)
    there.close()
    programs.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=partial(_WarmProgram, here), TimeoutExpired=subprocess.TimeoutExpired
    )


class _WarmProgram:
    """A program's process as `subprocess.Popen` would start it."""

    def __init__(self, forks: Connection, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._forks = forks
        forks.send((command[2], list(command[3:]), dict(env)))
        self.pid: int = forks.recv()

    def wait(self, timeout: float | None = None) -> int:
        if not self._forks.poll(timeout):
            raise subprocess.TimeoutExpired("program", timeout or 0)
        return os.waitstatus_to_exitcode(self._forks.recv())

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _fork_programs(requests: Connection, before: Callable[[], object] | None) -> None:
    """One program after the other, until the process that asks for them is gone."""
    with suppress(EOFError):
        while True:
            module, arguments, environment = requests.recv()
            pid = os.fork()
            if pid == 0:
                os._exit(_run_program(before, module, arguments, environment))
            requests.send(pid)
            requests.send(os.waitpid(pid, 0)[1])


def _run_program(
    before: Callable[[], object] | None, module: str, arguments: list[str], environment: dict[str, str]
) -> int:
    os.environ.update(environment)
    try:
        if before:
            before()
        return importlib.import_module(module).main(arguments)
    except BaseException:
        traceback.print_exc()
        return 1
