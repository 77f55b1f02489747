"""A training in MLflow while it goes on: losses by epoch as they come, parameters and rates at its end; and its tags.

On a run that an asset opened and will end (`--mlflow_run`), or on one of its own that is registered as well (`--register`), for
those who train without Dagster. What tags and inputs say is the same for both. What does not belong here: how a model is
registered (`planner.registration`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.core import services
from platform_assets.core.folders import folder_digest
from platform_assets.core.registered_model import MODEL_DIGEST
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import DatasetReference
from platform_assets.planner import registration, trained_model

if TYPE_CHECKING:
    from platform_assets.core.tracking import Run, Tracking
    from platform_assets.core.warehouse import Warehouse
    from platform_assets.planner.training import TrainingResult
    from platform_assets.planner.training_inputs import Inputs


def tags(
    warehouse: Warehouse, fingerprint: str, newest: DatasetReference, base_digest: str, base_revision: str
) -> dict[str, str]:
    """What a training's run and its registered version are found and explained by, whoever trains."""
    return {
        **registration.MODEL.tags(warehouse, fingerprint),
        "dataset_version": _version(newest),
        "dataset_digest": newest.digest,
        "base_digest": base_digest,
        "base_revision": base_revision,
    }


def log_datasets(run: Run, datasets: Sequence[DatasetReference]) -> None:
    """Record what a training reads, oldest first: all of it as inputs, the newest by name."""
    for each in datasets:
        run.log_dataset(each, "training")
    run.log_parameters({"dataset_version": _version(datasets[-1]), "dataset_digest": datasets[-1].digest})


@dataclass(frozen=True)
class Record:
    """Where a training is written down; without a run, nowhere. `registers` is where its model is to be registered."""

    run: Run | None = None
    registers: Tracking | None = None

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch's losses."""
        if self.run:
            self.run.log_metrics(metrics, step=epoch)

    def finish(self, result: TrainingResult) -> None:
        """Parameters, and the numbers of the whole."""
        if self.run:
            self.run.log_parameters(result.parameters)
            numbers = {f"final_{name}": float(value) for name, value in trained_model.numbers(result.metrics).items()}
            # A training that only went on after its last step says nothing of speed.
            rate = {"tokens_per_second": result.tokens_per_second} if result.tokens_per_second else {}
            self.run.log_metrics({**numbers, **rate})

    def register(self, inputs: Inputs, folder: Path) -> dict[str, str | int]:
        """Register what a training without Dagster made, as the asset does; returns the versions it is."""
        if self.registers is None:
            return {}
        warehouse = services.open_warehouse(Settings.from_environment())
        version = registration.MODEL.registered(self.registers, inputs.fingerprint)
        if version is None and self.run:
            described = {**_tags(warehouse, inputs), MODEL_DIGEST: folder_digest(folder)}
            defaults = trained_model.serving_defaults(folder)
            version = registration.MODEL.register(
                self.registers, self.run, folder, inputs.fingerprint, described, defaults
            )
        known = registration.MODEL.register_policy_versions(self.registers, warehouse)
        return {"model_version": version, "policy_version": known[version].version} if version else {}


@contextmanager
def recording(inputs: Inputs, run_id: str, register: bool, is_follower: bool) -> Iterator[Record]:
    """The record of a training; of several processes the first one keeps it. Raises TrackingError before anything is trained.

    A training that is registered already gets no run of its own: nothing would be registered from it.
    """
    if is_follower or not (run_id or register):
        yield Record()
        return
    tracking = services.open_tracking(Settings.from_environment())
    registers = tracking if register else None
    if run_id:
        yield Record(tracking.open_run(run_id), registers)
    elif registration.MODEL.registered(tracking, inputs.fingerprint):
        yield Record(None, registers)
    else:
        described = _tags(services.open_warehouse(Settings.from_environment()), inputs)
        with tracking.run(registration.MODEL.experiment, "training", described) as run:
            log_datasets(run, _references(inputs))
            yield Record(run, registers)


def _tags(warehouse: Warehouse, inputs: Inputs) -> dict[str, str]:
    newest = _references(inputs)[-1]
    return tags(warehouse, inputs.fingerprint, newest, inputs.base.digest, inputs.base.revision)


def _references(inputs: Inputs) -> list[DatasetReference]:
    """The datasets, oldest first: their names are dates."""
    ordered = sorted(inputs.datasets, key=lambda each: each.name)
    return [DatasetReference(f"planner/{each.name}", each.digest, each.uri, each.rows) for each in ordered]


def _version(dataset: DatasetReference) -> str:
    """The date that names a dataset, the end of its window."""
    return dataset.name.rpartition("/")[2]
