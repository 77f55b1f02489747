"""Open Dagster and MLflow, print both addresses, and hold the embedded server while they run."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

import psutil

from platform_assets.commands.setup import embedded_server_held, set_up, ui_lock
from platform_assets.core.redaction import without_password
from platform_assets.core.services import embedded_tracking_uri
from platform_assets.core.settings import SettingError, Settings
from platform_assets.orchestration.resources import EMBEDDED_UI

# MLflow's server would start five processes for jobs that nothing here submits, each of which imports all of it.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
# A run that is stopped records that; its training goes on from its newest checkpoint when it is tried again.
STOP_SECONDS = 75.0
# Dagster's code servers only forward, and wait half a minute for their runs, to fail with a traceback then.
CODE_SERVER_SECONDS = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--port` of Dagster."""
    parser.add_argument("--port", type=int, default=3000, help="port of Dagster's web server")


def run(arguments: argparse.Namespace) -> int:
    """Start both, wait until one ends or Ctrl-C, stop both."""
    settings = Settings.from_environment()
    set_up(settings)
    _refuse_taken_ports(arguments.port, *([] if settings.mlflow_tracking_uri else [int(EMBEDDED_UI.rsplit(":", 1)[1])]))
    with ui_lock(settings), embedded_server_held(settings):
        told = listen()
        processes = [
            subprocess.Popen(command, start_new_session=True, env={**NO_JOBS, **os.environ})
            for command in commands(settings, arguments.port)
        ]
        print(f"\n{addresses(settings, arguments.port)}\n", flush=True)
        return hold(processes, told)


def addresses(settings: Settings, port: int) -> str:
    """What a person opens in a browser."""
    mlflow = without_password(settings.mlflow_tracking_uri or EMBEDDED_UI)
    return f"Dagster  http://127.0.0.1:{port}\nMLflow   {mlflow}"


def _refuse_taken_ports(*ports: int) -> None:
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise SettingError(f"port {port} is taken, perhaps by another `make ui`: stop that first")


def commands(settings: Settings, port: int) -> list[list[str]]:
    """The processes of the UI: Dagster's web server and daemon, and MLflow unless there is a server already."""
    dagster = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    if settings.mlflow_tracking_uri:
        return [dagster]
    uri = embedded_tracking_uri(settings)
    host, mlflow_port = EMBEDDED_UI.removeprefix("http://").split(":")
    mlflow = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--registry-store-uri", uri,
        "--artifacts-destination", settings.mlflow_folder.as_uri(), "--host", host, "--port", mlflow_port, "--workers", "1",
    ]  # fmt: skip
    return [dagster, mlflow]


def listen() -> list[int]:
    """From here on the signals that end a program are noted in this list, and do nothing else.

    No exception: a second signal, while processes are being stopped, would leave them behind.
    """
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as a shell's background jobs ignore SIGINT, and nohup's SIGHUP
            signal.signal(number, lambda number, _: told.append(number))
    return told


def hold(processes: Sequence[subprocess.Popen], told: Sequence[int]) -> int:
    """Wait until one ends or a signal is told, then stop all of them; returns the status of the one that ended, or 0."""
    while not told and all(process.poll() is None for process in processes):
        time.sleep(0.2)
    ended = next((process.returncode for process in processes if process.poll() is not None), 0)
    print("\nstopping; a run in progress may take a minute to record it", flush=True)
    stop(processes)
    return 0 if told else ended


def stop(processes: Sequence[subprocess.Popen]) -> None:
    """Ask them, leaders of a group each, and all they started to end, and kill what does not."""
    groups = {process.pid for process in processes}
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)  # not SIGINT, which a shell's background jobs ignore
    _kill(each for each in _left_after(CODE_SERVER_SECONDS, groups) if _is_code_server(each))
    _kill(_left_after(STOP_SECONDS - CODE_SERVER_SECONDS, groups))
    for process in processes:
        process.wait()


def _left_after(seconds: float, groups: Collection[int]) -> list[psutil.Process]:
    """What still runs then; sooner, as soon as that is nothing."""
    deadline = time.monotonic() + seconds
    while (left := _running(groups)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _running(groups: Collection[int]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            # A dead process whose new parent never asks for its status would be waited for in vain.
            if os.getpgid(process.pid) in groups and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _is_code_server(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "code-server" in process.cmdline()
    return False


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
