"""A run of Dagster as what a pipeline's work asks for (`core.step`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_assets.core.step import Step
from platform_assets.orchestration import programs
from platform_assets.orchestration.resources import LakeResource, MlflowResource, WarehouseResource

if TYPE_CHECKING:
    from platform_assets.core.tracking import Run


def step(
    context: dg.AssetExecutionContext,
    partition: str,
    folder: Path,
    lake: LakeResource,
    mlflow: MlflowResource,
    warehouse: WarehouseResource,
) -> Step:
    """One partition of the run; its programs find the services that the run has."""
    database = warehouse.open()
    services = {"MLFLOW_TRACKING_URI": mlflow.resolve_uri(), "PLATFORM_WAREHOUSE_URL": database.url}

    def run_program(module: str, words: Sequence[str]) -> dict[str, Any]:
        return programs.run_program(context, module, words, services)

    def tracking_run(experiment: str, tags: Mapping[str, str]) -> AbstractContextManager[Run]:
        return mlflow.partition_run(context, experiment, partition, tags)

    def finished_run(experiment: str, tags: Mapping[str, str]) -> Run | None:
        return mlflow.finished_run(context, experiment, partition, tags)

    return Step(
        partition, context.run.run_id, folder, lake.open(), mlflow.open(), database, run_program, tracking_run,
        finished_run, context.log.info,
    )  # fmt: skip
