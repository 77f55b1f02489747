"""A training in MLflow while it goes on: losses by epoch and by step as they come, parameters and rates at its end; its tags.

On a run that an asset opened and will end (`--mlflow_run`), or on one of its own that is registered as well (`--register`), for
those who train without Dagster. What does not belong here: how a model is registered (`world_model.registration`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.core import services
from platform_assets.core.folders import folder_digest
from platform_assets.core.registered_model import MODEL_DIGEST
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import DatasetReference
from platform_assets.world_model import registration, trained_model

if TYPE_CHECKING:
    from platform_assets.core.tracking import Run, Tracking
    from platform_assets.core.warehouse import Warehouse
    from platform_assets.world_model.training import TrainingResult
    from platform_assets.world_model.training_inputs import Inputs


def tags(warehouse: Warehouse, fingerprint: str, dataset: DatasetReference) -> dict[str, str]:
    """What a training's run and its registered version are found and explained by, whoever trains."""
    return {
        **registration.MODEL.tags(warehouse, fingerprint),
        "dataset_version": dataset.name.rpartition("/")[2],
        "dataset_digest": dataset.digest,
    }


@dataclass(frozen=True)
class Record:
    """Where a training is written down; without a run, nowhere. `registers` is where its model is to be registered."""

    run: Run | None = None
    registers: Tracking | None = None

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch's losses and what else was measured."""
        self._log(metrics, epoch)

    def on_quick_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """What a look at the validation baskets after so many optimizer steps said."""
        self._log(metrics, step)

    def finish(self, result: TrainingResult) -> None:
        """Parameters, and the numbers of the whole."""
        if self.run:
            self.run.log_parameters(result.parameters)
            numbers = {f"final_{name}": float(value) for name, value in trained_model.numbers(result.metrics).items()}
            # A training that only went on after its last step says nothing of speed.
            rate = {"baskets_per_second": result.baskets_per_second} if result.baskets_per_second else {}
            self.run.log_metrics({**numbers, **rate})

    def register(self, inputs: Inputs, folder: Path) -> dict[str, str | int]:
        """Register what a training without Dagster made, as the asset does; returns the versions it is."""
        if self.registers is None:
            return {}
        warehouse = services.open_warehouse(Settings.from_environment())
        version = registration.MODEL.registered(self.registers, inputs.fingerprint)
        if version is None and self.run:
            described = {
                **tags(warehouse, inputs.fingerprint, dataset_of(inputs)), MODEL_DIGEST: folder_digest(folder),
            }  # fmt: skip
            defaults = trained_model.serving_defaults(folder)
            version = registration.MODEL.register(
                self.registers, self.run, folder, inputs.fingerprint, described, defaults
            )
        known = registration.MODEL.register_policy_versions(self.registers, warehouse)
        return {"model_version": version, "policy_version": known[version].version} if version else {}

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        if self.run:
            self.run.log_metrics(metrics, step=step)


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
        dataset = dataset_of(inputs)
        described = tags(services.open_warehouse(Settings.from_environment()), inputs.fingerprint, dataset)
        with tracking.run(registration.MODEL.experiment, "training", described) as run:
            run.log_dataset(dataset, "training")
            yield Record(run, registers)


def dataset_of(inputs: Inputs) -> DatasetReference:
    """The cache, as the tracking server records it; the newest week names it."""
    cache = inputs.cache
    uri, rows = str(inputs.options.tensor_cache), sum(inputs.sizes().values())
    return DatasetReference(f"world_model/tensor_cache/{cache.weeks[-1]}", cache.fingerprint, uri, rows)
