"""MLflow runs always end, carry their tags, and name their dataset by digest: on a real tracking database."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.core.tracking import DAGSTER_RUN_ID, DatasetReference, Tracking, TrackingError

EXPERIMENT = "planner_training"


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, module_empty_postgres_url: str) -> Tracking:
    found = Tracking(module_empty_postgres_url.replace("postgresql://", "postgresql+psycopg://", 1))
    found.create_experiments(tmp_path_factory.mktemp("artefacts"))
    return found


def test_a_run_ends_finished_with_what_was_logged(tracking: Tracking, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text("{}")
    with tracking.run(EXPERIMENT, "week", {DAGSTER_RUN_ID: "a", "dataset_version": "2026-01-09"}) as run:
        run.log_metrics({"row_count": 12})
        run.log_parameters({"weeks": 1})
        run.log_file(schema)
        run.log_dataset(DatasetReference("planner/2026-01-09", "d" * 32, "file:///lake", 12), "training")
    stored = tracking.client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["dataset_version"] == "2026-01-09"
    assert stored.data.metrics == {"row_count": 12}
    assert [item.path for item in tracking.client.list_artifacts(run.run_id)] == ["schema.json"]
    assert [entry.dataset.digest for entry in stored.inputs.dataset_inputs] == ["d" * 32]


def test_a_run_whose_block_raises_ends_failed(tracking: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), tracking.run(EXPERIMENT, "broken", {}) as run:
        raise ZeroDivisionError
    assert tracking.client.get_run(run.run_id).info.status == "FAILED"


def test_what_a_killed_run_left_open_is_ended_with_its_parent(tracking: Tracking) -> None:
    experiment = tracking.experiment_id(EXPERIMENT)
    parent = tracking.client.create_run(experiment, tags={DAGSTER_RUN_ID: "killed"}).info.run_id
    child = tracking.client.create_run(
        experiment, tags={DAGSTER_RUN_ID: "killed", "mlflow.parentRunId": parent}
    ).info.run_id
    done = tracking.client.create_run(
        experiment, tags={DAGSTER_RUN_ID: "killed", "mlflow.parentRunId": parent}
    ).info.run_id
    tracking.client.set_terminated(done, "FINISHED")
    other = tracking.client.create_run(experiment, tags={DAGSTER_RUN_ID: "alive"}).info.run_id
    assert tracking.parent_run(EXPERIMENT, "killed") == parent
    assert set(tracking.end_runs_of("killed", "FAILED")) == {parent, child}
    status = {run: tracking.client.get_run(run).info.status for run in (parent, child, done, other)}
    assert status == {parent: "FAILED", child: "FAILED", done: "FINISHED", other: "RUNNING"}
    assert tracking.end_runs_of("killed", "FAILED") == []


def test_an_experiment_that_was_never_set_up_is_named_with_the_remedy(tracking: Tracking) -> None:
    with pytest.raises(TrackingError, match="make setup"):
        tracking.experiment_id("nowhere")


def test_creating_the_experiments_again_changes_nothing(tracking: Tracking, tmp_path: Path) -> None:
    before = tracking.experiment_id(EXPERIMENT)
    tracking.create_experiments(tmp_path)
    assert tracking.experiment_id(EXPERIMENT) == before
