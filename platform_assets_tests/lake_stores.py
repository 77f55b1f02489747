"""Lakes for tests: a folder, and two S3 servers that differ in what they check.

`rclone serve s3` verifies signatures but ignores conditional PUT; moto honours conditional PUT but takes any secret. Both
live for the test session. Run as a program, this module is the moto server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from platform_assets.core.lake import Lake
from platform_assets.core.s3_store import S3Store
from platform_assets_tests.processes import free_port, is_listening, stop, wait_for

BUCKET = "lake-bucket"
# rclone refuses keys that are shorter than real ones.
ACCESS_KEY, SECRET_KEY = "AKIATESTTESTTESTTEST", "not/a/real+secret/but/of/realistic/length"
START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running S3 server with an empty bucket."""

    endpoint: str
    single_writer: bool

    def environment(self, **changed: str) -> dict[str, str]:
        """What a process needs to reach it."""
        found = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }
        return found | changed

    def use(self, monkeypatch: pytest.MonkeyPatch, **changed: str) -> str:
        """Point this process at it; returns the url of a lake nobody else uses."""
        for name, value in self.environment(**changed).items():
            monkeypatch.setenv(name, value)
        return f"s3://{BUCKET}/{uuid4().hex[:12]}/lake"


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`rclone serve s3` over an empty folder."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / BUCKET).mkdir()
    port = free_port()
    binary = Path(sys.executable).with_name("rclone")
    command = [str(binary), "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for("rclone", lambda: is_listening(port), START_SECONDS, [process])
            yield Server(f"http://127.0.0.1:{port}", single_writer=True)
        finally:
            stop(process)


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto's S3, in a process of its own."""
    command = [sys.executable, "-m", __name__, str(port := free_port())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for("moto", lambda: is_listening(port), START_SECONDS, [process])
            yield Server(f"http://127.0.0.1:{port}", single_writer=False)
        finally:
            stop(process)


@pytest.fixture
def folder_lake(tmp_path: Path) -> Lake:
    """An empty lake in a folder."""
    return Lake(tmp_path / "lake")


@pytest.fixture(params=["folder", "rclone", "moto"])
def lake(request: pytest.FixtureRequest) -> Lake:
    """An empty lake, on each store in turn."""
    return _open(request)


@pytest.fixture(params=["folder", "moto"])
def contested_lake(request: pytest.FixtureRequest) -> Lake:
    """An empty lake on each store that several writers may use at once."""
    return _open(request)


def open_again(lake: Lake) -> Lake:
    """The same lake, as another process would open it."""
    return Lake(lake.root, single_writer=isinstance(lake.store, S3Store) and lake.store.single_writer)


def _open(request: pytest.FixtureRequest) -> Lake:
    if request.param == "folder":
        return request.getfixturevalue("folder_lake")
    server: Server = request.getfixturevalue(request.param)
    return Lake(server.use(request.getfixturevalue("monkeypatch")), single_writer=server.single_writer)


def _serve_moto(port: int) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server
    from werkzeug.test import Client

    application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()
    # Which service is meant, moto reads from the signature's scope.
    scope = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    )
    assert Client(application).put(f"/{BUCKET}", headers={"Authorization": scope}).status_code == 200

    def one_at_a_time(environ, start_response):
        # moto compares and writes in two steps: only requests in single file make its conditional PUT atomic.
        with lock:
            return application(environ, start_response)

    server = make_server("127.0.0.1", port, one_at_a_time, threaded=True)
    # Ends with the tests even when they are killed: their end of the pipe closes.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    _serve_moto(int(sys.argv[1]))
