"""`mlflow models serve` in a real process: a dataset row's input is the request, the plan is the one that replay would score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from platform_assets.core import packed_model
from platform_assets.core.model_versions import ModelVersions
from platform_assets.planner import registration
from platform_assets.planner.assets.common import DATASET
from platform_assets_tests.end_to_end.small_model_platform import WEEKS, ModelPlatform, model_platform
from platform_assets_tests.end_to_end.warm_processes import in_process
from platform_assets_tests.processes import free_port, stop, wait_for

FIRST, SECOND, _ = WEEKS
ROWS = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Served:
    """A scoring server, and rows of a week that the model has not seen."""

    platform: ModelPlatform
    port: int
    inputs: list[dict[str, Any]]

    def post(self, document: Any) -> tuple[int, str]:
        """Status and body of the answer to POST /invocations."""
        body = json.dumps(document).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def served(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with model_platform(postgres_server, tmp_path_factory) as platform:
        told = platform.train(FIRST)
        assert told.success, told.words
        port = free_port()
        command = ["models", "serve", "-m", "models:/planner_model/1", "--env-manager", "local"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        # No PYTHONPATH and another folder: the model brings the package along.
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), "OMP_NUM_THREADS": "1",
            "MLFLOW_TRACKING_URI": platform.mlflow_uri,
        }  # fmt: skip
        with (
            (folder / "server.log").open("w") as log,
            subprocess.Popen(
                [sys.executable, "-m", "mlflow", *command], cwd=folder, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            ) as process,
        ):  # fmt: skip
            try:
                wait_for("the scoring server", lambda: _answers(port), 600, [process])
                yield Served(platform, port, _inputs(platform, folder))
            finally:
                stop(process)


def test_a_dataset_row_is_a_request_and_gets_the_plan_that_the_policy_gives_in_replay(
    served: Served, tmp_path: Path
) -> None:
    status, body = served.post({"inputs": served.inputs})
    assert status == 200, body
    answers = json.loads(body)["predictions"]
    assert all(len(answer["plan"]["meals"]) > 0 for answer in answers)
    packed = ModelVersions(served.platform.tracking, registration.MODEL_NAME).fetch("1", tmp_path)
    expected = tmp_path / "expected.json"
    in_process(_plan_locally, packed_model.model_folder(packed), served.inputs, expected)
    assert answers == json.loads(expected.read_text())
    alone = served.post({"inputs": [served.inputs[1]]})
    assert json.loads(alone[1])["predictions"] == answers[1:2], "alone as in a batch"


def test_the_training_rows_have_the_shape_that_requests_have(served: Served) -> None:
    from platform_assets.planner.plan_documents import read_context

    for row in served.inputs:
        sent = json.loads(json.dumps(row))
        assert read_context(sent) == read_context(row)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"inputs": [{"household": {"id": "h", "size": 2}}]}, "the input context has no 'constraints'"),
        ({"inputs": [{"prompt": "plan my week"}]}, "the input context has no 'household'"),
        ({"inputs": ["plan my week"]}, "not of the dataset's input shape"),
        ({"rows": []}, "exactly one of"),
    ],
)
def test_a_request_of_another_shape_is_answered_with_what_is_wrong(served: Served, document: Any, said: str) -> None:
    status, body = served.post(document)
    assert status == 400, body
    assert said in json.loads(body)["message"]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def _inputs(platform: ModelPlatform, folder: Path) -> list[dict[str, Any]]:
    revision = platform.current(DATASET, SECOND)
    rows = pq.read_table(platform.lake.fetch(revision, "training.parquet", folder)).slice(0, ROWS).to_pylist()
    return [row["input"] for row in rows]


def _plan_locally(folder: Path, inputs: list[dict[str, Any]], target: Path) -> None:
    from platform_assets.planner.catalogue import RECIPES, Catalogue
    from platform_assets.planner.decoding import load_policy
    from platform_assets.planner.plan_documents import read_context
    from platform_assets.planner.policies import run_policy

    policy, recipes = load_policy(folder), Catalogue.read(folder / RECIPES).as_of(datetime.now(UTC))
    recorded = max(pq.read_table(folder / RECIPES)["recorded_at"].to_pylist()).isoformat()
    planned = [run_policy(policy, read_context(row), recipes) for row in inputs]
    told = [
        {
            "plan": each.plan.document(), "interventions": [vars_of(change) for change in each.interventions],
            "catalogue_as_of": recorded,
        }
        for each in planned
    ]  # fmt: skip
    target.write_text(json.dumps(told))


def vars_of(change: Any) -> dict[str, str]:
    """As the server writes an intervention."""
    return {"rule": change.rule, "detail": change.detail}
