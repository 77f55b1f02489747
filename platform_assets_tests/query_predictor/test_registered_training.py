"""A training on the command line that registers its model: the run in MLflow, the version, the policy's version, once and no twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from platform_assets.core.registry import Registry
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse
from platform_assets.query_predictor import training
from platform_assets.query_predictor.registration import MODEL
from platform_assets_tests.query_predictor.small_features import WEEK, write_week
from platform_assets_tests.query_predictor.test_served_model import ASKED
from platform_assets_tests.query_predictor.test_training import words


@pytest.fixture
def tracking(tmp_path: Path, empty_postgres_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Tracking:
    found = Tracking(empty_postgres_url.replace("postgresql://", "postgresql+psycopg://", 1))
    found.client.create_experiment(MODEL.experiment, artifact_location=(tmp_path / "artefacts").as_uri())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.uri)
    monkeypatch.setenv("PLATFORM_WAREHOUSE_URL", postgres_url)
    return found


@pytest.mark.slow
def test_a_registered_training_is_complete_in_mlflow_and_in_the_registry(
    tracking: Tracking, postgres_url: str, tmp_path: Path
) -> None:
    options = write_week(tmp_path / "week").options(tmp_path / "model", cv_folds=2, n_estimators=8)
    assert training.main([*words(options), "--register"]) == 0
    [version] = MODEL.versions(tracking).all()
    tags = MODEL.versions(tracking).all()[version]
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert tags["fingerprint"] == config["fingerprint"]
    assert tags["dataset_version"] == WEEK.isoformat()
    assert {"policy_id", "task", "git_sha", "dataset_digest", "zero_cost_digest", "stage"} <= set(tags)
    run = tracking.client.get_run(MODEL.run_of(tracking, version).run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.params["learning_rate"], run.data.params["epochs"]) == ("0.1", "8")
    assert len(tracking.client.get_metric_history(run.info.run_id, "val_loss")) == 8
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert run.data.metrics["final_test_auc"] == pytest.approx(metrics["test_auc"])
    pictures = {item.path for item in tracking.client.list_artifacts(run.info.run_id)}
    assert {"precision_recall.png", "scores_by_template.png", "model"} <= pictures
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == [f"query_predictor/features/{WEEK}"]
    _judge_policy(Registry(Warehouse(postgres_url)), version, metrics)
    _judge_served(tracking, version, tmp_path)
    # What is registered is found again, and nothing is registered twice.
    assert training.main([*words(options), "--register"]) == 0
    assert list(MODEL.versions(tracking).all()) == [version]


def _judge_policy(registry: Registry, version: str, metrics: dict[str, Any]) -> None:
    zero, first = registry.versions(MODEL.policy)
    assert (zero.version, zero.status, zero.config_defaults["policy"]) == (0, "active", "rule")
    assert (first.model_version, first.status) == (version, "registered")
    assert first.config_defaults["prediction"]["threshold"] == metrics["threshold"]


def _judge_served(tracking: Tracking, version: str, folder: Path) -> None:
    """What MLflow holds answers as the folder does."""
    import mlflow.pyfunc

    (folder / "fetched").mkdir()
    packed = MODEL.versions(tracking).fetch(version, folder / "fetched")
    [answer] = mlflow.pyfunc.load_model(str(packed)).predict([ASKED])
    assert answer["route"] in ("light", "heavy")
