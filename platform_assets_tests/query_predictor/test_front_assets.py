"""From Trino's log to a week's sample as Dagster runs it: the shipped log, again, bad days, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from platform_assets.core.settings import Settings
from platform_assets.query_predictor import sampling, zero_cost
from platform_assets.query_predictor.assets import (
    common,
    labelled_queries,
    queries,
    training_sample,
    zero_cost_categories,
)
from platform_assets.query_predictor.assets.common import (
    LABELLED_QUERIES,
    QUARANTINED_QUERIES,
    QUERIES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
    address,
)
from platform_assets.query_predictor.configuration import HEAVY_ERRORS
from platform_assets.query_predictor.labels import DROPPED, HEAVY, LIGHT
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.query_predictor.front_world import (
    FrontWorld,
    Row,
    failed,
    in_small_groups,
    is_evaluated,
    reason_of_failure,
    write_log,
)
from platform_assets_tests.query_predictor.query_samples import documented

# The 44 days of the one week that this calendar knows enough for.
SHIPPED = Settings.from_environment({"PLATFORM_TRINO_START": "2025-06-07", "PLATFORM_TRINO_END": "2025-07-21"})
WEEK, SPLITS = "2025-07-14", sampling.split_days(date(2025, 7, 14))
DAYS = [day.isoformat() for day in SPLITS.days]
FIRST = date(2026, 3, 2)
NEAR = {"data_loading": {"cpu_threshold_seconds": 100.0}}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FrontWorld, dg.ExecuteInProcessResult]]:
    """The shipped log, run once; tests here read it, or run again what changes nothing."""
    folder = tmp_path_factory.mktemp("built")
    with dg.DagsterInstance.ephemeral() as instance:
        world = FrontWorld(folder, instance, SHIPPED, in_small_groups(SHIPPED.trino_source, folder / "log.parquet"))
        result = world.run_days(DAYS[0], DAYS[-1])
        assert result.success
        for asset in (ZERO_COST_CATEGORIES, TRAINING_SAMPLE):
            assert world.materialize(WEEK, asset).success
        yield world, result


@pytest.fixture
def copied(tmp_path: Path, built: Any) -> Iterator[FrontWorld]:
    """A lake with the shipped log's days, to be spoilt."""
    shutil.copytree(built[0].folder / "lake", tmp_path / "lake")
    with dg.DagsterInstance.ephemeral() as instance:
        yield FrontWorld(tmp_path, instance, SHIPPED)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FrontWorld]:
    """A calendar of a few days, whose log the test writes."""
    settings = replace(
        SHIPPED, trino_start=FIRST, trino_end=FIRST + timedelta(days=4), trino_source=str(tmp_path / "log.parquet")
    )
    with dg.DagsterInstance.ephemeral() as instance:
        yield FrontWorld(tmp_path, instance, settings)


def key(number: int) -> str:
    return (FIRST + timedelta(days=number)).isoformat()


def query(number: int, day: int = 0, **changed: Any) -> Row:
    created = datetime(FIRST.year, FIRST.month, FIRST.day, 8, tzinfo=UTC) + timedelta(days=day, seconds=number)
    identifier = f"{created:%Y%m%d_%H%M%S}_{number:05}_test"
    return documented(queryId=identifier, createTime=created, endTime=created + timedelta(seconds=5), **changed)


def counted_directly(days: list[str]) -> dict[str, tuple[int, int, int, int]]:
    """By day: queries, light and heavy ones that are kept, and those dropped, counted over the log itself."""
    thresholds = json.loads((Path(SHIPPED.trino_source).parent / "thresholds.json").read_text())
    found = duckdb.execute(
        "SELECT day, count(*), count(*) FILTER (WHERE kept AND NOT heavy AND NOT ended), count(*) FILTER (WHERE kept AND heavy), "
        "count(*) FILTER (WHERE NOT kept OR (ended AND NOT heavy)) FROM (SELECT strptime(left(query_id, 8), '%Y%m%d')::DATE::TEXT AS day, "
        "coalesce(query_type NOT IN ('DATA_DEFINITION', 'DESCRIBE', 'EXPLAIN'), TRUE) AS kept, "
        "cpu_time_millis / 1000 >= $cpu OR peak_memory_bytes > $memory OR coalesce(list_contains($errors, error_code), FALSE) AS heavy, "
        "coalesce(error_code = 'USER_CANCELED', FALSE) AS ended FROM read_parquet($log)) GROUP BY 1",
        {"log": SHIPPED.trino_source, "cpu": thresholds["cpu_threshold_seconds"], "errors": list(HEAVY_ERRORS),
         "memory": thresholds["memory_threshold_gb"] * 2**30},
    ).fetchall()  # fmt: skip
    return {row[0]: row[1:] for row in found if row[0] in days}


@pytest.mark.slow
def test_a_range_of_days_holds_what_a_direct_count_over_the_log_finds(built: Any) -> None:
    world, result = built
    expected = counted_directly(DAYS)
    assert len(expected) == len(DAYS) == 44
    for day, (rows, light, heavy, dropped) in expected.items():
        assert is_evaluated(result, QUERIES, day, queries.CHECKS)
        assert is_evaluated(result, LABELLED_QUERIES, day, labelled_queries.CHECKS)
        assert not failed(result, QUERIES, day).keys() - {"row_count_band"}
        assert not failed(result, LABELLED_QUERIES, day).keys() - {"heavy_share_band"}
        found, told = world.revision(QUERIES, day), world.revision(LABELLED_QUERIES, day).lineage.details
        assert (found.rows, world.revision(QUARANTINED_QUERIES, day).rows) == (rows, 0)
        assert (told["light"], told["heavy"], sum(told["reasons"].values())) == (light, heavy, dropped)
    assert sum(heavy for _, _, heavy, _ in expected.values()) > 50


@pytest.mark.slow
def test_published_labels_are_read_as_one_table_partitioned_by_is_heavy(built: Any) -> None:
    world, _ = built
    day = "2025-06-30"
    revision = world.revision(LABELLED_QUERIES, day)
    assert {file.name for file in revision.data_files} == {str(LIGHT), str(HEAVY), str(DROPPED)}
    found = duckdb.execute(
        "SELECT is_heavy::BOOLEAN, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY 1 ORDER BY 1",
        [f"{revision.uri}/*/is_heavy=*/rows.parquet"],
    ).fetchall()
    assert dict(found) == {False: revision.lineage.details["light"], True: revision.lineage.details["heavy"]}


@pytest.mark.slow
def test_a_weeks_sample_is_split_by_time_and_keeps_every_heavy_query(built: Any) -> None:
    world, _ = built
    expected = counted_directly(DAYS)
    report = json.loads(world.file(TRAINING_SAMPLE, WEEK, training_sample.REPORT).read_text())
    for name in ("train", "validation", "test"):
        days = [day.isoformat() for day in getattr(SPLITS, name)]
        rows = world.rows(TRAINING_SAMPLE, WEEK, f"{name}.parquet")
        heavy = sum(row["is_heavy"] for row in rows)
        assert {str(row["createTime"].date()) for row in rows} <= set(days)
        assert heavy == sum(expected[day][2] for day in days) == report["rows"][name]["heavy"]
        if name != "train":
            assert len(rows) - heavy == sum(expected[day][1] for day in days)
        else:
            assert abs(len(rows) - 6 * heavy) < 5 * report["expected_light_deviation"]
    revision = world.revision(TRAINING_SAMPLE, WEEK)
    assert len(revision.lineage.inputs) == 44
    assert {input.asset for input in revision.lineage.inputs} == {"query_predictor/labelled_queries"}
    assert revision.lineage.code_version == sampling.CODE_VERSION


@pytest.mark.slow
def test_categories_count_every_labelled_row_of_the_days_dropped_ones_too(built: Any) -> None:
    world, _ = built
    found = zero_cost.ZeroCostCategories.from_json(world.file(ZERO_COST_CATEGORIES, WEEK, zero_cost.NAME).read_text())
    expected = counted_directly(DAYS)
    censored = sum(world.revision(LABELLED_QUERIES, day).lineage.details["reasons"]["censored"] for day in DAYS)
    assert (
        sum(each.queries for each in found.categories.values()) == sum(rows[0] for rows in expected.values()) - censored
    )
    assert found.heavy >= sum(rows[2] for rows in expected.values())
    assert not found.safe, "a hundred heavy queries cannot show that a category holds less than .2 % of them"


@pytest.mark.slow
def test_running_again_changes_nothing(built: Any) -> None:
    world, _ = built
    held = [(asset, day) for asset in (QUERIES, QUARANTINED_QUERIES, LABELLED_QUERIES) for day in DAYS]
    held += [(ZERO_COST_CATEGORIES, WEEK), (TRAINING_SAMPLE, WEEK)]

    def published() -> dict[Any, tuple[str, str]]:
        found = {each: world.revision(*each) for each in held}
        return {each: (revision.digest, revision.created_at) for each, revision in found.items()}

    before = published()
    assert world.run_days(DAYS[21], DAYS[24]).success
    assert world.materialize(DAYS[0], QUERIES, QUARANTINED_QUERIES).success
    assert world.materialize(DAYS[0], LABELLED_QUERIES).success
    assert world.materialize(WEEK, ZERO_COST_CATEGORIES).success
    assert world.materialize(WEEK, TRAINING_SAMPLE).success
    assert published() == before


@pytest.mark.slow
def test_people_see_counts_columns_with_their_origin_and_pictures(built: Any) -> None:
    world, _ = built

    def shown(asset: dg.AssetKey) -> dict[str, Any]:
        record = world.instance.fetch_materializations(asset, limit=1).records[0]
        return dict(record.asset_materialization.metadata)

    sample, labels = shown(TRAINING_SAMPLE), shown(LABELLED_QUERIES)
    assert "data:image/png" in sample["inclusion probability by distance"].value
    assert "| train heavy |" in sample["splits"].value
    assert "| censored | " in labels["dropped"].value
    assert "| select |" in shown(ZERO_COST_CATEGORIES)["categories"].value
    columns = {each["name"] for each in world.revision(TRAINING_SAMPLE, WEEK).schema}
    for found, column, sources in (
        (shown(QUERIES), "textHash", {("trino", "queries", "query")}),
        (labels, "boundary_distance", {("query_predictor", "queries", "cpuTime"),
                                       ("query_predictor", "queries", "peakUserMemoryBytes")}),
        (sample, "weight", {("query_predictor", "labelled_queries", "boundary_distance")}),
    ):  # fmt: skip
        lineage = found["dagster/column_lineage"].value
        assert {(*each.asset_key.path, each.column_name) for each in lineage.deps_by_column[column]} == sources
        assert set(lineage.deps_by_column) <= columns
    assert set(sample["dagster/column_lineage"].value.deps_by_column) == columns


@pytest.mark.slow
def test_a_week_refuses_a_day_that_is_missing_failed_or_stale_by_its_name(copied: FrontWorld) -> None:
    day, other = DAYS[3], DAYS[40]
    revision = copied.revision(LABELLED_QUERIES, day)
    files = {file.name: copied.file(LABELLED_QUERIES, day, file.name) for file in revision.data_files}

    def spoil(**changed: Any) -> None:
        lineage = replace(revision.lineage, **changed)
        copied.lake.publish_files(address(LABELLED_QUERIES, day), files, lineage)

    told = {
        **revision.lineage.details["checks"],
        "drops_by_rule": {"passed": False, "warning": False, "reason": "lost"},
    }
    spoil(details={**revision.lineage.details, "checks": told})
    for asset in (ZERO_COST_CATEGORIES, TRAINING_SAMPLE):
        reason = reason_of_failure(copied.materialize(WEEK, asset))
        assert f"query_predictor/labelled_queries of {day} failed a blocking check (drops_by_rule: lost)" in reason
    spoil(inputs=(replace(revision.lineage.inputs[0], digest="0" * 32),))
    reason = reason_of_failure(copied.materialize(WEEK, TRAINING_SAMPLE))
    assert f"labelled_queries of {day} was made of other queries than are current" in reason
    spoil()
    (copied.folder / "lake" / address(LABELLED_QUERIES, other).path / "manifest.json").unlink()
    for asset in (ZERO_COST_CATEGORIES, TRAINING_SAMPLE):
        reason = reason_of_failure(copied.materialize(WEEK, asset))
        assert f"{asset.path[-1]} of {WEEK} needs query_predictor/labelled_queries of {other}, which was not" in reason


@pytest.mark.slow
def test_a_week_refuses_a_configuration_that_its_days_were_not_labelled_by(copied: FrontWorld) -> None:
    foreign = {"data_loading": {"cpu_threshold_seconds": 300.0}}
    for asset in (ZERO_COST_CATEGORIES, TRAINING_SAMPLE):
        reason = reason_of_failure(copied.materialize(WEEK, asset, **foreign))
        assert f"of {DAYS[0]}, {DAYS[1]}" in reason
        assert "was labelled by other rules (cpu_threshold_seconds 0.092 instead of 300.0)" in reason
    empty = {"data_loading": {"end_date": "2025-07-10"}}
    reason = reason_of_failure(copied.materialize(WEEK, TRAINING_SAMPLE, **empty))
    assert f"training_sample of {WEEK}: start_date and end_date leave no day for test" in reason
    nothing = {"data_loading": {"start_date": "2025-07-21"}}
    reason = reason_of_failure(copied.materialize(WEEK, ZERO_COST_CATEGORIES, **nothing))
    assert f"zero_cost_categories of {WEEK}: start_date and end_date leave none of its days" in reason


@pytest.mark.slow
def test_a_fraction_of_the_sample_passes_its_checks_too(copied: FrontWorld) -> None:
    before = copied.revision(TRAINING_SAMPLE, WEEK)
    result = copied.materialize(WEEK, TRAINING_SAMPLE, sample_fraction=0.5, boundary_sampling={"seed": 3})
    assert result.success
    assert all(each.passed for each in result.get_asset_check_evaluations())
    assert (copied.revision(TRAINING_SAMPLE, WEEK).rows or 0) < 0.7 * (before.rows or 0)


def test_the_keys_are_the_documented_ones_with_the_thresholds_of_the_log(world: FrontWorld) -> None:
    shipped, own = (common.default_configuration(settings).data_loading for settings in (SHIPPED, world.settings))
    assert (shipped.cpu_threshold_seconds, shipped.memory_threshold_gb) == (0.092, 0.0557)
    assert (own.cpu_threshold_seconds, own.memory_threshold_gb) == (300.0, 10.0)
    write_log(Path(world.settings.trino_source), [query(1)])
    with pytest.raises(dg.DagsterInvalidConfigError, match="spark"):
        world.run_days(key(0), key(0), spark={"driver_memory": "32G"})
    reason = reason_of_failure(world.run_days(key(0), key(0), sample_fraction=0.0))
    assert "the configuration of query_predictor/labelled_queries: sample_fraction: Expected `float` > 0" in reason
    assert common.WINDOW_DAYS == sampling.WINDOW_DAYS


def test_a_configured_threshold_labels_and_is_told_with_the_day(world: FrontWorld) -> None:
    write_log(Path(world.settings.trino_source), [query(1, cpuTime=150.0), query(2, cpuTime=50.0)])
    assert world.run_days(key(0), key(0), **NEAR).success
    details = world.revision(LABELLED_QUERIES, key(0)).lineage.details
    assert (details["light"], details["heavy"], details["rules"]["cpu_threshold_seconds"]) == (1, 1, 100.0)
    assert "start_date" not in details["rules"]


def test_a_day_without_rows_is_a_written_partition_with_0_rows(world: FrontWorld) -> None:
    write_log(Path(world.settings.trino_source), [query(1), query(2, day=2)])
    result = world.run_days(key(0), key(2))
    assert result.success
    assert not failed(result, QUERIES, key(1))
    assert not failed(result, LABELLED_QUERIES, key(1))
    assert [world.revision(QUERIES, key(day)).rows for day in range(3)] == [1, 0, 1]
    for name in (LIGHT, HEAVY, DROPPED):
        assert world.rows(LABELLED_QUERIES, key(1), str(name)) == []


def test_a_day_of_mostly_bad_rows_stops_before_its_labels(world: FrontWorld) -> None:
    rows = [query(number, cpuTime=-1.0 if number % 2 else 1.0) for number in range(60)]
    write_log(Path(world.settings.trino_source), rows)
    result = world.run_days(key(0), key(0))
    assert list(failed(result, QUERIES, key(0))) == ["quarantine_share"]
    assert world.lake.current(address(LABELLED_QUERIES, key(0))) is None
    assert {row["rule"] for row in world.rows(QUARANTINED_QUERIES, key(0), "quarantined_queries.parquet")} == {
        "impossible_cost"
    }
    reason = reason_of_failure(world.materialize(key(0), LABELLED_QUERIES))
    assert f"query_predictor/queries of {key(0)} failed a blocking check (quarantine_share: rows refused" in reason
    missing = reason_of_failure(world.materialize(key(1), LABELLED_QUERIES))
    assert f"labelled_queries of {key(1)} needs query_predictor/queries of {key(1)}" in missing


def test_rows_of_no_day_are_quarantined_once_on_the_calendars_first_day(world: FrontWorld) -> None:
    rows = [query(number, day) for number in range(40) for day in range(2)]
    stray = {**query(1), "queryId": "no time in it", "createTime": None}
    write_log(Path(world.settings.trino_source), [*rows, stray])
    assert world.run_days(key(0), key(1)).success
    found = [world.rows(QUARANTINED_QUERIES, key(day), "quarantined_queries.parquet") for day in range(2)]
    assert [[row["rule"] for row in day] for day in found] == [["missing_create_time"], []]


def test_a_query_of_an_earlier_day_is_found_in_the_same_run_and_in_another(world: FrontWorld) -> None:
    again = {**query(7, day=2), "queryId": query(3)["queryId"]}
    write_log(Path(world.settings.trino_source), [query(3), query(4, day=1), query(5, day=2), again])
    told = failed(world.run_days(key(0), key(2)), QUERIES, key(2))
    assert told == {"no_query_in_two_days": f"also in an earlier day: {{'{key(0)}': ['{again['queryId']}']}}"}
    assert failed(world.run_days(key(2), key(2)), QUERIES, key(2)) == told
    assert world.lake.current(address(LABELLED_QUERIES, key(1))) is None, "the range stopped at its failed check"


def test_a_lake_on_s3_gives_what_a_folder_gives(
    world: FrontWorld, moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(Path(world.settings.trino_source), [query(number, cpuTime=100.0 * number) for number in range(5)])
    assert world.run_days(key(0), key(0)).success
    in_folder = [world.revision(asset, key(0)).digest for asset in (QUERIES, LABELLED_QUERIES)]
    world.lake_url = moto.use(monkeypatch)
    assert world.run_days(key(0), key(0)).success
    assert [world.revision(asset, key(0)).digest for asset in (QUERIES, LABELLED_QUERIES)] == in_folder
    assert [row["cpuTime"] for row in world.rows(LABELLED_QUERIES, key(0), str(HEAVY))] == [300.0, 400.0]


def test_a_source_that_cannot_be_read_fails_the_step_by_its_setting(world: FrontWorld) -> None:
    reason = reason_of_failure(world.run_days(key(0), key(0)))
    assert "PLATFORM_TRINO_SOURCE is " in reason
    assert "where no .parquet, .jsonl, .jsonl.gz file is; correct it" in reason


def test_labels_are_requested_once_their_day_is_read_and_checked(world: FrontWorld) -> None:
    write_log(Path(world.settings.trino_source), [query(1), query(2, day=1)])
    first = dg.evaluate_automation_conditions(world.definitions, world.instance)
    assert first.total_requested == 0
    assert world.materialize(key(1), QUERIES, QUARANTINED_QUERIES).success
    then = dg.evaluate_automation_conditions(world.definitions, world.instance, cursor=first.cursor)
    assert then.get_requested_partitions(LABELLED_QUERIES) == {key(1)}


def test_every_check_of_the_weekly_assets_blocks() -> None:
    for declared in (zero_cost_categories.CHECKS, training_sample.CHECKS):
        assert all(check.blocking for check in declared)
    warnings = [
        check.name for each in (queries.CHECKS, labelled_queries.CHECKS) for check in each if not check.blocking
    ]
    assert warnings == ["row_count_band", "heavy_share_band"]
