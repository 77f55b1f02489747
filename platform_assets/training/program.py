"""What every program that an asset starts has in common: how it tells its result, its failure and its progress.

A program (`python -m platform_assets.planner.training ...`) is an ordinary command. Started by an asset it speaks Dagster
Pipes as well: log lines reach the run's log, the result or the failure travels as a message. An expected failure is one
line on stderr and an exit status: 75 (EX_TEMPFAIL) where the same command may succeed later, else 1.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import psutil
from dagster_pipes import PipesContext, PipesEnvVarParamsLoader, open_dagster_pipes

from platform_assets.core.lake import LakeError, StoreUnreachable
from platform_assets.core.settings import STEP_PROCESS, SettingError
from platform_assets.core.tracking import TrackingError, TrackingUnreachable
from platform_assets.core.warehouse import Unreachable, WarehouseError
from platform_assets.training.errors import WorkFolderBusy

TRY_AGAIN = os.EX_TEMPFAIL
TRANSIENT = (Unreachable, StoreUnreachable, TrackingUnreachable, WorkFolderBusy)
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
EXPECTED = (LakeError, SettingError, TrackingError, WarehouseError)


def run(work: Callable[[], Mapping[str, Any]], expected: tuple[type[Exception], ...] = ()) -> int:
    """Do a program's work, tell its result to whoever started it, and return its exit status.

    `expected` are the program's own errors whose message is meant for people; any other error is a bug and is raised.
    """
    speaks_pipes = PipesEnvVarParamsLoader().is_dagster_pipes_process()
    # Also the further processes of a distributed training, which leave talking to Dagster to the first.
    if speaks_pipes or STEP_PROCESS in os.environ:
        _end_with_the_step()
    if not speaks_pipes:
        return _attempt(work, expected, lambda message: None)
    with open_dagster_pipes() as pipes:
        return _attempt(work, expected, pipes.report_custom_message)


def say(message: str) -> None:
    """A line of progress: into the run's log under Dagster, else to stderr."""
    if PipesContext.is_initialized():
        PipesContext.get().log.info(message)
    else:
        print(message, file=sys.stderr, flush=True)  # noqa: T201 - a command's progress


def say_by_hand(message: str) -> None:
    """A line for whoever runs the command: where it wrote. Under Dagster nothing, where that is gone as soon as it is published."""
    if not PipesContext.is_initialized():
        say(message)


def _end_with_the_step() -> None:
    """A step that is killed runs no clean-up: its program must not go on beside the step's repetition (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        # The step may have died before the kernel was asked.
        if not psutil.pid_exists(int(os.environ.get(STEP_PROCESS, os.getppid()))):
            os.kill(os.getpid(), signal.SIGKILL)


def _attempt(
    work: Callable[[], Mapping[str, Any]], expected: tuple[type[Exception], ...], tell: Callable[[Any], None]
) -> int:
    try:
        tell({"result": dict(work())})
    except (*EXPECTED, *expected) as error:
        transient = isinstance(error, TRANSIENT)
        tell({"failure": {"message": str(error), "transient": transient}})
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201
        return TRY_AGAIN if transient else 1
    return 0
