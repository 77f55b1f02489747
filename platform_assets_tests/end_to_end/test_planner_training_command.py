"""The documented commands without Dagster: a base model, a training that registers itself, a replay of the week after."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from platform_assets.core.folders import folder_digest
from platform_assets.orchestration import partitions
from platform_assets.planner.assets.common import DATASET
from platform_assets_tests.end_to_end.small_model_platform import WEEKS, ModelPlatform, model_platform
from platform_assets_tests.end_to_end.warm_processes import in_process

FIRST, SECOND, _ = WEEKS
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelPlatform]:
    with model_platform(postgres_server, tmp_path_factory) as found:
        yield found


def services(platform: ModelPlatform) -> dict[str, str]:
    """The settings that a command needs."""
    return {
        "PLATFORM_HOME": str(platform.settings.home), "PLATFORM_WAREHOUSE_URL": platform.settings.warehouse_url or "",
        "MLFLOW_TRACKING_URI": platform.mlflow_uri,
    }  # fmt: skip


def run(platform: ModelPlatform, program: str, *words: object) -> str:
    """Run a command to its end, with nothing set but the services; what it wrote."""
    home = str(platform.settings.home)
    environment = {"PATH": os.environ["PATH"], "HOME": home, "OMP_NUM_THREADS": "1", **services(platform)}
    command = [sys.executable, "-m", f"platform_assets.planner.{program}", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def run_again(platform: ModelPlatform, program: str, *words: object, log: Path) -> str:
    """The same in a process that has the libraries already."""
    in_process(_run_program, program, [str(word) for word in words], services(platform), log)
    return log.read_text()


def _run_program(program: str, words: list[str], environment: dict[str, str], log: Path) -> None:
    os.environ.update(environment)
    file = os.open(log, os.O_CREAT | os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    assert importlib.import_module(f"platform_assets.planner.{program}").main(words) == 0


def dataset(platform: ModelPlatform, week: str) -> Path:
    return Path(platform.settings.lake_url) / "datasets" / "planner" / partitions.dataset_date(week)


def recipes(platform: ModelPlatform, week: str) -> Path:
    return Path(platform.settings.lake_url) / "planner" / "recipes" / week


def test_the_commands_train_register_once_and_replay_against_version_0(platform: ModelPlatform, tmp_path: Path) -> None:
    known, base, model = recipes(platform, FIRST), tmp_path / "base", tmp_path / "model"
    run(platform, "base_model", "--model_base", "tiny", "--tiny_steps", 3, "--recipes", known, "--output", base)
    assert json.loads((base / "base.json").read_text())["model_base"] == "tiny"

    trained_on = ("--dataset", dataset(platform, FIRST), "--model_base", base, "--recipes", known)
    how = ("--epochs", 1, "--lr", 1e-4, "--batch_size", 16, "--threads", 1, "--max_candidates", 0)
    how += ("--register", "--output")
    for said in (
        run(platform, "training", *trained_on, *how, model),
        run_again(platform, "training", *trained_on, *how, tmp_path / "again", log=tmp_path / "training.log"),
    ):
        assert "registered: model_version 1, policy_version 1" in said
        assert "Warning" not in said
    in_process(check_registration, platform, model)

    asked = recipes(platform, SECOND)
    words = ("--dataset", dataset(platform, SECOND), "--recipes", asked, "--output", tmp_path / "replay")
    version = ("--model_name", "planner_model", "--model_version", 1, "--baseline_version", 0)
    for said in (
        run(platform, "replay", *version, *words, "--record"),
        run_again(platform, "replay", *version, *words, "--record", log=tmp_path / "replay.log"),
    ):
        assert "| plan_alignment |" in said
    recorded = platform.rows("SELECT dataset_version, status, n_rows, mlflow_run_id FROM exp.offline_replay_results")
    assert [row[:2] for row in recorded] == [(partitions.dataset_date(SECOND), "completed")]
    summary = json.loads((tmp_path / "replay" / "replay_summary.json").read_text())
    assert (summary["candidate_version"], summary["baseline_version"]) == ("1", "0")
    scores = pq.read_table(tmp_path / "replay" / "replay_scores.parquet")
    assert scores.num_rows == summary["rows"] == recorded[0][2] > 20
    trained = set(pq.read_table(model / "training_rows.parquet")["plan_id"].to_pylist())
    assert trained
    assert not trained & set(scores["plan_id"].to_pylist())


def check_registration(platform: ModelPlatform, model: Path) -> None:
    """MLflow and the policy registry know one version, whose run says how it was trained."""
    (tags,), (version,) = platform.models.values(), platform.policy_versions.values()
    document = json.loads((model / "planner.json").read_text())
    assert (tags["policy_version_id"], tags["dataset_version"]) == (version.id, partitions.dataset_date(FIRST))
    assert tags["fingerprint"] == document["fingerprint"]
    assert tags["model_digest"] == folder_digest(model)
    published = platform.current(DATASET, FIRST)
    assert tags["dataset_digest"] == published.digest
    assert (version.model_version, version.status) == ("1", "registered")
    assert version.config_defaults["decoding"] == document["decoding"]
    run = platform.tracking.client.get_run(tags["run_id"])
    metrics = json.loads((model / "metrics.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.inputs
    assert [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs] == [
        (f"planner/{partitions.dataset_date(FIRST)}", published.digest)
    ]
    runs = platform.tracking.client.search_runs([run.info.experiment_id], "tags.fingerprint != ''")
    assert [each.info.run_id for each in runs] == [run.info.run_id], "a repetition opens no run of its own"
    expected = {"learning_rate": "0.0001", "epochs": "1", "model_base": "tiny", "fine_tuning_method": "lora"}
    assert expected.items() <= run.data.params.items()
    assert run.data.metrics["final_val_loss"] == pytest.approx(metrics["val_loss"])
    assert run.data.metrics["val_loss"] == pytest.approx(metrics["val_loss"])
