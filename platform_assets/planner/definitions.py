"""What Dagster loads for the planner: assets, jobs, schedules and sensors, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts, automation, lost_runs, resources
from platform_assets.planner.assets import (
    base_model,
    dataset,
    enriched_plans,
    events,
    jobs,
    model,
    policy_version,
    recipes,
    replay_scores,
    sensors,
)
from platform_assets.planner.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.planner.limits import Limits


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
            *(asset.build(settings, limits) for asset in (events, enriched_plans)),
            *(asset.build(settings) for asset in (dataset, recipes, base_model, model, replay_scores, policy_version)),
        ],
        jobs=all_jobs,
        schedules=jobs.schedules(all_jobs),
        sensors=[
            *sensors.build(settings),
            *automation.automation_sensors("planner", [REPLAY_SCORES, POLICY_VERSION], jobs.LONG),
            automation.end_mlflow_runs("planner"),
            lost_runs.lost_runs("planner"),
            *alerts.alert_sensors(settings, settings.dagster_url),
        ],
        resources=resources.build_resources(overrides),
        executor=dg.in_process_executor,
    )


defs = build()
