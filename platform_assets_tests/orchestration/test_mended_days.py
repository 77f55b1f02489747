"""What was refused because of a broken upstream day is requested again once that day is mended, though its digest is the same.

Rows that break a rule are in the quarantine and no part of the day's digest: mending them changes only the check.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.orchestration.automation import AFFECTED_DAYS, days_from_days, follow_changes
from platform_assets.orchestration.partitions import days_before
from platform_assets.orchestration.resources import LakeResource

DAILY = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-04")
FIRST, SECOND, THIRD = DAILY.get_partition_keys()


@dataclass
class Platform:
    """A daily asset with a blocking check, and one on top of it that looks back a day and refuses what failed."""

    instance: dg.DagsterInstance
    broken: set[str] = field(default_factory=set)
    cursor: object = None

    def __post_init__(self) -> None:
        check = dg.AssetCheckSpec("share", asset="events", blocking=True, partitions_def=DAILY)

        @dg.asset(partitions_def=DAILY, check_specs=[check])
        def events(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
            day = context.partition_key
            result = dg.AssetCheckResult(passed=day not in self.broken)
            metadata = {AFFECTED_DAYS: [day]}
            yield dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion("same"), check_results=[result])

        dep = dg.AssetDep(events, partition_mapping=days_before(1))

        @dg.asset(partitions_def=DAILY, deps=[dep], automation_condition=days_from_days())
        def enriched(context: dg.AssetExecutionContext) -> None:
            assert context.partition_key not in self.broken

        self.events, self.enriched, self.definitions = events, enriched, dg.Definitions([events, enriched])

    def run(self, asset: dg.AssetsDefinition, *days: str) -> None:
        for day in days:
            dg.materialize(
                [self.events, self.enriched], partition_key=day, instance=self.instance, selection=[asset],
                raise_on_error=False,
            )  # fmt: skip

    def tick_and_run(self) -> set[str]:
        """One round of the automation daemon: the enriched days it requests, which then run."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        requested = set(result.get_requested_partitions(self.enriched.key))
        self.run(self.enriched, *sorted(requested))
        return requested


@pytest.fixture
def platform() -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(instance)


def test_a_missing_day_is_requested_again_when_its_upstream_day_is_mended_without_a_new_digest(
    platform: Platform,
) -> None:
    platform.broken.add(SECOND)
    platform.run(platform.events, FIRST, SECOND, THIRD)
    assert platform.tick_and_run() == {FIRST, SECOND, THIRD}
    assert [platform.tick_and_run() for _ in range(3)] == [set()] * 3, "no loop over a day that stays broken"
    platform.broken.clear()
    platform.run(platform.events, SECOND)
    assert platform.tick_and_run() == {SECOND}, "and no day that is there already"
    assert platform.tick_and_run() == set()


def test_a_refused_change_is_requested_under_another_key_after_its_day_is_mended(
    platform: Platform, tmp_path: Path
) -> None:
    """The daemon drops a request whose run key it has seen: the refused run would have been the last."""
    sensor = follow_changes("follow", platform.events.key, "job", lambda lake: lambda changed, affected: True)
    platform.broken.add(FIRST)
    keys, cursor = [], None
    for _ in range(2):
        platform.run(platform.events, FIRST)
        platform.broken.clear()
        lake = LakeResource(url=str(tmp_path))
        with dg.build_sensor_context(platform.instance, cursor, resources={"lake": lake}) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        keys += [request.run_key for request in result.run_requests or []]
    assert len(keys) == len(set(keys)) == 2
