"""A training in MLflow while it goes on: losses by epoch and by step as they come, parameters and rates at its end; its tags.

On a run that an asset opened and will end (`--mlflow_run`), or on one of its own that is registered as well (`--register`), for
those who train without Dagster. The same for every pipeline, which says what it is that is recorded (`Subject`). What does not
belong here: how a model is registered (`core.registered_model`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.core import services
from platform_assets.core.folders import folder_digest
from platform_assets.core.registered_model import MODEL_DIGEST, RegisteredModel
from platform_assets.core.settings import Settings
from platform_assets.core.trained_on import TrainedOn
from platform_assets.core.training_metrics import numbers

if TYPE_CHECKING:
    from platform_assets.core.tracking import Run, Tracking
    from platform_assets.core.warehouse import Warehouse


@dataclass(frozen=True)
class TrainingResult:
    """What a training made; `epochs` are the metrics of each, if it has any."""

    folder: Path
    fingerprint: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    epochs: tuple[Mapping[str, float], ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    """tokens_per_second or the like, of this process's own steps; empty where it only went on after the last one."""
    is_first_rank: bool = True


@dataclass(frozen=True)
class Subject:
    """What a training is registered as, and by what it is found."""

    model: RegisteredModel
    fingerprint: str
    trained_on: TrainedOn
    serving_defaults: Callable[[Path], Mapping[str, Any]]
    """Of the model folder: how the policy version answers."""

    def tags(self, warehouse: Warehouse) -> dict[str, str]:
        """Of the run and of the registered version, as an asset's."""
        return {**self.model.tags(warehouse, self.fingerprint), **self.trained_on.tags()}


@dataclass(frozen=True)
class Record:
    """Where a training is written down; without a run, nowhere. `registers` is where its model is to be registered."""

    subject: Subject
    run: Run | None = None
    registers: Tracking | None = None

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch's losses and what else was measured."""
        self._log(metrics, epoch)

    def on_quick_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """What a look at validation rows after so many optimizer steps said."""
        self._log(metrics, step)

    def finish(self, result: TrainingResult) -> None:
        """Parameters, and the numbers of the whole."""
        if self.run:
            self.run.log_parameters(result.parameters)
            final = {f"final_{name}": float(value) for name, value in numbers(result.metrics).items()}
            self.run.log_metrics({**final, **result.rates})

    def register(self, folder: Path) -> dict[str, str | int]:
        """Register what a training without Dagster made, as the asset does; returns the versions it is."""
        if self.registers is None:
            return {}
        subject, warehouse = self.subject, services.open_warehouse(Settings.from_environment())
        version = subject.model.registered(self.registers, subject.fingerprint)
        if version is None and self.run:
            described = {**subject.tags(warehouse), MODEL_DIGEST: folder_digest(folder)}
            defaults = subject.serving_defaults(folder)
            version = subject.model.register(self.registers, self.run, folder, subject.fingerprint, described, defaults)
        known = subject.model.register_policy_versions(self.registers, warehouse)
        return {"model_version": version, "policy_version": known[version].version} if version else {}

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        if self.run:
            self.run.log_metrics(metrics, step=step)


@contextmanager
def recording(subject: Subject, run_id: str, register: bool, is_follower: bool) -> Iterator[Record]:
    """The record of a training; of several processes the first one keeps it. Raises TrackingError before anything is trained.

    A training that is registered already gets no run of its own: nothing would be registered from it.
    """
    if is_follower or not (run_id or register):
        yield Record(subject)
        return
    tracking = services.open_tracking(Settings.from_environment())
    registers = tracking if register else None
    if run_id:
        yield Record(subject, tracking.open_run(run_id), registers)
    elif subject.model.registered(tracking, subject.fingerprint):
        yield Record(subject, None, registers)
    else:
        described = subject.tags(services.open_warehouse(Settings.from_environment()))
        with tracking.run(subject.model.experiment, "training", described) as run:
            subject.trained_on.log(run)
            yield Record(subject, run, registers)
