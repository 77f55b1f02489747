"""What Dagster loads for the planner: assets, jobs, schedules and sensors, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts, automation, resources
from platform_assets.planner.assets import dataset, enriched_plans, events, sensors
from platform_assets.planner.assets.common import DATASET, ENRICHED_PLANS, EVENTS, QUARANTINED_EVENTS
from platform_assets.planner.limits import Limits


def build(
    settings: Settings | None = None, overrides: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> dg.Definitions:
    """Fresh definitions; tests and commands hand in other settings, resources and limits."""
    limits = limits or Limits()
    settings = settings or Settings.from_environment()
    days = dg.define_asset_job(
        "planner_days",
        dg.AssetSelection.assets(EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS),
        description="Extract and enrich days. What the daily schedule runs; also for ranges.",
    )
    weeks = dg.define_asset_job(
        "planner_weeks", dg.AssetSelection.assets(DATASET), description="Build weekly datasets."
    )
    extraction = dg.define_asset_job(
        "planner_extraction",
        dg.AssetSelection.assets(EVENTS, QUARANTINED_EVENTS),
        description="Extract days again, without what follows. What the late-data sensor runs.",
    )
    enrichment = dg.define_asset_job(
        "planner_enrichment",
        dg.AssetSelection.assets(ENRICHED_PLANS),
        description="Enrich days again after their events changed.",
    )
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
            *alerts.alert_sensors(settings, None),
        ],
        resources=resources.build_resources(overrides),
        executor=dg.in_process_executor,
    )


defs = build()
