"""The sensor that follows changes: each materialisation once, in order, only after its run, only what is stale."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from platform_assets.orchestration.automation import AFFECTED_DAYS, follow_changes
from platform_assets.orchestration.resources import LakeResource

UPSTREAM = dg.AssetKey(["rooms", "events"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def sensor(stale: set[tuple[str, str]]) -> dg.SensorDefinition:
    return follow_changes(
        "follow", UPSTREAM, "job", lambda lake: lambda changed, affected: (changed, affected) in stale
    )


def tick(
    instance: dg.DagsterInstance, stale: set[tuple[str, str]], cursor: str | None, tmp_path: Path
) -> tuple[list[str], str | None]:
    with dg.build_sensor_context(instance, cursor, resources={"lake": LakeResource(url=str(tmp_path))}) as context:
        result = sensor(stale)(context)
    assert isinstance(result, dg.SensorResult)
    return [str(request.partition_key) for request in result.run_requests or []], result.cursor


def publish(instance: dg.DagsterInstance, day: str, affected: list[str], digest: str = "d") -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            UPSTREAM, partition=day, metadata={AFFECTED_DAYS: affected}, tags={"dagster/data_version": digest}
        )
    )


def test_stale_days_are_requested_once_and_fresh_ones_never(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    publish(instance, "2026-01-01", ["2026-01-01", "2026-01-03"])
    stale = {("2026-01-01", "2026-01-03")}
    days, cursor = tick(instance, stale, None, tmp_path)
    assert days == ["2026-01-03"]
    assert tick(instance, stale, cursor, tmp_path) == ([], cursor)


def test_all_materialisations_between_two_ticks_are_followed(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-02", "2026-01-05"):
        publish(instance, day, [day])
    stale = {(day, day) for day in ("2026-01-01", "2026-01-02", "2026-01-05")}
    days, _ = tick(instance, stale, None, tmp_path)
    assert sorted(days) == ["2026-01-01", "2026-01-02", "2026-01-05"]


def test_a_materialisation_without_affected_days_requests_nothing(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(UPSTREAM, partition="2026-01-01"))
    publish(instance, "2026-01-02", [])
    days, cursor = tick(instance, {("2026-01-01", "2026-01-01")}, None, tmp_path)
    assert days == []
    assert int(cursor or 0) > 0


def test_a_run_that_still_goes_on_is_waited_for(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    seen: list[tuple[list[str], str | None]] = []

    @dg.asset(key=UPSTREAM, partitions_def=dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-03"))
    def events(context: dg.AssetExecutionContext):
        yield dg.MaterializeResult(metadata={AFFECTED_DAYS: [context.partition_key]}, data_version=dg.DataVersion("d"))
        seen.append(tick(instance, {("2026-01-01", "2026-01-01")}, None, tmp_path))

    assert dg.materialize([events], partition_key="2026-01-01", instance=instance).success
    assert seen == [([], "0")]
    days, _ = tick(instance, {("2026-01-01", "2026-01-01")}, "0", tmp_path)
    assert days == ["2026-01-01"]
