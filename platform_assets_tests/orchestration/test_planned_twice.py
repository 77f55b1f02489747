"""Two runs of a partition that are planned together: whatever becomes of the other, the checks of the one that came last count."""

from collections.abc import Callable, Iterator, Sequence
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
    """An asset, and one that reads each of its days once it is checked. `meanwhile` happens in the asset's first run, before its first day."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, values: Sequence[int], stops_at: str = "") -> None:
        self.instance, self.values, self.runs = instance, values, 0
        self.meanwhile: Callable[[], object] = lambda: None
        lake = Lake(folder / "lake")

        @dg.asset(
            key=NUMBERS, partitions_def=DAYS, check_specs=checks.specs(NUMBERS, CHECKS, DAYS),
            backfill_policy=dg.BackfillPolicy.single_run(),
        )  # fmt: skip
        def numbers(context: dg.AssetExecutionContext):
            value, is_first = self.values[self.runs], self.runs == 0
            self.runs += 1
            if is_first:
                self.meanwhile()

            def produce(day: str) -> Sequence[partitioned.Produced]:
                assert day != stops_at
                path = folder / f"{day}-{value}.parquet"
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
        """A run of somebody else that has started and computed nothing yet."""
        job = dg.define_asset_job("job", [self.numbers]).resolve(asset_graph=self.definitions.resolve_asset_graph())
        status = dg.DagsterRunStatus.STARTED
        return self.instance.create_run_for_job(job, tags=tags, status=status, asset_selection={NUMBERS})

    def run(self, tags: dict[str, str]) -> None:
        partition = tags.get("dagster/partition")
        dg.materialize([self.numbers], partition_key=partition, tags=tags, instance=self.instance, raise_on_error=False)

    def requested(self) -> set[str]:
        result = dg.evaluate_automation_conditions(self.definitions, self.instance)
        return {str(key) for key in result.get_requested_partitions(self.reader.key)}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as created:
        yield created


FORMS = pytest.mark.parametrize(("tags", "days"), [(ALONE, KEYS[:1]), (RANGE, KEYS)], ids=["one day", "a range"])


@FORMS
def test_a_run_that_was_planned_later_and_cancelled_hides_no_check(
    instance: dg.DagsterInstance, tmp_path: Path, tags: dict[str, str], days: list[str]
) -> None:
    platform, others = Platform(tmp_path, instance, [10]), []
    platform.meanwhile = lambda: others.append(platform.plan(tags))
    platform.run(tags)
    instance.report_run_canceled(others[0])
    assert platform.requested() == set(days)


@FORMS
@pytest.mark.parametrize(("values", "passes"), [([10, -10], True), ([-10, 10], False)], ids=["mended", "broken"])
def test_of_a_run_that_was_planned_later_and_came_first_no_check_is_left(
    instance: dg.DagsterInstance, tmp_path: Path, tags: dict[str, str], days: list[str], values: list[int], passes: bool
) -> None:
    platform = Platform(tmp_path, instance, values)
    platform.meanwhile = lambda: platform.run(tags)
    platform.run(tags)
    assert platform.runs == 2
    assert platform.requested() == (set(days) if passes else set())
    (info, *_) = instance.event_log_storage.get_asset_check_partition_info(
        [dg.AssetCheckKey(NUMBERS, "positive")], partition_keys=days[:1]
    )
    assert (info.latest_execution_status.value, info.is_current) == ("SUCCEEDED" if passes else "FAILED", True)


def test_the_days_that_a_range_did_before_it_broke_off_count_too(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    platform, others = Platform(tmp_path, instance, [10], stops_at=KEYS[-1]), []
    platform.meanwhile = lambda: others.append(platform.plan(RANGE))
    platform.run(RANGE)
    instance.report_run_canceled(others[0])
    assert platform.requested() == set(KEYS[:-1])


def test_a_run_that_is_nobodys_rival_reports_nothing_twice(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    platform = Platform(tmp_path, instance, [10, 10])
    for _ in range(2):
        platform.run(RANGE)
    storage, key = instance.event_log_storage, dg.AssetCheckKey(NUMBERS, "positive")
    found = [each for each in storage.get_asset_check_execution_history(key, limit=100) if each.partition]
    assert len(found) == 2 * len(KEYS)
    assert all(each.run_id for each in found)
