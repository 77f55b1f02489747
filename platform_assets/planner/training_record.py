"""A training in MLflow while it goes on: losses by epoch as they come, parameters and rates at its end.

On a run that an asset opened and will end (`--mlflow_run`), or on one of its own that is registered as well (`--register`), for
those who train without Dagster. What does not belong here: what is registered (`planner.registration`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_assets.core import services
from platform_assets.core.settings import Settings
from platform_assets.core.source_code import git_sha
from platform_assets.planner import registration, trained_model
from platform_assets.planner.training_options import TrainingOptions

if TYPE_CHECKING:
    from platform_assets.core.tracking import Run
    from platform_assets.planner.training import TrainingResult


@dataclass(frozen=True)
class Record:
    """Where a training is written down; without a run, nowhere."""

    run: Run | None = None

    def on_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch's losses."""
        if self.run:
            self.run.log_metrics(metrics, step=epoch)

    def finish(self, result: TrainingResult) -> None:
        """Parameters, and the numbers of the whole."""
        if self.run:
            registration.log_parameters(self.run, result.parameters)
            numbers = {f"final_{name}": float(value) for name, value in trained_model.numbers(result.metrics).items()}
            self.run.log_metrics({**numbers, "tokens_per_second": result.tokens_per_second})


@contextmanager
def recording(run_id: str, register: bool, is_follower: bool) -> Iterator[Record]:
    """The record of a training; of several processes the first one keeps it. Raises TrackingError before anything is trained."""
    if is_follower or not (run_id or register):
        yield Record()
        return
    tracking = services.open_tracking(Settings.from_environment())
    if run_id:
        yield Record(tracking.open_run(run_id))
        return
    with tracking.run(registration.EXPERIMENT, "training", {"task": registration.TASK}) as run:
        yield Record(run)


def register(record: Record, result: TrainingResult, options: TrainingOptions) -> dict[str, str | int]:
    """Register what a training without Dagster made, as the asset does; returns the versions it became."""
    if record.run is None:
        return {}
    tracking, warehouse = record.run.tracking, services.open_warehouse(Settings.from_environment())
    tags = {
        "policy_id": registration.ensure_policy(warehouse),
        "task": registration.TASK,
        "dataset_version": ",".join(path.name for path in options.dataset),
        "base_digest": str(result.parameters["base_digest"]),
        "base_revision": str(result.parameters["base_revision"]),
        "git_sha": git_sha(),
    }
    record.run.log_parameters(
        {"dataset_version": tags["dataset_version"], "dataset_digest": result.parameters["dataset_digests"]}
    )
    defaults = trained_model.serving_defaults(result.folder)
    version = registration.register(tracking, record.run, result.folder, result.fingerprint, tags, defaults)
    known = registration.register_policy_versions(tracking, warehouse)[version]
    return {"model_version": version, "policy_version": known.version}
