"""The world model's jobs and schedules: which assets are materialised together, by whom."""

import dagster as dg

from platform_assets.world_model.assets.common import BASKETS, QUARANTINED_TRANSACTIONS, TRANSACTIONS

WEEKS = "world_model_weeks"


def build() -> list:
    """Every job of the world model."""
    selection = dg.AssetSelection.assets(TRANSACTIONS, QUARANTINED_TRANSACTIONS, BASKETS)
    return [
        dg.define_asset_job(WEEKS, selection, description="Read weeks of raw transactions and build their baskets.")
    ]


def schedules(jobs: list) -> list:
    """The clock's part; the rest follows by automation conditions."""
    named = {job.name: job for job in jobs}
    return [dg.build_schedule_from_partitioned_job(named[WEEKS], name="world_model_weekly", hour_of_day=5)]
