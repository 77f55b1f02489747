"""The world model's jobs and schedules: which assets are materialised together, by whom."""

import dagster as dg

from platform_assets.world_model.assets.common import (
    BASKETS,
    CUSTOMER_FEATURES,
    MODEL,
    POLICY_VERSION,
    PRICES,
    PRODUCT_EMBEDDINGS,
    QUARANTINED_TRANSACTIONS,
    REPLAY_SCORES,
    STORE_FEATURES,
    TENSOR_CACHE,
    TRANSACTIONS,
)

WEEKS, FEATURES, TRAINING = "world_model_weeks", "world_model_features", "world_model_training"
JUDGEMENT = "world_model_judgement"
# An instance may end runs that hang after hours (deploy/dagster.yaml); training on years of baskets takes longer than that.
LONG = {"dagster/max_runtime": str(4 * 24 * 3600)}
_FEATURES = (PRODUCT_EMBEDDINGS, CUSTOMER_FEATURES, STORE_FEATURES, PRICES, TENSOR_CACHE)


def build() -> list:
    """Every job of the world model."""
    return [
        _job(
            WEEKS,
            "Read weeks of raw transactions and build their baskets.",
            TRANSACTIONS,
            QUARANTINED_TRANSACTIONS,
            BASKETS,
        ),
        _job(FEATURES, "Fit the features of the split that ends with a week, and build its tensor cache.", *_FEATURES),
        _job(
            TRAINING,
            "Features, tensor cache and model of the split that ends with a week: the retraining sensor's job.",
            *_FEATURES,
            MODEL,
            tags=LONG,
        ),
        _job(
            JUDGEMENT,
            "Evaluate the model of a split on its test weeks, and judge it.",
            REPLAY_SCORES,
            POLICY_VERSION,
            tags=LONG,
        ),
    ]


def schedules(jobs: list) -> list:
    """The clock's part; the rest follows by sensors and automation conditions."""
    named = {job.name: job for job in jobs}
    return [dg.build_schedule_from_partitioned_job(named[WEEKS], name="world_model_weekly", hour_of_day=5)]


def _job(name: str, description: str, *assets: dg.AssetKey, tags: dict[str, str] | None = None):
    return dg.define_asset_job(name, dg.AssetSelection.assets(*assets), description=description, tags=tags)
