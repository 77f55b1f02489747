"""Range runs report each partition as if it had been alone; retries only where a later try may help."""

from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.lake import Address, Lake, Lineage, PublicationConflict
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.warehouse import Unreachable, WarehouseError
from platform_assets.orchestration import checks, failures, partitioned

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-06")
KEY = dg.AssetKey(["rooms", "numbers"])
CHECKS = (
    checks.Check("positive", "Numbers are positive."),
    checks.Check("round", "Numbers are round.", blocking=False),
)
RANGE = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-05"}
Values = dict[str, int]


def definitions(
    lake: Lake, folder: Path, values: Values, before: Callable[[str], None] = lambda day: None
) -> dg.AssetsDefinition:
    """An asset that publishes one number a day."""

    @dg.asset(
        key=KEY,
        partitions_def=DAYS,
        check_specs=checks.specs(KEY, CHECKS, DAYS),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def numbers(context: dg.AssetExecutionContext):
        def produce(day: str) -> Sequence[partitioned.Produced]:
            before(day)
            value = values.get(day, 1)
            path = folder / f"{day}.parquet"
            pq.write_table(pa.table({"n": [value]}), path)
            published = lake.publish_table(
                Address("rooms/numbers", day), {"n.parquet": path}, Lineage(run_id=context.run.run_id)
            )
            outcomes = [
                Outcome("positive", value > 0, f"{value}"),
                Outcome("round", value % 10 == 0, f"{value}", warning=True),
            ]
            return [partitioned.Produced(KEY, published, {"value": value}, outcomes)]

        yield from partitioned.run_partitions(context, produce, CHECKS)

    return numbers


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def latest(instance: dg.DagsterInstance, day: str) -> dg.AssetMaterialization:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=KEY, asset_partitions=[day]), limit=1
    ).records
    assert records[0].asset_materialization
    return records[0].asset_materialization


def test_a_range_run_gives_each_partition_its_own_metadata_and_data_version(lake: Lake, tmp_path: Path) -> None:
    values = {"2026-01-01": 10, "2026-01-02": 20}
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([definitions(lake, tmp_path, values)], instance=instance, tags=RANGE).success
        for day, value in values.items():
            event = latest(instance, day)
            revision = lake.current(Address("rooms/numbers", day))
            assert revision
            assert event.metadata["value"].value == value
            assert (event.tags or {})["dagster/data_version"] == revision.digest


def test_a_range_run_records_each_partitions_checks_and_fails_for_a_blocking_one(lake: Lake, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [definitions(lake, tmp_path, {"2026-01-03": -10})], instance=instance, tags=RANGE, raise_on_error=False
        )
        assert not result.success
        evaluations = [
            event.asset_check_evaluation_data
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ]
        found = {(e.check_name, e.partition): e for e in evaluations if e.partition}
        assert len(found) == 10
        assert [day for (name, day), e in found.items() if name == "positive" and not e.passed] == ["2026-01-03"]
        assert found["positive", "2026-01-03"].blocking
        assert found["round", "2026-01-03"].severity == dg.AssetCheckSeverity.WARN
        targets = {
            e.target_materialization_data.storage_id
            for e in evaluations
            if e.partition and e.target_materialization_data
        }
        assert len(targets) == 5


def test_a_range_of_one_day_records_its_checks_for_that_day(lake: Lake, tmp_path: Path) -> None:
    tags = {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-02"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([definitions(lake, tmp_path, {})], instance=instance, tags=tags)
        evaluations = [
            event.asset_check_evaluation_data
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        ]
        assert {evaluation.partition for evaluation in evaluations if evaluation.check_name == "positive"} == {
            None,
            "2026-01-02",
        }


def test_partitions_that_were_done_before_a_failure_are_reported(lake: Lake, tmp_path: Path) -> None:
    def fail_on_the_third(day: str) -> None:
        if day == "2026-01-03":
            raise ValueError("broken")

    with dg.DagsterInstance.ephemeral() as instance:
        asset = definitions(lake, tmp_path, {}, fail_on_the_third)
        assert not dg.materialize([asset], instance=instance, tags=RANGE, raise_on_error=False).success
        assert instance.get_materialized_partitions(KEY) == {"2026-01-01", "2026-01-02"}


def test_transient_failures_are_tried_again_and_others_end_the_step_at_once(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "WAITS_SECONDS", (0, 0, 0))
    tries: list[Exception] = []

    def fail(day: str) -> None:
        if tries:
            raise tries.pop(0)

    def attempts(day: str, *errors: Exception) -> tuple[bool, int]:
        tries[:] = errors
        with dg.DagsterInstance.ephemeral() as instance:
            asset = definitions(lake, tmp_path, {}, fail)
            result = dg.materialize([asset], instance=instance, partition_key=day, raise_on_error=False)
            return result.success, 1 + sum(event.is_step_restarted for event in result.all_events)

    away = Unreachable("the database is away; is the server running?")
    assert attempts("2026-01-01", PublicationConflict("moved"), away) == (True, 3)
    assert attempts("2026-01-02", *[away] * 9) == (False, 4)
    assert attempts("2026-01-03", ValueError("a bug")) == (False, 1)
    assert attempts("2026-01-04", WarehouseError("no such table; run `make preflight`")) == (False, 1)


def test_the_gate_in_the_asset_refuses_a_partition_by_its_recorded_checks(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({"n": [1]}), path)

    def published(*outcomes: Outcome):
        lineage = Lineage(details={"checks": to_details(outcomes)})
        return lake.publish_table(Address("rooms/numbers", "d"), {"n.parquet": path}, lineage).revision

    checks.require_passed(KEY, "d", published(Outcome("positive", True, "")), CHECKS)
    checks.require_passed(KEY, "d", published(Outcome("positive", False, "odd", warning=True)), CHECKS)
    with pytest.raises(dg.Failure, match=r"rooms/numbers of d failed a blocking check \(positive: negative\)"):
        checks.require_passed(KEY, "d", published(Outcome("positive", False, "negative")), CHECKS)
    with pytest.raises(dg.Failure, match="never evaluated"):
        checks.require_passed(KEY, "d", published(), CHECKS)
