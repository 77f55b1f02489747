"""What Dagster loads for the planner: assets, jobs, schedules and sensors, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts, automation, lost_runs, resources
from platform_assets.planner.assets import dataset, enriched_plans, events, sensors
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS
from platform_assets.planner.limits import Limits


def build(
    settings: Settings | None = None, overrides: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> dg.Definitions:
    """Fresh definitions; tests and commands hand in other settings, resources and limits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill policies; their behaviour is pinned by tests
        return _build(settings or Settings.from_environment(), overrides, limits or Limits())


def _build(settings: Settings, overrides: Mapping[str, Any] | None, limits: Limits) -> dg.Definitions:
    days = _job("planner_days", "Extract and enrich days, daily.", EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS)
    weeks = _job("planner_weeks", "Build weekly datasets.", DATASET)
    extraction = _job(
        "planner_extraction", "Extract days again: the late-data sensor's job.", EVENTS, QUARANTINED_EVENTS
    )
    enrichment = _job("planner_enrichment", "Enrich days again after their events changed.", ENRICHED_PLANS)
    return dg.Definitions(
        assets=[events.build(settings, limits), enriched_plans.build(settings, limits), dataset.build(settings)],
        jobs=[days, weeks, extraction, enrichment],
        schedules=[
            dg.build_schedule_from_partitioned_job(days, name="planner_daily", hour_of_day=2),
            dg.build_schedule_from_partitioned_job(weeks, name="planner_weekly", hour_of_day=4),
        ],
        sensors=[
            sensors.late_data(settings, extraction.name),
            sensors.changed_days(settings, enrichment.name),
            automation.automation_sensor("planner"),
            automation.end_mlflow_runs("planner"),
            lost_runs.lost_runs("planner"),
            *alerts.alert_sensors(settings, settings.dagster_url),
        ],
        resources=resources.build_resources(overrides),
        executor=dg.in_process_executor,
    )


def _job(name: str, description: str, *assets: dg.AssetKey):
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description)


defs = build()
