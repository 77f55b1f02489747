"""Runs a program of the platform in its own process, through Dagster Pipes, on behalf of an asset.

Its own process, so that running out of memory is a clean failed step, the accelerator's memory is freed, and the same
command runs under torchrun or on a cluster. The program's log lines appear in the run's log as they come; its result is a
message (`training.program`). What a program does belongs to the pipeline.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg

from platform_assets.core.settings import STEP_PROCESS
from platform_assets.core.step import ProgramFailed, ProgramUnavailable

# A program that was told to stop may be writing a checkpoint.
PATIENCE_SECONDS = 60


def run_program(
    context: dg.AssetExecutionContext,
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `python -m module arguments` and return the result it told.

    Raises ProgramUnavailable where a later try may succeed; ProgramFailed, with the program's own words, for anything else.
    """
    command = [sys.executable, "-m", module, *arguments]
    context.log.info(f"started: python -m {module} {' '.join(arguments)}")
    with _pipes_session(context) as session:
        named = {STEP_PROCESS: str(os.getpid())}
        variables = {**os.environ, **(environment or {}), **named, **session.get_bootstrap_env_vars()}
        status = _wait(subprocess.Popen(command, env=variables))
    messages = [message for message in session.get_custom_messages() if isinstance(message, Mapping)]
    told = {name: value for message in messages for name, value in message.items()}
    if status == 0 and "result" in told:
        return dict(told["result"])
    if failure := told.get("failure"):
        if failure["transient"]:
            raise ProgramUnavailable(failure["message"])
        raise ProgramFailed(failure["message"])
    raise ProgramFailed(f"python -m {module} {_ending(status)}; its output is in the step's stderr")


@contextmanager
def _pipes_session(context: dg.AssetExecutionContext) -> Iterator[dg.PipesSession]:
    with ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.PreviewWarning)  # of its own use of a reader's property, at every start
            session = stack.enter_context(
                dg.open_pipes_session(
                    context=context.op_execution_context,
                    context_injector=dg.PipesTempFileContextInjector(),
                    message_reader=dg.PipesTempFileMessageReader(),
                )
            )
        yield session


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait()
    except BaseException:
        # The run was cancelled: nothing may go on writing in its name.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed (SIGKILL), as the system does when memory runs out: use a smaller batch, or more memory"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
