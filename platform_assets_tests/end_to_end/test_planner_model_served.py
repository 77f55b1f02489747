"""`mlflow models serve` in a real process: a dataset row's input is the request, the plan is the one that replay would score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from platform_assets.core import packed_model
from platform_assets.core.model_versions import ModelVersions
from platform_assets.planner import registration
from platform_assets.planner.assets.common import DATASET
from platform_assets_tests.end_to_end.served import Served, serve
from platform_assets_tests.end_to_end.small_model_platform import WEEKS, ModelPlatform, model_platform
from platform_assets_tests.end_to_end.warm_processes import in_process

SECOND = WEEKS[1]
ROWS = 3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelPlatform]:
    with model_platform(postgres_server, tmp_path_factory, is_trained=True) as platform:
        yield platform


@pytest.fixture(scope="module")
def served(platform: ModelPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve("models:/planner_model/1", tmp_path_factory.mktemp("served"), platform.mlflow_uri) as server:
        yield server


@pytest.fixture(scope="module")
def inputs(platform: ModelPlatform, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Rows of a week that the model has not seen."""
    revision, folder = platform.current(DATASET, SECOND), tmp_path_factory.mktemp("inputs")
    rows = pq.read_table(platform.lake.fetch(revision, "training.parquet", folder)).slice(0, ROWS).to_pylist()
    return [row["input"] for row in rows]


def test_a_dataset_row_is_a_request_and_gets_the_plan_that_the_policy_gives_in_replay(
    platform: ModelPlatform, served: Served, inputs: list[dict[str, Any]], tmp_path: Path
) -> None:
    status, body = served.post({"inputs": inputs})
    assert status == 200, body
    answers = json.loads(body)["predictions"]
    assert all(len(answer["plan"]["meals"]) > 0 for answer in answers)
    packed = ModelVersions(platform.tracking, registration.MODEL_NAME).fetch("1", tmp_path)
    expected = tmp_path / "expected.json"
    in_process(_plan_locally, packed_model.model_folder(packed), inputs, expected)
    assert answers == json.loads(expected.read_text())
    alone = served.post({"inputs": [inputs[1]]})
    assert json.loads(alone[1])["predictions"] == answers[1:2], "alone as in a batch"


def test_the_training_rows_have_the_shape_that_requests_have(inputs: list[dict[str, Any]]) -> None:
    from platform_assets.planner.plan_documents import read_context

    for row in inputs:
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
    message = json.loads(body)["message"]
    assert said in message
    assert "Failed to predict data" not in message, "the request is not repeated"


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
