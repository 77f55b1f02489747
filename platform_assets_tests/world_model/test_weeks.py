"""Weeks from raw files to baskets as Dagster runs them: a range, again, missing weeks, bad rows, wrong columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from platform_assets.core.lake import Lake, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import baskets, transactions
from platform_assets.world_model.assets.common import (
    BASKETS,
    QUARANTINED_TRANSACTIONS,
    TRANSACTIONS,
    RetailSourceResource,
    address,
)
from platform_assets.world_model.assets.jobs import WEEKS as JOB
from platform_assets.world_model.definitions import build
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.world_model.raw_rows import NUMBERS, WEEKS, Row, a_month, row, write_raw
from platform_assets_tests.world_model.test_raw_weeks import upload

ASSETS = (TRANSACTIONS, QUARANTINED_TRANSACTIONS, BASKETS)
SETTINGS = Settings.from_environment({"PLATFORM_RETAIL_START": "2006-04-10", "PLATFORM_RETAIL_END": "2006-05-08"})


def files(month: dict[int, list[Row]]) -> dict[str, list[Row]]:
    return {f"transactions_{NUMBERS[week]}.csv": rows for week, rows in month.items()}


@dataclass
class World:
    """A lake, an instance, and the resources that runs get."""

    folder: Path
    instance: dg.DagsterInstance
    source: str
    lake_url: str
    single_writer: bool = False

    @property
    def lake(self) -> Lake:
        return Lake(self.lake_url, single_writer=self.single_writer)

    @property
    def definitions(self) -> dg.Definitions:
        return build(
            SETTINGS,
            {
                "lake": LakeResource(url=self.lake_url, single_writer=self.single_writer),
                "engine": EngineResource(scratch=str(self.folder / "scratch"), threads=1),
                "retail": RetailSourceResource(url=self.source),
            },
        )

    def run(self, first: str = WEEKS[0], last: str = WEEKS[-1]) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        job = self.definitions.resolve_job_def(JOB)
        return job.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)

    def materialize(self, week: str, *assets: dg.AssetKey) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance, partition_key=week, asset_selection=list(assets), raise_on_error=False
        )

    def revision(self, asset: dg.AssetKey, week: str) -> Revision:
        found = self.lake.current(address(asset, week))
        assert found, (asset, week)
        return found

    def rows(self, asset: dg.AssetKey, week: str) -> list[dict[str, Any]]:
        name = f"{asset.path[-1]}.parquet"
        return pq.read_table(self.lake.fetch(self.revision(asset, week), name, self.folder / "read")).to_pylist()

    def digests(self) -> dict[tuple[str, str], tuple[str, str]]:
        found = {(asset.path[-1], week): self.revision(asset, week) for asset in ASSETS for week in WEEKS}
        return {key: (revision.digest, revision.created_at) for key, revision in found.items()}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(tmp_path, instance, str(tmp_path / "raw"), str(tmp_path / "lake"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, dg.ExecuteInProcessResult]]:
    """Four clean weeks in folders, run once; tests here read them, or run again what changes nothing."""
    folder = tmp_path_factory.mktemp("built")
    write_raw(folder / "raw", files(a_month()))
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(folder, instance, str(folder / "raw"), str(folder / "lake"))
        yield world, world.run()


def evaluations(result: dg.ExecuteInProcessResult, asset: dg.AssetKey, week: str) -> dict[str, tuple[bool, str]]:
    """What each check said of one week."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    found = (event.asset_check_evaluation_data for event in result.all_events if event.event_type == kind)
    return {
        each.check_name: (each.passed, each.description or "")
        for each in found
        if each.asset_key == asset and each.partition == week
    }


def failed(result: dg.ExecuteInProcessResult, asset: dg.AssetKey, week: str) -> dict[str, str]:
    return {name: reason for name, (passed, reason) in evaluations(result, asset, week).items() if not passed}


def reason_of_failure(result: dg.ExecuteInProcessResult) -> str:
    (step,) = result.get_step_failure_events()
    failure = step.step_failure_data
    return f"{failure.user_failure_data.description if failure.user_failure_data else failure.error}"


def test_a_range_of_weeks_becomes_transactions_and_baskets_with_every_check(built) -> None:
    world, result = built
    month = a_month()
    assert result.success
    for week, key in enumerate(WEEKS):
        assert set(evaluations(result, TRANSACTIONS, key)) == {check.name for check in transactions.CHECKS}
        assert set(evaluations(result, BASKETS, key)) == {check.name for check in baskets.CHECKS}
        assert failed(result, TRANSACTIONS, key) == failed(result, BASKETS, key) == {}
        rows, found = world.rows(TRANSACTIONS, key), world.rows(BASKETS, key)
        assert len(rows) == len(month[week])
        assert {each["shop_week"] for each in rows} == {NUMBERS[week]}
        assert found == sorted(found, key=lambda each: (each["shop_date"], each["shop_hour"], each["basket_id"]))
        assert sum(each["num_products"] for each in found) == len(rows)
    first = {each["basket_id"] % 10: each for each in world.rows(BASKETS, WEEKS[0])}
    assert (first[1]["num_products"], first[1]["spend"], first[2]["cust_code"]) == (3, 3.75, None)
    assert (first[3]["spend"], world.revision(TRANSACTIONS, WEEKS[0]).lineage.details["returns"]) == (-1.0, 2)


def test_running_the_range_again_changes_nothing(built) -> None:
    world, _ = built
    before = world.digests()
    assert world.run().success
    assert world.run(WEEKS[3], WEEKS[3]).success
    assert world.digests() == before


def test_a_missing_week_is_published_empty_and_named_and_later_weeks_keep_their_numbers(world: World) -> None:
    month = a_month()
    raw = write_raw(world.folder / "raw", files({week: month[week] for week in (0, 2, 3)}))
    result = world.run()
    assert result.success
    assert (world.rows(TRANSACTIONS, WEEKS[1]), world.rows(BASKETS, WEEKS[1])) == ([], [])
    told = failed(result, TRANSACTIONS, WEEKS[1])
    assert list(told) == ["week_present"]
    assert (
        "SHOP_WEEK 200608 (2006-04-17 to 2006-04-23) is missing in the source: none of its 3 files"
        in told["week_present"]
    )
    assert {each["shop_week"] for each in world.rows(BASKETS, WEEKS[2])} == {200609}
    assert not any(failed(result, TRANSACTIONS, key) for key in (WEEKS[0], WEEKS[2], WEEKS[3]))
    write_raw(raw, files({1: month[1]}))
    later = world.run(WEEKS[1], WEEKS[1])
    assert failed(later, TRANSACTIONS, WEEKS[1]) == {}
    assert len(world.rows(BASKETS, WEEKS[1])) == 2


def test_bad_rows_are_quarantined_and_a_few_hold_nothing_up(world: World) -> None:
    month = a_month()
    month[0] += [row(0, 100 + n) for n in range(100)]
    month[0] += [row(0, 5, SHOP_HOUR="25"), row(0, 6, SPEND="free"), row(1, 7), row(0, 8, PROD_CODE="")]
    write_raw(world.folder / "raw", files(month))
    result = world.run(WEEKS[0], WEEKS[0])
    assert failed(result, TRANSACTIONS, WEEKS[0]) == {}
    refused = world.rows(QUARANTINED_TRANSACTIONS, WEEKS[0])
    assert sorted(each["rule"] for each in refused) == [
        "hour_out_of_range", "missing_code", "other_week", "unreadable_number",
    ]  # fmt: skip
    revision = world.revision(TRANSACTIONS, WEEKS[0])
    assert revision.lineage.source_rows == len(month[0]) == (revision.rows or 0) + len(refused)


def test_a_week_of_mostly_bad_rows_stops_before_its_baskets(world: World) -> None:
    write_raw(world.folder / "raw", files({0: [row(0, n, QUANTITY=str(n % 2)) for n in range(1, 40)]}))
    result = world.run(WEEKS[0], WEEKS[0])
    assert list(failed(result, TRANSACTIONS, WEEKS[0])) == ["quarantine_share"]
    assert world.lake.current(address(BASKETS, WEEKS[0])) is None


def test_a_wrong_column_fails_the_step_by_its_name_and_keeps_the_weeks_before(world: World) -> None:
    month = a_month()
    month[1] = [{("PAID" if name == "SPEND" else name): value for name, value in raw.items()} for raw in month[1]]
    write_raw(world.folder / "raw", files(month))
    result = world.run()
    assert not result.success
    assert "transactions_200608.csv lacks the columns SPEND" in reason_of_failure(result)
    assert len(world.rows(TRANSACTIONS, WEEKS[0])) == 6
    assert world.lake.current(address(TRANSACTIONS, WEEKS[1])) is None


def test_a_week_that_the_calendar_file_does_not_hold_is_refused(world: World) -> None:
    write_raw(world.folder / "raw", files(a_month()), "shop_week,date_from,date_to\n200607,20060410,20060416\n")
    result = world.run(WEEKS[0], WEEKS[1])
    assert not result.success
    assert "time.csv holds no week that starts on 2006-04-17" in reason_of_failure(result)


def test_rows_of_no_week_are_named_by_every_week_of_the_file(world: World) -> None:
    rows = [each for found in a_month().values() for each in found]
    write_raw(world.folder / "raw", {"all.csv": [*rows, row(SHOP_WEEK="209999", basket=99)]})
    result = world.run(WEEKS[0], WEEKS[1])
    for week in WEEKS[:2]:
        assert (
            "1 rows of the raw files are in no week, by SHOP_WEEK: '209999' (1)"
            in failed(result, TRANSACTIONS, week)["rows_placed"]
        )
    assert len(world.rows(TRANSACTIONS, WEEKS[0])) == 6


def test_a_basket_of_an_earlier_week_is_found_in_the_same_run_and_in_another(world: World) -> None:
    month = a_month()
    month[2].append(row(2, 1, 9))
    write_raw(world.folder / "raw", files(month))
    told = failed(world.run(), BASKETS, WEEKS[2])
    assert "'2006-04-10': [994100000000001]" in told["no_basket_in_two_weeks"]
    assert failed(world.run(WEEKS[2], WEEKS[2]), BASKETS, WEEKS[2]) == told


def test_baskets_refuse_transactions_that_are_missing_or_failed(world: World) -> None:
    write_raw(world.folder / "raw", files({0: [row(0, n, QUANTITY=str(n % 2)) for n in range(1, 40)]}))
    missing = world.materialize(WEEKS[0], BASKETS)
    assert "baskets of 2006-04-10 needs world_model/transactions of 2006-04-10" in reason_of_failure(missing)
    world.materialize(WEEKS[0], TRANSACTIONS, QUARANTINED_TRANSACTIONS)
    refused = world.materialize(WEEKS[0], BASKETS)
    assert "failed a blocking check (quarantine_share: rows refused by a rule: 19 of 39" in reason_of_failure(refused)


def test_columns_tell_where_they_come_from(built) -> None:
    world, _ = built
    for asset, column, source in (
        (TRANSACTIONS, "spend", ("retailer", "transactions", "SPEND")),
        (TRANSACTIONS, "cust_lifestage", ("retailer", "transactions", "CUST_LIFESTAGE")),
        (BASKETS, "num_items", ("world_model", "transactions", "quantity")),
    ):
        records = world.instance.fetch_materializations(asset, limit=1).records
        assert records[0].asset_materialization
        lineage = records[0].asset_materialization.metadata["dagster/column_lineage"].value
        assert isinstance(lineage, dg.TableColumnLineage)
        (dependency,) = lineage.deps_by_column[column]
        assert (*dependency.asset_key.path, dependency.column_name) == source
        assert set(lineage.deps_by_column) == {each["name"] for each in world.revision(asset, WEEKS[0]).schema}


def test_raw_files_and_lake_on_s3_give_what_folders_give(
    world: World, built, moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_raw(world.folder / "raw", files(a_month()))
    in_folders = {key: digest for key, (digest, _) in built[0].digests().items()}
    world.lake_url = moto.use(monkeypatch)
    world.source = upload(raw, world.lake_url.removesuffix("/lake"))
    assert world.run().success
    assert {key: digest for key, (digest, _) in world.digests().items()} == in_folders


def test_baskets_are_requested_once_their_week_is_read_and_checked(world: World) -> None:
    write_raw(world.folder / "raw", files(a_month()))
    first = dg.evaluate_automation_conditions(world.definitions, world.instance)
    assert first.total_requested == 0
    assert world.materialize(WEEKS[1], TRANSACTIONS, QUARANTINED_TRANSACTIONS).success
    then = dg.evaluate_automation_conditions(world.definitions, world.instance, cursor=first.cursor)
    assert then.get_requested_partitions(BASKETS) == {WEEKS[1]}
