"""When a week that reads days, and another week made of the same days, is requested: once, and of what is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import pytest

from platform_assets.orchestration.partitions import days_in_week
from platform_assets.query_predictor.assets.weekly import from_days_and_weeks

DAILY = dg.DailyPartitionsDefinition("2025-07-14", end_date="2025-07-21", timezone="UTC")
WEEKLY = dg.WeeklyPartitionsDefinition("2025-07-14", end_date="2025-07-21", day_offset=1, timezone="UTC")
WEEK, DAYS = "2025-07-14", DAILY.get_partition_keys()
NOW = datetime(2025, 8, 1, tzinfo=UTC)


class Calendar:
    """A day, a sample of a week's days, and features of both; assets say of which version of the days they are."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor, self.version = instance, None, "first"
        dep = dg.AssetDep("day", partition_mapping=days_in_week())
        condition = from_days_and_weeks()

        @dg.asset(partitions_def=DAILY)
        def day() -> dg.MaterializeResult:
            return self.made()

        @dg.asset(deps=[dep], partitions_def=WEEKLY, automation_condition=condition)
        def sample() -> dg.MaterializeResult:
            return self.made()

        @dg.asset(deps=[dep, sample], partitions_def=WEEKLY, automation_condition=condition)
        def features() -> dg.MaterializeResult:
            return self.made()

        self.definitions = dg.Definitions([day, sample, features])

    def made(self) -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion(self.version))

    def run(self, asset: str, partition: str) -> None:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(asset)]
        assert job.execute_in_process(
            instance=self.instance, partition_key=partition, asset_selection=selection
        ).success

    def tick(self) -> set[str]:
        """The assets that a round of the automation daemon requests."""
        result = dg.evaluate_automation_conditions(
            self.definitions, self.instance, cursor=self.cursor, evaluation_time=NOW
        )
        self.cursor = result.cursor
        return {name for name in ("sample", "features") if result.get_requested_partitions(dg.AssetKey(name))}


@pytest.fixture
def calendar() -> Iterator[Calendar]:
    with dg.DagsterInstance.ephemeral() as instance:
        found = Calendar(instance)
        for day in DAYS:
            found.run("day", day)
        yield found


def test_features_follow_the_sample_once_and_again_when_a_day_changes(calendar: Calendar) -> None:
    for version in ("first", "second"):
        calendar.version = version
        calendar.run("day", DAYS[3])
        assert calendar.tick() == {"sample"}, "features of the old sample are of no use"
        calendar.run("sample", WEEK)
        assert calendar.tick() == {"features"}
        calendar.run("features", WEEK)
        assert [calendar.tick() for _ in range(2)] == [set(), set()]


def test_a_day_that_is_computed_again_to_the_same_content_asks_for_nothing(calendar: Calendar) -> None:
    for asset in ("sample", "features"):
        calendar.tick()
        calendar.run(asset, WEEK)
    assert calendar.tick() == set()
    calendar.run("day", DAYS[0])
    assert calendar.tick() == set()
