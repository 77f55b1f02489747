"""The query predictor's jobs and schedules: which assets are materialised together, by whom."""

import dagster as dg

from platform_assets.query_predictor.assets.common import (
    LABELLED_QUERIES,
    QUARANTINED_QUERIES,
    QUERIES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
)

DAYS, SAMPLES = "query_predictor_days", "query_predictor_samples"


def build() -> list:
    """Every job of the query predictor."""
    return [
        _job(DAYS, "Read days of Trino's log and label them.", QUERIES, QUARANTINED_QUERIES, LABELLED_QUERIES),
        _job(
            SAMPLES,
            "Judge the categories of the days up to a week's Sunday, and draw their training sample.",
            ZERO_COST_CATEGORIES,
            TRAINING_SAMPLE,
        ),
    ]


def schedules(jobs: list) -> list:
    """The clock's part; the rest follows by automation conditions."""
    named = {job.name: job for job in jobs}
    return [dg.build_schedule_from_partitioned_job(named[DAYS], name="query_predictor_daily", hour_of_day=3)]


def _job(name: str, description: str, *assets: dg.AssetKey):
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description)
