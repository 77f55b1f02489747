"""The automation conditions, tick by tick, against real runs of a small daily asset and a weekly one on top of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from platform_assets.orchestration.automation import automation_sensors, weekly_from_days
from platform_assets.orchestration.partitions import days_in_week, days_of_week

DAILY = dg.DailyPartitionsDefinition("2025-01-03", end_date="2025-01-24")
WEEKLY = dg.WeeklyPartitionsDefinition("2025-01-03", end_date="2025-01-24", day_offset=5)
OLD, MIDDLE, NEWEST = WEEKLY.get_partition_keys()
NOW = datetime(2025, 3, 1, tzinfo=UTC)


@dataclass
class Platform:
    """Two assets on an instance of their own; `versions` and `broken` decide what a day's next run yields."""

    instance: dg.DagsterInstance
    versions: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    week_fails: bool = False
    cursor: Any = None

    def __post_init__(self):
        check = dg.AssetCheckSpec("complete", asset="day", blocking=True, partitions_def=DAILY)

        @dg.asset(partitions_def=DAILY, check_specs=[check])
        def day(context: dg.AssetExecutionContext):
            version = dg.DataVersion(self.versions.get(context.partition_key, "first"))
            yield dg.MaterializeResult(data_version=version)
            yield dg.AssetCheckResult(passed=context.partition_key not in self.broken)

        dep = dg.AssetDep(day, partition_mapping=days_in_week())

        @dg.asset(partitions_def=WEEKLY, deps=[dep], automation_condition=weekly_from_days())
        def week():
            assert not self.week_fails

        self.day, self.week, self.definitions = day, week, dg.Definitions([day, week])

    def run_days(self, *keys: str):
        for key in keys:
            dg.materialize([self.day], partition_key=key, instance=self.instance, raise_on_error=False)

    def start(self, asset: dg.AssetsDefinition, key: str) -> dg.DagsterRun:
        """A run of one partition that has started and computed nothing yet."""
        job = dg.define_asset_job("job", [asset]).resolve(asset_graph=self.definitions.resolve_asset_graph())
        return self.instance.create_run_for_job(
            job, tags={"dagster/partition": key}, status=dg.DagsterRunStatus.STARTED, asset_selection={asset.key}
        )

    def run_week(self, key: str):
        dg.materialize(
            [self.week, self.day],
            selection=[self.week],
            partition_key=key,
            instance=self.instance,
            raise_on_error=False,
        )

    def tick(self, now: datetime = NOW) -> set[str]:
        """One round of the automation daemon: the weeks it requests."""
        result = dg.evaluate_automation_conditions(
            self.definitions, self.instance, cursor=self.cursor, evaluation_time=now
        )
        self.cursor = result.cursor
        return {str(key) for key in result.get_requested_partitions(self.week.key)}

    def tick_and_run(self) -> set[str]:
        weeks = self.tick()
        for week in weeks:
            self.run_week(week)
        return weeks


@pytest.fixture
def platform():
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(instance)


@pytest.fixture
def settled(platform):
    """The old week is complete and computed, and nothing is due."""
    platform.tick()
    platform.run_days(*days_of_week(OLD))
    assert platform.tick_and_run() == {OLD}
    assert platform.tick() == set()
    return platform


def test_a_week_is_requested_when_its_seventh_day_arrives_and_only_once(platform):
    assert platform.tick() == set()
    platform.run_days(*days_of_week(MIDDLE)[1:])
    assert platform.tick() == set()
    platform.run_days(days_of_week(MIDDLE)[0])
    assert platform.tick_and_run() == {MIDDLE}
    assert [platform.tick() for _ in range(3)] == [set()] * 3


def test_a_week_that_is_not_over_is_requested_only_after_its_last_day(platform):
    platform.run_days(*days_of_week(NEWEST)[:6])
    assert platform.tick(datetime(2025, 1, 23, 1, tzinfo=UTC)) == set()
    assert platform.tick(datetime(2025, 1, 24, 1, tzinfo=UTC)) == set()
    platform.run_days(days_of_week(NEWEST)[6])
    assert platform.tick(datetime(2025, 1, 24, 2, tzinfo=UTC)) == {NEWEST}


def test_complete_weeks_that_wait_when_automation_is_switched_on_are_requested(platform):
    platform.run_days(*days_of_week(OLD), *days_of_week(NEWEST))
    assert platform.tick_and_run() == {OLD, NEWEST}
    assert platform.tick() == set()


def test_weeks_already_computed_when_automation_is_switched_on_are_left_alone(platform):
    platform.run_days(*days_of_week(OLD))
    platform.run_week(OLD)
    assert [platform.tick(), platform.tick()] == [set(), set()]


def test_an_old_week_is_requested_again_when_one_of_its_days_changes(settled):
    late = days_of_week(OLD)[2]
    settled.versions[late] = "with late events"
    settled.run_days(late)
    assert settled.tick_and_run() == {OLD}
    assert [settled.tick() for _ in range(3)] == [set()] * 3


def test_a_day_re_run_with_the_same_data_version_requests_nothing(settled):
    settled.run_days(*days_of_week(OLD))
    assert [settled.tick(), settled.tick()] == [set(), set()]


def test_a_failed_blocking_check_holds_its_week_until_the_day_passes(settled):
    day = days_of_week(OLD)[4]
    settled.versions[day] = "broken"
    settled.broken.add(day)
    settled.run_days(day, *days_of_week(MIDDLE))
    assert settled.tick_and_run() == {MIDDLE}, "another week is not held"
    assert settled.tick() == set()
    settled.broken.clear()
    settled.versions[day] = "repaired"
    settled.run_days(day)
    assert settled.tick_and_run() == {OLD}
    assert [settled.tick(), settled.tick()] == [set(), set()]


def test_a_held_change_is_remembered_when_the_repair_brings_no_further_change(settled):
    day = days_of_week(OLD)[4]
    settled.versions[day] = "changed"
    settled.broken.add(day)
    settled.run_days(day)
    assert settled.tick() == set()
    settled.broken.clear()
    settled.run_days(day)
    assert settled.tick() == {OLD}


def test_a_day_that_has_a_materialisation_but_no_check_result_holds_its_week(platform):
    platform.run_days(*days_of_week(OLD)[1:])
    platform.instance.report_runless_asset_event(
        dg.AssetMaterialization("day", partition=days_of_week(OLD)[0], tags={"dagster/data_version": "by hand"})
    )
    assert platform.tick() == set()


def test_a_day_that_changes_right_after_the_request_is_not_lost(settled):
    day = days_of_week(OLD)[0]
    settled.versions[day] = "second"
    settled.run_days(day)
    assert settled.tick() == {OLD}
    settled.versions[day] = "third"
    settled.run_days(day)
    assert settled.tick_and_run() == {OLD}
    assert [settled.tick(), settled.tick()] == [set(), set()]


def test_a_day_that_changes_while_its_week_is_being_computed_is_not_lost(settled):
    first, second = days_of_week(OLD)[:2]
    settled.versions[first] = "second"
    settled.run_days(first)
    assert settled.tick() == {OLD}
    run = settled.start(settled.week, OLD)
    assert settled.tick() == set()
    settled.versions[second] = "second"
    settled.run_days(second)
    assert settled.tick() == set()
    settled.run_week(OLD)
    settled.instance.report_run_canceled(run)
    assert settled.tick_and_run() == {OLD}
    assert [settled.tick(), settled.tick()] == [set(), set()]


def test_a_week_is_not_requested_while_it_is_being_computed(settled):
    first = days_of_week(OLD)[0]
    settled.versions[first] = "second"
    settled.run_days(first)
    run = settled.start(settled.week, OLD)
    assert [settled.tick(), settled.tick()] == [set(), set()]
    settled.instance.report_run_canceled(run)
    assert settled.tick() == {OLD}


def test_a_day_whose_re_run_is_under_way_or_broke_off_holds_its_week_until_it_is_run_to_its_end(settled):
    first, second = days_of_week(OLD)[:2]
    settled.versions[first] = "second"
    settled.run_days(first)
    run = settled.start(settled.day, second)
    assert settled.tick() == set()
    settled.instance.report_run_canceled(run)
    assert settled.tick() == set()
    settled.run_days(second)
    assert settled.tick() == {OLD}


def test_days_without_any_check_still_hold_their_week_until_all_are_there():
    day = dg.AssetSpec("day", partitions_def=DAILY)
    dep = dg.AssetDep("day", partition_mapping=days_in_week())
    week = dg.asset(name="week", partitions_def=WEEKLY, deps=[dep], automation_condition=weekly_from_days())(
        lambda: None
    )
    with dg.DagsterInstance.ephemeral() as instance:
        requested = []
        for key in days_of_week(MIDDLE):
            instance.report_runless_asset_event(dg.AssetMaterialization("day", partition=key))
            result = dg.evaluate_automation_conditions(dg.Definitions([day, week]), instance, evaluation_time=NOW)
            requested.append(set(result.get_requested_partitions(week.key)))
    assert requested == [set()] * 6 + [{MIDDLE}]


def test_a_week_whose_run_fails_is_not_requested_again_until_a_day_changes(platform):
    platform.tick()
    platform.week_fails = True
    platform.run_days(*days_of_week(OLD))
    assert platform.tick_and_run() == {OLD}
    assert [platform.tick() for _ in range(3)] == [set()] * 3
    platform.versions[days_of_week(OLD)[6]] = "second"
    platform.run_days(days_of_week(OLD)[6])
    assert platform.tick() == {OLD}


def test_a_gates_failed_check_holds_the_week_and_its_change_alone_asks_for_nothing():
    broken: set[str] = set()
    versions: dict[str, str] = {}

    @dg.asset(
        partitions_def=DAILY,
        check_specs=[dg.AssetCheckSpec("sound", asset="source", blocking=True, partitions_def=DAILY)],
    )
    def source(context: dg.AssetExecutionContext):
        yield dg.MaterializeResult(data_version=dg.DataVersion(versions.get(context.partition_key, "first")))
        yield dg.AssetCheckResult(passed=context.partition_key not in broken)

    @dg.asset(partitions_def=DAILY, deps=[source])
    def day(context: dg.AssetExecutionContext):
        return dg.MaterializeResult(data_version=dg.DataVersion(versions.get(context.partition_key, "first")))

    deps = [dg.AssetDep(asset, partition_mapping=days_in_week()) for asset in (source, day)]
    condition = weekly_from_days(gates=dg.AssetSelection.assets(source))

    @dg.asset(partitions_def=WEEKLY, deps=deps, automation_condition=condition)
    def week(): ...

    definitions, cursor = dg.Definitions([source, day, week]), None
    with dg.DagsterInstance.ephemeral() as instance:

        def run(asset: dg.AssetsDefinition, key: str):
            everything = [source, day, week]
            dg.materialize(everything, selection=[asset], partition_key=key, instance=instance, raise_on_error=False)

        def tick() -> set[str]:
            nonlocal cursor
            result = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor, evaluation_time=NOW)
            cursor = result.cursor
            for key in result.get_requested_partitions(week.key):
                run(week, str(key))
            return {str(key) for key in result.get_requested_partitions(week.key)}

        tick()
        for key in days_of_week(OLD):
            run(source, key)
            run(day, key)
        assert tick() == {OLD}
        changed = days_of_week(OLD)[2]
        versions[changed] = "second"
        broken.add(changed)
        run(source, changed)
        assert tick() == set(), "the gate changed, nothing that is followed did"
        run(day, changed)
        assert tick() == set(), "the gate's check failed"
        broken.clear()
        run(source, changed)
        assert tick() == {OLD}
        assert tick() == set()


def test_only_the_long_assets_runs_are_given_the_long_time_and_each_asset_has_one_sensor():
    condition = dg.AutomationCondition.eager()
    daily, replay, verdict = (
        dg.asset(name=name, automation_condition=condition)(lambda: None) for name in ("daily", "replay", "verdict")
    )
    long = {"dagster/max_runtime": "99"}
    sensors = automation_sensors("room", [replay.key, verdict.key], long)
    graph = dg.Definitions([daily, replay, verdict], sensors=sensors).resolve_asset_graph()
    found = [(sensor.name, sensor.asset_selection.resolve(graph), sensor.run_tags) for sensor in sensors]
    assert found == [
        ("room_automation", {daily.key}, {}),
        ("room_long_automation", {replay.key, verdict.key}, long),
    ]
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}
