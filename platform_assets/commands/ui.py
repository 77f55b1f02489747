"""Open Dagster and MLflow, print both addresses, and hold the embedded server while they run."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time

from platform_assets.commands.setup import embedded_server_held, set_up, ui_lock
from platform_assets.core.redaction import without_password
from platform_assets.core.services import embedded_tracking_uri
from platform_assets.core.settings import SettingError, Settings
from platform_assets.orchestration.resources import EMBEDDED_UI

# MLflow's server would start five processes for jobs that nothing here submits, each of which imports all of it.
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--port` of Dagster."""
    parser.add_argument("--port", type=int, default=3000, help="port of Dagster's web server")


def run(arguments: argparse.Namespace) -> int:
    """Start both, wait until one ends or Ctrl-C, stop both."""
    settings = Settings.from_environment()
    set_up(settings)
    _refuse_taken_ports(arguments.port, *([] if settings.mlflow_tracking_uri else [int(EMBEDDED_UI.rsplit(":", 1)[1])]))
    with ui_lock(settings), embedded_server_held(settings):
        processes = [
            subprocess.Popen(command, start_new_session=True, env={**NO_JOBS, **os.environ})
            for command in commands(settings, arguments.port)
        ]
        print(f"\n{addresses(settings, arguments.port)}\n", flush=True)
        return _wait(processes)


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


def _wait(processes: list[subprocess.Popen]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        return next(process.returncode for process in processes if process.poll() is not None) or 0
    except KeyboardInterrupt:
        return 0
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # not SIGINT, which a shell's background jobs ignore
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
