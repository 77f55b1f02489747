"""What Dagster loads for the world model: assets, jobs, schedules and sensors, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts, automation, lost_runs, resources
from platform_assets.world_model.assets import (
    baskets,
    customer_features,
    jobs,
    model,
    policy_version,
    prices,
    product_embeddings,
    replay_scores,
    sensors,
    store_features,
    tensor_cache,
    transactions,
)
from platform_assets.world_model.assets.common import POLICY_VERSION, REPLAY_SCORES, RetailSourceResource
from platform_assets.world_model.limits import Limits

_FROM_SPLITS = (
    product_embeddings, customer_features, store_features, prices, tensor_cache, model, replay_scores, policy_version,
)  # fmt: skip


def build(
    settings: Settings | None = None, overrides: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> dg.Definitions:
    """Fresh definitions; tests and commands hand in other settings, resources and limits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill policies; their behaviour is pinned by tests
        return _build(settings or Settings.from_environment(), overrides, limits or Limits())


def _build(settings: Settings, overrides: Mapping[str, Any] | None, limits: Limits) -> dg.Definitions:
    all_jobs = jobs.build()
    return dg.Definitions(
        assets=[
            transactions.build(settings, limits),
            baskets.build(settings),
            *(asset.build(settings) for asset in _FROM_SPLITS),
        ],
        jobs=all_jobs,
        schedules=jobs.schedules(all_jobs),
        sensors=[
            *sensors.build(settings),
            *automation.automation_sensors("world_model", [REPLAY_SCORES, POLICY_VERSION], jobs.LONG),
            automation.end_mlflow_runs("world_model"),
            lost_runs.lost_runs("world_model"),
            *alerts.alert_sensors(settings, settings.dagster_url),
        ],
        resources=resources.build_resources({"retail": RetailSourceResource(), **(overrides or {})}),
        executor=dg.in_process_executor,
    )


defs = build()
