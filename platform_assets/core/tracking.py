"""MLflow runs in one place: experiments, runs that always end, datasets recorded by digest, tags by one name.

Runs are addressed by id through the client, never through MLflow's process-wide "active run", so that two assets in one
process cannot write into each other's run. The parent run that stands for a Dagster run is opened by
`orchestration.resources`; model registration comes with the first model. Nothing here imports mlflow before it is used:
the import takes seconds and 200 MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENTS = ("planner_training",)
DAGSTER_RUN_ID = "dagster_run_id"
_PARENT = "mlflow.parentRunId"


class TrackingError(RuntimeError):
    """MLflow cannot be reached or refuses; the message names the remedy."""


@dataclass(frozen=True)
class DatasetReference:
    """A dataset as MLflow records it: name, digest and where its manifest lies."""

    name: str
    digest: str
    uri: str
    rows: int | None = None


@dataclass
class Run:
    """An open MLflow run."""

    run_id: str
    experiment_id: str
    tracking: Tracking = field(repr=False)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Log one value per metric."""
        for name, value in metrics.items():
            self.tracking.client.log_metric(self.run_id, name, value)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters; MLflow refuses to change one that is already there."""
        for name, value in parameters.items():
            self.tracking.client.log_param(self.run_id, name, value)

    def log_file(self, path: Path) -> None:
        """Store a file as an artefact under its own name."""
        self.tracking.client.log_artifact(self.run_id, str(path))

    def log_dataset(self, dataset: DatasetReference, context: str) -> None:
        """Record which dataset, by digest, the run made or read."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entity = Dataset(
            name=dataset.name,
            digest=dataset.digest[:36],
            source_type="lake",
            source=json.dumps({"uri": dataset.uri}),
            profile=json.dumps({"num_rows": dataset.rows}),
        )
        tag = InputTag(key="mlflow.data.context", value=context)
        self.tracking.client.log_inputs(self.run_id, [DatasetInput(dataset=entity, tags=[tag])])


class Tracking:
    """One MLflow tracking server or database."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @property
    def client(self) -> MlflowClient:
        """A client of this server."""
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    def create_experiments(self, artefacts: Path | None) -> None:
        """Create the platform's experiments where they are missing.

        `artefacts` is the folder for a tracking database without a server; None leaves the place to the server.
        """
        try:
            for name in EXPERIMENTS:
                if self.client.get_experiment_by_name(name) is None:
                    location = (artefacts / name).absolute().as_uri() if artefacts else None
                    self.client.create_experiment(name, artifact_location=location)
        except Exception as error:
            raise TrackingError(
                f"MLflow cannot be prepared ({type(error).__name__}): is the server running?"
            ) from error

    def experiment_id(self, name: str) -> str:
        """Id of an experiment; raises TrackingError when it was never set up."""
        try:
            experiment = self.client.get_experiment_by_name(name)
        except Exception as error:
            raise TrackingError(f"MLflow cannot be reached ({type(error).__name__}): is the server running?") from error
        if experiment is None:
            raise TrackingError(f"MLflow has no experiment {name!r}: run `make setup`")
        return experiment.experiment_id

    @contextmanager
    def run(self, experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None) -> Iterator[Run]:
        """A run that ends FINISHED, or FAILED when the block raises; nested under `parent` when given."""
        experiment_id = self.experiment_id(experiment)
        all_tags = {**tags, **({_PARENT: parent} if parent else {})}
        started = self.client.create_run(experiment_id, tags=all_tags, run_name=name)
        status = "FAILED"
        try:
            yield Run(started.info.run_id, experiment_id, self)
            status = "FINISHED"
        finally:
            self.client.set_terminated(started.info.run_id, status)

    def parent_run(self, experiment: str, dagster_run_id: str) -> str | None:
        """The run that stands for a Dagster run: the one with its id that is nested under no other."""
        for run in self._runs_of(dagster_run_id, [self.experiment_id(experiment)]):
            if _PARENT not in run.data.tags:
                return run.info.run_id
        return None

    def end_runs_of(self, dagster_run_id: str, status: str) -> list[str]:
        """End what a Dagster run left RUNNING (a kill -9 runs no `finally`); its parent run takes the final status."""
        experiments = [
            found.experiment_id for name in EXPERIMENTS if (found := self.client.get_experiment_by_name(name))
        ]
        ended = []
        for run in self._runs_of(dagster_run_id, experiments):
            is_parent = _PARENT not in run.data.tags
            if run.info.status == "RUNNING" or (is_parent and run.info.status != status):
                self.client.set_terminated(run.info.run_id, status)
                ended.append(run.info.run_id)
        return ended

    def _runs_of(self, dagster_run_id: str, experiments: list[str]) -> list[Any]:
        quoted = dagster_run_id.replace("'", "")
        found, token = [], None
        while True:
            page = self.client.search_runs(experiments, f"tags.{DAGSTER_RUN_ID} = '{quoted}'", page_token=token)
            found += list(page)
            token = page.token
            if not token:
                return found
