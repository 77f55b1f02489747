"""Runs and commands of a platform whose every service is reached with a secret, right and refused: a process to listen to.

Started by test_secrets.py with the settings in its environment; whatever it prints, and writes below PLATFORM_HOME, must show
no secret. Which those are, and how they are looked for, is the test's business.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import dagster as dg

from platform_assets.commands.__main__ import main as run_command
from platform_assets.core.settings import Settings
from platform_assets.orchestration import failures, partitions
from platform_assets.orchestration.partitioned import RANGE_END, RANGE_START
from platform_assets.planner.definitions import build
from platform_assets.planner.limits import Limits
from platform_assets_tests.orchestration.alert_receiver import Receiver, Watcher, nobody_listening

WEEK = "2026-01-02"
DAYS = partitions.days_of_week(WEEK)
COMMANDS = (["preflight"], ["setup"], ["migrate"], ["demo"], ["late-event", "--day", WEEK], ["stop"])


def main() -> None:
    """Every run and every command; exits non-zero when one does not end as it must."""
    home, token = Path(os.environ["PLATFORM_HOME"]), os.environ["SECRET_WEBHOOK_PATH"]
    receiver = Receiver()
    with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance, denying_server() as denied:
        watcher = Watcher(instance, receiver.url + token)
        with nobody_listening() as url:
            deaf = Watcher(instance, url + token)
        materialise(instance, "planner_days", True, DAYS[0], DAYS[-1])
        materialise(instance, "planner_weeks", True, WEEK)
        for name, job, changed in refusals(denied):
            print("===", name, flush=True)
            with mock.patch.dict(os.environ, changed):
                materialise(instance, job, False, WEEK)
                for words in COMMANDS:
                    command(words)
        command(["preflight"])
        watcher.tick()
        deaf.tick()
    (home / "alerts.json").write_text(json.dumps(receiver.received))
    assert len(receiver.received) >= len(list(refusals("")))


def refusals(denied: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What is refused, the job that then fails, and the changed settings."""
    source, mlflow = os.environ["PLATFORM_SOURCE_URL"], os.environ["MLFLOW_TRACKING_URI"]
    databases = ("PLATFORM_SOURCE_URL", "PLATFORM_WAREHOUSE_URL")
    wrong = os.environ["SECRET_WRONG_PASSWORD"]
    credentials, _, address = source.rpartition("@")
    yield "wrong password", "planner_days", dict.fromkeys(databases, f"{credentials}{wrong}@{address}")
    yield "password not encoded", "planner_days", dict.fromkeys(databases, os.environ["SECRET_BROKEN_URL"])
    yield (
        "password in the query",
        "planner_days",
        dict.fromkeys(databases, f"postgresql://{address}?user=app&password={wrong}"),
    )
    yield "Postgres away", "planner_days", dict.fromkeys(databases, f"{credentials}@127.0.0.1:1/app")
    yield "missing table", "planner_days", dict.fromkeys(databases, source.rpartition("/")[0] + "/template1")
    yield "refused S3 key", "planner_days", {"AWS_SECRET_ACCESS_KEY": wrong}
    yield "lake of credentials", "planner_days", {"PLATFORM_LAKE_URL": f"s3://key:{wrong}@bucket/lake"}
    yield "lake of no protocol", "planner_days", {"PLATFORM_LAKE_URL": f"https://key:{wrong}@127.0.0.1/lake"}
    user, _, _ = mlflow.rpartition("@")
    yield "MLflow away", "planner_weeks", {"MLFLOW_TRACKING_URI": f"{user}@127.0.0.1:1"}
    yield "MLflow denies", "planner_weeks", {"MLFLOW_TRACKING_URI": f"{user}@{denied}"}
    yield "MLflow of no protocol", "planner_weeks", {"MLFLOW_TRACKING_URI": f"htp://{wrong}@127.0.0.1"}


def materialise(instance: dg.DagsterInstance, job: str, succeeds: bool, first: str, last: str | None = None) -> None:
    tags = {RANGE_START: first, RANGE_END: last} if last else {}
    with mock.patch.object(failures, "WAITS_SECONDS", (0.0,)):
        result = (
            build(Settings.from_environment(), limits=Limits(quarantine_share=1.0))
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance, tags=tags, partition_key=None if last else first, raise_on_error=False
            )
        )
    assert result.success is succeeds, (job, first, "ended otherwise than it must")


def command(words: list[str]) -> None:
    """As `python -m platform_assets.commands`; what ends it is printed as Python prints it."""
    print("---", *words, flush=True)
    with mock.patch.object(sys, "argv", ["platform_assets", *words]):
        try:
            run_command()
        except SystemExit:
            pass
        except BaseException:
            sys.excepthook(*sys.exc_info())


@contextmanager
def denying_server() -> Iterator[str]:
    """host:port of a server that answers 401 to everything, as an MLflow behind a login does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_PATCH = do_GET

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


if __name__ == "__main__":
    main()
