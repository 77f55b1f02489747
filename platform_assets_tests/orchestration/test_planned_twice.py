"""Two runs of a partition that are planned together: whatever becomes of the other, the checks of the one that came last count."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.lake import Address, Lake, Lineage
from platform_assets.core.quality import Outcome
from platform_assets.orchestration import checks, partitioned
from platform_assets.orchestration.automation import weekly_from_days

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-04")
KEYS = DAYS.get_partition_keys()
NUMBERS = dg.AssetKey(["rooms", "numbers"])
CHECKS = (
    checks.Check("positive", "Numbers are positive."),
    checks.Check("round", "Numbers are round.", blocking=False),
)
ALONE = {"dagster/partition": KEYS[0]}
RANGE = {"dagster/asset_partition_range_start": KEYS[0], "dagster/asset_partition_range_end": KEYS[-1]}


class Platform:
    """An asset, one that reads each of its days once it is checked, and a run of somebody else that is planned in between."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, value: int) -> None:
        self.instance = instance
        self.others: list[dg.DagsterRun] = []
        lake = Lake(folder / "lake")

        @dg.asset(
            key=NUMBERS, partitions_def=DAYS, check_specs=checks.specs(NUMBERS, CHECKS, DAYS),
            backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def numbers(context: dg.AssetExecutionContext):
            def produce(day: str) -> Sequence[partitioned.Produced]:
                if not self.others:
                    self.others.append(self.plan(context.run.tags))
                path = folder / f"{day}.parquet"
                pq.write_table(pa.table({"n": [value]}), path)
                made = lake.publish_table(Address("rooms/numbers", day), {"n.parquet": path}, Lineage())
                outcomes = [
                    Outcome("positive", value > 0, f"{value}"),
                    Outcome("round", True, f"{value}", warning=True),
                ]
                return [partitioned.Produced(NUMBERS, made, {}, outcomes)]

            yield from partitioned.run_partitions(context, produce, CHECKS)

        @dg.asset(partitions_def=DAYS, deps=[numbers], automation_condition=weekly_from_days())
        def reader() -> None: ...

        self.numbers, self.reader, self.definitions = numbers, reader, dg.Definitions([numbers, reader])

    def plan(self, tags: dict[str, str]) -> dg.DagsterRun:
        job = dg.define_asset_job("job", [self.numbers]).resolve(asset_graph=self.definitions.resolve_asset_graph())
        kept = {name: value for name, value in tags.items() if name in (*ALONE, *RANGE)}
        status = dg.DagsterRunStatus.STARTED
        return self.instance.create_run_for_job(job, tags=kept, status=status, asset_selection={NUMBERS})

    def run(self, tags: dict[str, str]) -> None:
        partition = tags.get("dagster/partition")
        dg.materialize([self.numbers], partition_key=partition, tags=tags, instance=self.instance, raise_on_error=False)

    def requested(self) -> set[str]:
        result = dg.evaluate_automation_conditions(self.definitions, self.instance)
        return {str(key) for key in result.get_requested_partitions(self.reader.key)}


@pytest.mark.parametrize(("tags", "days"), [(ALONE, KEYS[:1]), (RANGE, KEYS)], ids=["one day", "a range"])
def test_a_run_that_was_planned_later_and_cancelled_hides_no_check(
    tmp_path: Path, tags: dict[str, str], days: list[str]
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(tmp_path, instance, value=10)
        platform.run(tags)
        instance.report_run_canceled(platform.others[0])
        assert platform.requested() == set(days)


@pytest.mark.parametrize("tags", [ALONE, RANGE], ids=["one day", "a range"])
def test_a_check_that_failed_stays_failed_too(tmp_path: Path, tags: dict[str, str]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(tmp_path, instance, value=-10)
        platform.run(tags)
        instance.report_run_canceled(platform.others[0])
        assert platform.requested() == set()
        (info,) = instance.event_log_storage.get_asset_check_partition_info(
            [dg.AssetCheckKey(NUMBERS, "positive")], partition_keys=KEYS[:1]
        )
        assert (info.latest_execution_status.value, info.is_current) == ("FAILED", True)


def test_the_other_run_counts_when_it_comes_after_all(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(tmp_path, instance, value=10)
        platform.run(ALONE)
        instance.report_run_canceled(platform.others[0])
        Platform(tmp_path, instance, value=-10).run(ALONE)
        assert platform.requested() == set()
