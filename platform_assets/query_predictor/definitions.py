"""What Dagster loads for the query predictor: assets, jobs, schedules and sensors, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts, automation, lost_runs, resources
from platform_assets.query_predictor.assets import (
    common,
    features,
    jobs,
    labelled_queries,
    model,
    policy_version,
    queries,
    replay_scores,
    sensors,
    training_sample,
    zero_cost_categories,
)
from platform_assets.query_predictor.assets.common import POLICY_VERSION, REPLAY_SCORES
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.limits import Limits


def build(
    settings: Settings | None = None, overrides: Mapping[str, Any] | None = None, limits: Limits | None = None,
    defaults: Configuration | None = None,
) -> dg.Definitions:  # fmt: skip
    """Fresh definitions; tests and commands hand in other settings, resources, limits and defaults of the configuration."""
    settings = settings or Settings.from_environment()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill policies; their behaviour is pinned by tests
        return _build(settings, overrides, limits or Limits(), defaults or common.default_configuration(settings))


def _build(
    settings: Settings, overrides: Mapping[str, Any] | None, limits: Limits, defaults: Configuration
) -> dg.Definitions:
    all_jobs = jobs.build()
    return dg.Definitions(
        assets=[
            queries.build(settings, limits),
            labelled_queries.build(settings, limits, defaults),
            zero_cost_categories.build(settings, defaults),
            training_sample.build(settings, defaults),
            features.build(settings, limits, defaults),
            model.build(settings, defaults),
            replay_scores.build(settings),
            policy_version.build(settings),
        ],
        jobs=all_jobs,
        schedules=jobs.schedules(all_jobs),
        sensors=[
            *sensors.build(settings),
            *automation.automation_sensors("query_predictor", [REPLAY_SCORES, POLICY_VERSION], jobs.LONG),
            automation.end_mlflow_runs("query_predictor"),
            lost_runs.lost_runs("query_predictor"),
            *alerts.alert_sensors(settings, settings.dagster_url),
        ],
        resources=resources.build_resources({"trino": common.TrinoSourceResource(), **(overrides or {})}),
        executor=dg.in_process_executor,
    )


defs = build()
