"""A model behind `mlflow models serve`: a real process, which has nothing but what the model brings along, and requests to it.

Which model, and what is asked of it, belongs to the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_assets_tests.processes import free_port, stop, wait_for

START_SECONDS = 600


@dataclass(frozen=True)
class Served:
    """A scoring server that answers."""

    port: int

    def post(self, document: Any, seconds: float = 120) -> tuple[int, str]:
        """Status and body of the answer to POST /invocations; raises OSError when none comes in time."""
        body = json.dumps(document).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def serve(model: str, folder: Path, tracking_uri: str) -> Iterator[Served]:
    """Serves a model, a folder or models:/name/version, as long as the block lasts; the log is server.log in the folder."""
    port = free_port()
    command = ["models", "serve", "-m", model, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # No PYTHONPATH and another folder: the model brings the package along.
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": tracking_uri,
    }  # fmt: skip
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command], cwd=folder, env=environment, stdout=log, stderr=log,
            start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            wait_for("the scoring server", lambda: _answers(port), START_SECONDS, [process])
            yield Served(port)
        finally:
            stop(process)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False
