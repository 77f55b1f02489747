"""MLflow runs always end, carry their tags, and name their dataset by digest: on a real tracking database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from platform_assets.core.tracking import (
    DAGSTER_RUN_ID,
    LONGEST_PARAMETER,
    DatasetReference,
    Tracking,
    TrackingError,
    TrackingUnreachable,
)
from platform_assets.core.warehouse import database_url

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
        run.log_parameters({"weeks": 1, "digests": "d" * 10_000})
        run.log_file(schema)
        run.log_dataset(DatasetReference("planner/2026-01-09", "d" * 32, "file:///lake", 12), "training")
    stored = tracking.client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["dataset_version"] == "2026-01-09"
    assert stored.data.metrics == {"row_count": 12}
    assert stored.data.params == {"weeks": "1", "digests": "d" * LONGEST_PARAMETER}
    assert [item.path for item in tracking.client.list_artifacts(run.run_id)] == ["schema.json"]
    assert stored.inputs
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


def test_a_finished_run_is_found_by_all_its_tags_and_an_open_or_failed_one_is_not(tracking: Tracking) -> None:
    tags = {"dataset_version": "2026-02-06", "digest": "d" * 32, "published_at": "2026-02-06T01:02:03.4+00:00"}
    with pytest.raises(ZeroDivisionError), tracking.run(EXPERIMENT, "broken", tags):
        raise ZeroDivisionError
    with tracking.run(EXPERIMENT, "week", tags) as run:
        assert tracking.finished_run(EXPERIMENT, tags) is None
    found = tracking.finished_run(EXPERIMENT, tags)
    assert found is not None
    assert (found.run_id, found.experiment_id) == (run.run_id, run.experiment_id)
    assert tracking.finished_run(EXPERIMENT, {**tags, "digest": "e" * 32}) is None


def test_a_nested_run_that_broke_off_is_failed_even_when_its_dagster_run_succeeded_in_the_end(
    tracking: Tracking,
) -> None:
    parent = tracking.open_parent_run(EXPERIMENT, "mended", "planner_weeks")
    assert tracking.open_parent_run(EXPERIMENT, "mended", "planner_weeks") == parent
    tags = {DAGSTER_RUN_ID: "mended", "mlflow.parentRunId": parent}
    child = tracking.client.create_run(tracking.experiment_id(EXPERIMENT), tags=tags).info.run_id
    tracking.end_runs_of("mended", "FINISHED")
    status = {run: tracking.client.get_run(run).info.status for run in (parent, child)}
    assert status == {parent: "FINISHED", child: "FAILED"}


def test_a_server_that_is_away_is_named_with_the_remedy_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Tracking("http://person:topsecret@127.0.0.1:1")
    for attempt in (
        lambda: away.experiment_id(EXPERIMENT), lambda: away.end_runs_of("x", "FAILED"), lambda: away.create_experiments(None),
        lambda: away.run(EXPERIMENT, "week", {}).__enter__(), lambda: away.open_parent_run(EXPERIMENT, "x", "job"),
    ):  # fmt: skip
        with pytest.raises(TrackingUnreachable, match="is the server running, and is MLFLOW_TRACKING_URI") as caught:
            attempt()
        assert "topsecret" not in str(caught.value)


def test_waiting_for_a_server_is_bounded_unless_a_person_set_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    Tracking("http://127.0.0.1:1")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


def test_what_mlflow_and_its_database_refuse_is_not_taken_for_a_server_that_is_away(tracking: Tracking) -> None:
    with pytest.raises(TrackingError, match="refused") as caught, tracking.translated():
        tracking.client.get_run("0" * 32)
    assert not isinstance(caught.value, TrackingUnreachable)
    missing = create_engine(database_url(tracking.uri, "no_such_database"))
    with pytest.raises(TrackingError, match="does not exist") as caught, tracking.translated():
        missing.connect()
    assert not isinstance(caught.value, TrackingUnreachable)
    with pytest.raises(TrackingUnreachable), tracking.translated():
        create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing").connect()


def test_an_error_that_is_not_mlflows_stays_its_own_and_is_not_hidden_by_a_run_that_cannot_be_ended(
    tracking: Tracking,
) -> None:
    def cannot_end(status: str) -> None:
        raise ConnectionError(status)

    with pytest.raises(PermissionError) as caught, tracking.translated(), tracking.ended(cannot_end):
        raise PermissionError("disk")
    assert "could not be ended yet" in caught.value.__notes__[0]
