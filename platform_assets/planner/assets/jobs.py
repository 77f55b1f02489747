"""The planner's jobs and schedules: which assets are materialised together, by whom."""

import dagster as dg

from platform_assets.planner.assets.common import (
    BASE_MODEL,
    DATASET,
    ENRICHED_PLANS,
    EVENTS,
    MODEL,
    POLICY_VERSION,
    QUARANTINED_EVENTS,
    RECIPES,
    REPLAY_SCORES,
)

DAYS, WEEKS, EXTRACTION, ENRICHMENT = "planner_days", "planner_weeks", "planner_extraction", "planner_enrichment"
TRAINING, JUDGEMENT = "planner_training", "planner_judgement"
# An instance may end runs that hang after hours (deploy/dagster.yaml); training a large model takes longer than that.
LONG = {"dagster/max_runtime": str(4 * 24 * 3600)}


def build() -> list:
    """Every job of the planner."""
    return [
        _job(DAYS, "Extract and enrich days, daily.", EVENTS, QUARANTINED_EVENTS, ENRICHED_PLANS),
        _job(WEEKS, "Build weekly datasets and catalogues.", DATASET, RECIPES),
        _job(EXTRACTION, "Extract days again: the late-data sensor's job.", EVENTS, QUARANTINED_EVENTS),
        _job(ENRICHMENT, "Enrich days again after their events changed.", ENRICHED_PLANS),
        _job(
            TRAINING,
            "Fine-tune on the weeks up to this one, and register: the retraining sensor's job.",
            BASE_MODEL,
            MODEL,
            tags=LONG,
        ),
        _job(
            JUDGEMENT,
            "Replay this week with the model of the week before, and judge it.",
            REPLAY_SCORES,
            POLICY_VERSION,
            tags=LONG,
        ),
    ]


def schedules(jobs: list) -> list:
    """The clock's part; the rest follows by sensors and automation conditions."""
    named = {job.name: job for job in jobs}
    return [
        dg.build_schedule_from_partitioned_job(named[DAYS], name="planner_daily", hour_of_day=2),
        dg.build_schedule_from_partitioned_job(named[WEEKS], name="planner_weekly", hour_of_day=4),
    ]


def _job(name: str, description: str, *assets: dg.AssetKey, tags: dict[str, str] | None = None):
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description, tags=tags)
