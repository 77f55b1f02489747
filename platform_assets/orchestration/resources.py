"""Dagster resources around core.

Local and production differ by settings only (`core.services`). A resource that is
given no value reads the environment when a run uses it, never when definitions load, and never puts a secret into its
configuration, which the UI shows. Tests and commands hand in other values.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core import services
from platform_assets.core.redaction import without_user
from platform_assets.core.settings import Settings

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.core.lake import Lake
    from platform_assets.core.tracking import Run, Tracking
    from platform_assets.core.warehouse import Warehouse


EMBEDDED_UI = "http://127.0.0.1:5001"


class LakeResource(dg.ConfigurableResource):
    """Where artefacts are published: a folder or s3://bucket/prefix."""

    url: str | None = None
    single_writer: bool | None = None

    def open(self) -> Lake:
        """The lake."""
        from platform_assets.core.lake import Lake

        settings = Settings.from_environment()
        single_writer = settings.lake_single_writer if self.single_writer is None else self.single_writer
        return Lake(self.url or settings.lake_url, single_writer=single_writer)


class EngineResource(dg.ConfigurableResource):
    """The embedded SQL engine: how much memory it takes before it spills, and where working files go."""

    memory_limit: str = "2GB"
    threads: int | None = None
    scratch: str | None = None

    def open(self) -> Engine:
        """The engine."""
        from platform_assets.core.engine import Engine

        return Engine(self._scratch(), self.memory_limit, self.threads)

    @contextmanager
    def workspace(self, purpose: str) -> Iterator[Path]:
        """A working folder that is gone after the block."""
        self._scratch().mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{purpose}-", dir=self._scratch()) as folder:
            yield Path(folder)

    def _scratch(self) -> Path:
        return Path(self.scratch) if self.scratch else Settings.from_environment().scratch_folder


class SourceResource(dg.ConfigurableResource):
    """The application's Postgres, read only."""

    url: str | None = None

    def open(self) -> Warehouse:
        """The database; the embedded one is started when no process holds it."""
        from platform_assets.core.warehouse import Warehouse

        return Warehouse(self.url) if self.url else services.open_source(Settings.from_environment())


class WarehouseResource(dg.ConfigurableResource):
    """The platform's own Postgres: policies, versions, replay results, verdicts."""

    url: str | None = None

    def open(self) -> Warehouse:
        """The database; the embedded one is started when no process holds it."""
        from platform_assets.core.warehouse import Warehouse

        return Warehouse(self.url) if self.url else services.open_warehouse(Settings.from_environment())


class MlflowResource(dg.ConfigurableResource):
    """MLflow, through dagster-mlflow's run that stands for the Dagster run."""

    tracking_uri: str | None = None

    def resolve_uri(self) -> str:
        """The tracking URI: given, from the environment, or the embedded database."""
        return self.tracking_uri or services.tracking_uri(Settings.from_environment())

    def open(self) -> Tracking:
        """The tracking server."""
        from platform_assets.core.tracking import Tracking

        return Tracking(self.resolve_uri())

    def run_url(self, run: Run) -> str:
        """Where a person looks at a run; an embedded MLflow is shown by `make ui`."""
        uri = self.resolve_uri()
        server = without_user(uri).rstrip("/") if uri.startswith("http") else EMBEDDED_UI
        return f"{server}/#/experiments/{run.experiment_id}/runs/{run.run_id}"

    @contextmanager
    def partition_run(
        self, context: dg.AssetExecutionContext, experiment: str, partition: str, tags: Mapping[str, str]
    ) -> Iterator[Run]:
        """An MLflow run for one asset partition, nested under the run that stands for the Dagster run.

        Both are ended at the end of the block; a second partition of the same Dagster run opens the parent again. What a
        kill leaves open, `orchestration.automation.end_mlflow_runs` ends.
        """
        from platform_assets.core.tracking import DAGSTER_RUN_ID

        tracking = self.open()
        parent_id = tracking.open_parent_run(experiment, context.run.run_id, context.run.job_name)
        with tracking.translated():
            parent = self._open_parent(context, experiment, parent_id)
        asset = context.asset_key.to_user_string()
        named = {DAGSTER_RUN_ID: context.run.run_id, "dagster_asset": asset, "dagster_partition": partition, **tags}
        with tracking.ended(parent.end_run), tracking.run(experiment, f"{asset} {partition}", named, parent_id) as run:
            yield run

    def finished_run(
        self, context: dg.AssetExecutionContext, experiment: str, partition: str, tags: Mapping[str, str]
    ) -> Run | None:
        """The run that any Dagster run finished for this partition with these tags; None when there is none."""
        named = {"dagster_asset": context.asset_key.to_user_string(), "dagster_partition": partition, **tags}
        return self.open().finished_run(experiment, named)

    def _open_parent(self, context: dg.AssetExecutionContext, experiment: str, run_id: str) -> Any:
        # The class is what the `mlflow_tracking` resource yields. It is built here rather than as a resource because
        # importing it loads mlflow (seconds, 200 MB), which definitions and most assets must not pay for.
        config = {"experiment_name": experiment, "mlflow_tracking_uri": self.resolve_uri(), "mlflow_run_id": run_id}
        run = SimpleNamespace(
            log=context.log, dagster_run=context.run, run_id=context.run.run_id, resource_config=config
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # the class is beta; what is used of it is pinned by tests
            from dagster_mlflow.resources import MlFlow

            return MlFlow(run)


def build_resources(overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The resources every code location shares. What the environment does not set is embedded; overrides win."""
    return {
        "lake": LakeResource(),
        "engine": EngineResource(),
        "source": SourceResource(),
        "warehouse": WarehouseResource(),
        "mlflow": MlflowResource(),
        **(overrides or {}),
    }
