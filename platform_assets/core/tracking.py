"""MLflow runs in one place: experiments, runs that always end, datasets recorded by digest, tags by one name.

Runs are addressed by id through the client, never through MLflow's process-wide "active run", so that two assets in one
process cannot write into each other's run. `orchestration.resources` hangs them under the run that stands for a Dagster
run; registered models are `core.model_versions`' business, what MLflow's errors mean `core.tracking_errors`'. Nothing here
imports mlflow before it is used: the import takes seconds and 200 MB.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.core.tracking_errors import TrackingError, TrackingUnreachable, translated

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["DatasetReference", "Run", "Tracking", "TrackingError", "TrackingUnreachable"]

EXPERIMENTS = ("planner_training", "query_predictor_training", "world_model_training", "offline_replay")
DAGSTER_RUN_ID = "dagster_run_id"
LONGEST_PARAMETER = 500
_PARENT = "mlflow.parentRunId"
# MLflow's own defaults let a run wait up to 20 minutes for each request. With these a server that is away is given up after
# a quarter of a minute, one that hangs after a minute; the step's retries come on top (orchestration.failures).
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}


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

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one value per metric; `step` is the epoch or step that they belong to."""
        with self.tracking.translated():
            for name, value in metrics.items():
                self.tracking.client.log_metric(self.run_id, name, value, step=step)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Log parameters, their first 500 characters; MLflow refuses to change one that is already there."""
        with self.tracking.translated():
            for name, value in parameters.items():
                self.tracking.client.log_param(self.run_id, name, str(value)[:LONGEST_PARAMETER])

    def log_file(self, path: Path) -> None:
        """Store a file as an artefact under its own name."""
        with self.tracking.translated():
            self.tracking.client.log_artifact(self.run_id, str(path))

    def log_folder(self, path: Path, name: str) -> None:
        """Store a folder's files as artefacts below a name."""
        with self.tracking.translated():
            self.tracking.client.log_artifacts(self.run_id, str(path), name)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Add tags."""
        with self.tracking.translated():
            for name, value in tags.items():
                self.tracking.client.set_tag(self.run_id, name, value)

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
        with self.tracking.translated():
            self.tracking.client.log_inputs(self.run_id, [DatasetInput(dataset=entity, tags=[tag])])


class Tracking:
    """One MLflow tracking server or database. Methods raise TrackingError, or TrackingUnreachable when it is away."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)  # the only way to tell MLflow; a person's own setting counts
        # At the end of each run MLflow would print the address of it, with the password of a server behind a login.
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        # A run's log would hold a line of it per file.
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

    @property
    def client(self) -> MlflowClient:
        """A client of this server."""
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    def create_experiments(self, artefacts: Path | None) -> None:
        """Create the platform's experiments where they are missing.

        `artefacts` is the folder for a tracking database without a server; None leaves the place to the server.
        """
        with self.translated():
            for name in EXPERIMENTS:
                if self.client.get_experiment_by_name(name) is None:
                    location = (artefacts / name).absolute().as_uri() if artefacts else None
                    self.client.create_experiment(name, artifact_location=location)

    def experiment_id(self, name: str) -> str:
        """Id of an experiment; raises TrackingError when it was never set up."""
        with self.translated():
            experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            raise TrackingError(f"MLflow has no experiment {name!r}: run `make setup`")
        return experiment.experiment_id

    @contextmanager
    def run(self, experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None) -> Iterator[Run]:
        """A run that ends FINISHED, or FAILED when the block raises; nested under `parent` when given."""
        experiment_id = self.experiment_id(experiment)
        all_tags = {**tags, **({_PARENT: parent} if parent else {})}
        with self.translated():
            started = self.client.create_run(experiment_id, tags=all_tags, run_name=name)
        run = Run(started.info.run_id, experiment_id, self)
        with self.ended(lambda status: self.client.set_terminated(run.run_id, status)):
            yield run

    @contextmanager
    def ended(self, end: Callable[[str], object]) -> Iterator[None]:
        """Call `end` after the block: with FINISHED, or with FAILED when the block raises.

        When MLflow is away then, the block's error is what counts; the run stays open until `end_runs_of`.
        """
        try:
            yield
        except BaseException as error:
            try:
                end("FAILED")
            except Exception as second:
                error.add_note(f"its MLflow run could not be ended yet ({type(second).__name__})")
            raise
        with self.translated():
            end("FINISHED")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns errors of MLflow's own calls into a TrackingError."""
        with translated(self.uri):
            yield

    def finished_run(self, experiment: str, tags: Mapping[str, str]) -> Run | None:
        """The newest FINISHED run with all these tags."""
        experiment_id = self.experiment_id(experiment)
        wanted = [f"tags.{name} = '{unquoted(value)}'" for name, value in tags.items()]
        found = self._search([experiment_id], " and ".join(["attributes.status = 'FINISHED'", *wanted]))
        return Run(found[0].info.run_id, experiment_id, self) if found else None

    def parent_run(self, experiment: str, dagster_run_id: str) -> str | None:
        """The run that stands for a Dagster run: the one with its id that is nested under no other."""
        for run in self._runs_of(dagster_run_id, [self.experiment_id(experiment)]):
            if _PARENT not in run.data.tags:
                return run.info.run_id
        return None

    def open_parent_run(self, experiment: str, dagster_run_id: str, name: str) -> str:
        """As `parent_run`, created where it is missing. With its tag from the first moment, by which it can be ended."""
        if known := self.parent_run(experiment, dagster_run_id):
            return known
        experiment_id = self.experiment_id(experiment)
        with self.translated():
            return self.client.create_run(
                experiment_id, tags={DAGSTER_RUN_ID: dagster_run_id}, run_name=name
            ).info.run_id

    def end_runs_of(self, dagster_run_id: str, status: str) -> list[str]:
        """End what a Dagster run that is over left RUNNING: a kill -9 runs no `finally`, and MLflow may have been away.

        Its parent run takes the final status; a nested run that did not end by itself broke off, whatever became of the rest.
        """
        with self.translated():
            known = [self.client.get_experiment_by_name(name) for name in EXPERIMENTS]
        ended = []
        for run in self._runs_of(dagster_run_id, [found.experiment_id for found in known if found]):
            is_parent = _PARENT not in run.data.tags
            if run.info.status == "RUNNING" or (is_parent and run.info.status != status):
                with self.translated():
                    self.client.set_terminated(run.info.run_id, status if is_parent else "FAILED")
                ended.append(run.info.run_id)
        return ended

    def texts(self) -> Iterator[str]:
        """Every parameter, tag and dataset digest of every run, deleted ones too, and every tag of every model version."""
        from mlflow.entities import ViewType

        with self.translated():
            experiments = pages(lambda token: self.client.search_experiments(ViewType.ALL, page_token=token))
            ids = [experiment.experiment_id for experiment in experiments]
            for run in pages(lambda token: self.client.search_runs(ids, "", ViewType.ALL, page_token=token)):
                yield from (*run.data.params.values(), *run.data.tags.values())
                yield from (used.dataset.digest for used in run.inputs.dataset_inputs)
            for version in pages(lambda token: self.client.search_model_versions(page_token=token)):
                yield from version.tags.values()

    def open_run(self, run_id: str) -> Run:
        """A run that another process opened, and will end."""
        with self.translated():
            found = self.client.get_run(run_id)
        return Run(run_id, found.info.experiment_id, self)

    def _runs_of(self, dagster_run_id: str, experiments: list[str]) -> list[Any]:
        return self._search(experiments, f"tags.{DAGSTER_RUN_ID} = '{unquoted(dagster_run_id)}'")

    def _search(self, experiments: list[str], condition: str) -> list[Any]:
        """Every run for which the condition holds, newest first."""
        with self.translated():
            return list(pages(lambda token: self.client.search_runs(experiments, condition, page_token=token)))


def unquoted(value: str) -> str:
    """A value as it may stand between quotes in a search."""
    return value.replace("'", "")


def pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """All items of a search that answers page by page."""
    token = None
    while True:
        page = search(token)
        yield from page
        if not (token := page.token):
            return
