"""MLflow runs end whatever happens to the Dagster run: success, failure, a check after it, kill -9 in the middle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.core.tracking import Tracking
from platform_assets.orchestration.automation import end_mlflow_runs_since
from platform_assets.orchestration.resources import MlflowResource

EXPERIMENT = "planner_training"
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-03")
RANGE = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-02"}


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def logged(context: dg.AssetExecutionContext, mlflow: MlflowResource) -> None:
    """Opens one MLflow run a partition; a tag of the Dagster run says how it goes on."""
    for day in context.partition_keys:
        with mlflow.partition_run(context, EXPERIMENT, day, {"dataset_version": day}) as run:
            run.log_metrics({"row_count": 1})
            if context.run.tags.get("end") == "raise":
                raise ValueError("broken")
            if context.run.tags.get("end") == "kill":
                os.kill(os.getpid(), signal.SIGKILL)


@dg.asset_check(asset=logged)
def standalone_check() -> dg.AssetCheckResult:
    """Runs after the asset, in the same Dagster run."""
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def uri(empty_postgres_url: str, tmp_path: Path) -> str:
    found = empty_postgres_url.replace("postgresql://", "postgresql+psycopg://", 1)
    Tracking(found).create_experiments(tmp_path / "artefacts")
    return found


def statuses(uri: str) -> dict[str, str]:
    """Status by partition; the run that stands for the Dagster run under ''."""
    tracking = Tracking(uri)
    runs = tracking.client.search_runs([tracking.experiment_id(EXPERIMENT)])
    return {run.data.tags.get("dagster_partition", ""): run.info.status for run in runs}


def materialize(uri: str, instance: dg.DagsterInstance, end: str = "") -> dg.ExecuteInProcessResult:
    resources = {"mlflow": MlflowResource(tracking_uri=uri)}
    tags = {**RANGE, "end": end}
    return dg.materialize(
        [logged, standalone_check], resources=resources, instance=instance, tags=tags, raise_on_error=False
    )


def test_after_a_success_with_a_standalone_check_last_every_run_is_finished(uri: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(uri, instance).success
        assert statuses(uri) == {"": "FINISHED", "2026-01-01": "FINISHED", "2026-01-02": "FINISHED"}
        end_mlflow_runs_since(instance, MlflowResource(tracking_uri=uri), 0.0)
        assert set(statuses(uri).values()) == {"FINISHED"}


def test_partitions_of_one_dagster_run_hang_under_one_mlflow_run(uri: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(uri, instance)
    tracking = Tracking(uri)
    parent = tracking.parent_run(EXPERIMENT, result.run_id)
    runs = tracking.client.search_runs([tracking.experiment_id(EXPERIMENT)])
    assert len(runs) == 3
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs if run.info.run_id != parent} == {parent}


def test_after_a_failure_its_runs_are_failed(uri: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert not materialize(uri, instance, "raise").success
        assert statuses(uri) == {"": "FAILED", "2026-01-01": "FAILED"}


def test_what_kill_nine_leaves_open_is_ended_once_the_dagster_run_is_known_to_be_over(uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    folder.mkdir()
    program = (
        "import dagster as dg; from platform_assets_tests.orchestration.test_mlflow_runs import materialize\n"
        f"with dg.DagsterInstance.local_temp({str(folder)!r}) as instance: materialize({uri!r}, instance, 'kill')"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=root, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert statuses(uri) == {"": "RUNNING", "2026-01-01": "RUNNING"}
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        mlflow = MlflowResource(tracking_uri=uri)
        assert end_mlflow_runs_since(instance, mlflow, 0.0).closed == {}
        (run,) = instance.get_runs()
        instance.report_run_failed(run)  # what run monitoring does with a run whose process is gone
        assert len(end_mlflow_runs_since(instance, mlflow, 0.0).closed[run.run_id]) == 2
    assert set(statuses(uri).values()) == {"FAILED"}
