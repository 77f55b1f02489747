"""The query predictor's jobs and schedules: which assets are materialised together, by whom."""

import dagster as dg

from platform_assets.query_predictor.assets.common import (
    FEATURES,
    LABELLED_QUERIES,
    MODEL,
    POLICY_VERSION,
    QUARANTINED_QUERIES,
    QUERIES,
    REPLAY_SCORES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
)

DAYS, SAMPLES = "query_predictor_days", "query_predictor_samples"
TRAINING, JUDGEMENT = "query_predictor_training", "query_predictor_judgement"
# An instance may end runs that hang after hours (deploy/dagster.yaml); a replay of millions of queries takes longer than that.
LONG = {"dagster/max_runtime": str(24 * 3600)}


def build() -> list:
    """Every job of the query predictor."""
    return [
        _job(DAYS, "Read days of Trino's log and label them.", QUERIES, QUARANTINED_QUERIES, LABELLED_QUERIES),
        _job(
            SAMPLES,
            "Judge the categories of the days up to a week's Sunday, draw their training sample, and make its features.",
            ZERO_COST_CATEGORIES,
            TRAINING_SAMPLE,
            FEATURES,
        ),
        _job(TRAINING, "Train a week's model on its features: the retraining sensor's job.", MODEL, tags=LONG),
        _job(
            JUDGEMENT,
            "Replay the model of the week before on an evaluated week's 14 days, and judge it.",
            REPLAY_SCORES,
            POLICY_VERSION,
            tags=LONG,
        ),
    ]


def schedules(jobs: list) -> list:
    """The clock's part; the rest follows by the sensor and by automation conditions."""
    named = {job.name: job for job in jobs}
    return [dg.build_schedule_from_partitioned_job(named[DAYS], name="query_predictor_daily", hour_of_day=3)]


def _job(name: str, description: str, *assets: dg.AssetKey, tags: dict[str, str] | None = None):
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description, tags=tags)
