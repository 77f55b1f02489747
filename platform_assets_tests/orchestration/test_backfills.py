"""What a backfill is about to compute is requested by nobody else, and followed only once the backfill is over."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

# Nothing public makes a backfill but a web server.
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from platform_assets.orchestration.automation import (
    AFFECTED_DAYS,
    BACKFILL,
    days_from_days,
    follow_changes,
    weekly_from_days,
)
from platform_assets.orchestration.partitions import days_before, days_in_week, days_of_week
from platform_assets.orchestration.resources import LakeResource

DAILY = dg.DailyPartitionsDefinition("2025-01-03", end_date="2025-01-10")
WEEKLY = dg.WeeklyPartitionsDefinition("2025-01-03", end_date="2025-01-10", day_offset=5)
(WEEK,) = WEEKLY.get_partition_keys()
FIRST, *_, LAST = days_of_week(WEEK)
NAME = "someone's"


@dg.asset(partitions_def=DAILY)
def events() -> None: ...


@dg.asset(
    partitions_def=DAILY,
    deps=[dg.AssetDep(events, partition_mapping=days_before(0))],
    automation_condition=days_from_days(),
)
def enriched() -> None: ...


@dg.asset(
    partitions_def=WEEKLY,
    deps=[dg.AssetDep(enriched, partition_mapping=days_in_week())],
    automation_condition=weekly_from_days(),
)
def dataset() -> None: ...


ASSETS = [events, enriched, dataset]
DEFINITIONS = dg.Definitions(ASSETS)


@dataclass
class Platform:
    """An instance, with the automation's memory of it."""

    instance: dg.DagsterInstance
    cursor: object = None

    def run(self, asset: dg.AssetsDefinition, *keys: str, **tags: str) -> None:
        for key in keys:
            dg.materialize(ASSETS, selection=[asset], partition_key=key, instance=self.instance, tags=tags)

    def begin_backfill(self, assets: Sequence[dg.AssetsDefinition], keys: Sequence[str]) -> None:
        """One that the daemon has not looked at yet."""
        self.instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                NAME, DEFINITIONS.resolve_asset_graph(), keys, [asset.key for asset in assets], time.time(), {},
                self.instance, all_partitions=False, title=None, description=None, run_config=None,
            )
        )  # fmt: skip

    def set_backfill(self, status: BulkActionStatus) -> None:
        found = self.instance.get_backfill(NAME)
        assert found is not None
        self.instance.update_backfill(found.with_status(status))

    def tick(self) -> dict[str, set[str]]:
        """One round of the automation daemon: what it requests."""
        result = dg.evaluate_automation_conditions(DEFINITIONS, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        found = {each.key.to_user_string(): set(result.get_requested_partitions(each.key)) for each in ASSETS}
        return {name: keys for name, keys in found.items() if keys}


@pytest.fixture
def platform() -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(instance)


@pytest.mark.parametrize("status", [BulkActionStatus.COMPLETED_FAILED, BulkActionStatus.CANCELED])
def test_a_missing_day_of_a_backfill_is_left_to_it_until_it_ends_without_the_day(
    platform: Platform, status: BulkActionStatus
) -> None:
    platform.begin_backfill([events, enriched], [FIRST])
    platform.run(events, FIRST, LAST)
    assert platform.tick() == {"enriched": {LAST}}, "the other day is in no backfill"
    assert platform.tick() == {}
    platform.set_backfill(status)
    assert platform.tick() == {"enriched": {FIRST}}


@pytest.mark.parametrize(
    ("assets", "keys"), [([dataset], [WEEK]), ([enriched], [LAST])], ids=["the week itself", "a day of it"]
)
def test_a_week_is_left_to_a_backfill_of_it_or_of_one_of_its_days(
    platform: Platform, assets: list[dg.AssetsDefinition], keys: list[str]
) -> None:
    platform.begin_backfill(assets, keys)
    for asset in (events, enriched):
        platform.run(asset, *days_of_week(WEEK))
    assert [platform.tick(), platform.tick()] == [{}, {}]
    platform.set_backfill(BulkActionStatus.COMPLETED_FAILED)
    assert platform.tick() == {"dataset": {WEEK}}


@pytest.mark.parametrize(
    "meanwhile", [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
)
def test_changes_that_a_backfill_makes_are_followed_once_it_is_over(
    platform: Platform, tmp_path: Path, meanwhile: BulkActionStatus
) -> None:
    sensor = follow_changes("follow", events.key, "job", lambda lake: lambda changed, affected: True)

    @dg.asset(key=events.key, partitions_def=DAILY)
    def changed(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        yield dg.MaterializeResult(metadata={AFFECTED_DAYS: [context.partition_key]})

    def requested() -> list[str]:
        lake = LakeResource(url=str(tmp_path))
        with dg.build_sensor_context(platform.instance, None, resources={"lake": lake}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return [str(request.partition_key) for request in result.run_requests or []]

    platform.begin_backfill([events, enriched], [FIRST])
    dg.materialize([changed], partition_key=FIRST, instance=platform.instance, tags={BACKFILL: NAME})
    platform.set_backfill(meanwhile)
    assert requested() == []
    platform.set_backfill(BulkActionStatus.COMPLETED_SUCCESS)
    assert requested() == [FIRST]
