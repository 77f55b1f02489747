"""From Trino's log to a registered model as Dagster runs it: what is in the lake, in MLflow and in Postgres, what a repetition
changes, who is refused.

A week's categories, sample, features and model, then the features of the week after, as `small_query_platform` makes them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from platform_assets.core import packed_model
from platform_assets.core.folders import fetch_folder, folder_digest
from platform_assets.core.model_versions import ModelVersions
from platform_assets.query_predictor import feature_sets, registration, sampling, training_options, zero_cost
from platform_assets.query_predictor.assets import (
    features,
    labelled_queries,
    model,
    queries,
    training_sample,
)
from platform_assets.query_predictor.assets.common import (
    FEATURES,
    LABELLED_QUERIES,
    MODEL,
    QUARANTINED_QUERIES,
    QUERIES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
    address,
)
from platform_assets.query_predictor.documented_keys import HEAVY_ERRORS
from platform_assets.query_predictor.features import BASE_NAMES, HISTORICAL_NAMES
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.labels import DROPPED, HEAVY, LIGHT
from platform_assets.query_predictor.split_features import read_week
from platform_assets.query_predictor.training_summary import FOLLOWED
from platform_assets_tests.end_to_end.small_query_platform import (
    NEXT,
    SHIPPED,
    SMALL,
    WEEK,
    Made,
    QueryPlatform,
    query_platform,
)
from platform_assets_tests.query_predictor.front_world import FrontWorld, failed, is_evaluated, reason_of_failure

SPLITS = sampling.split_days(date.fromisoformat(WEEK))
DAYS = [day.isoformat() for day in SPLITS.days]
LAST_DAY = "2025-07-27"
Runs = Mapping[str, dg.ExecuteInProcessResult]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def made(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    with query_platform(postgres_server, tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def platform(made: Made) -> QueryPlatform:
    return made.platform


@pytest.fixture(scope="module")
def runs(made: Made) -> Runs:
    return made.runs


@pytest.fixture(scope="module")
def days_run(runs: Runs) -> dg.ExecuteInProcessResult:
    return runs["days"]


@pytest.fixture
def copied(tmp_path: Path, platform: QueryPlatform) -> Iterator[QueryPlatform]:
    """The same services with a copy of the lake, to be spoilt."""
    shutil.copytree(platform.folder / "lake", tmp_path / "lake")
    with dg.DagsterInstance.ephemeral() as instance:
        yield replace(platform, folder=tmp_path, instance=instance)


def shown(runs: Runs, asset: dg.AssetKey, partition: str) -> dict[str, Any]:
    """What people see of a partition: its last event, as a range's own event comes before those of its partitions."""
    made = [event for run in runs.values() for event in run.get_asset_materialization_events()]
    found = [event for event in made if (event.asset_key, event.partition) == (asset, partition)]
    return dict(found[-1].step_materialization_data.materialization.metadata)


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


def test_days_request_their_weeks_and_a_weeks_sample_and_categories_its_features(made: Made) -> None:
    after_days, after_samples = made.requested
    assert after_days == {ZERO_COST_CATEGORIES: {WEEK, NEXT}, TRAINING_SAMPLE: {WEEK, NEXT}}
    assert after_samples == {FEATURES: {WEEK}}


def test_a_range_of_days_holds_what_a_direct_count_over_the_log_finds(
    platform: QueryPlatform, days_run: dg.ExecuteInProcessResult
) -> None:
    expected = counted_directly(DAYS)
    assert len(expected) == len(DAYS) == 44
    for day, (rows, light, heavy, dropped) in expected.items():
        assert is_evaluated(days_run, QUERIES, day, queries.CHECKS)
        assert is_evaluated(days_run, LABELLED_QUERIES, day, labelled_queries.CHECKS)
        assert not failed(days_run, QUERIES, day).keys() - {"row_count_band"}
        assert not failed(days_run, LABELLED_QUERIES, day).keys() - {"heavy_share_band"}
        found, told = platform.revision(QUERIES, day), platform.revision(LABELLED_QUERIES, day).lineage.details
        assert (found.rows, platform.revision(QUARANTINED_QUERIES, day).rows) == (rows, 0)
        assert (told["light"], told["heavy"], sum(told["reasons"].values())) == (light, heavy, dropped)
    assert sum(heavy for _, _, heavy, _ in expected.values()) > 50


def test_published_labels_are_read_as_one_table_partitioned_by_is_heavy(
    platform: QueryPlatform, days_run: dg.ExecuteInProcessResult
) -> None:
    day = "2025-06-30"
    revision = platform.revision(LABELLED_QUERIES, day)
    assert {file.name for file in revision.data_files} == {str(LIGHT), str(HEAVY), str(DROPPED)}
    found = duckdb.execute(
        "SELECT is_heavy::BOOLEAN, count(*) FROM read_parquet(?, hive_partitioning = true) GROUP BY 1 ORDER BY 1",
        [f"{revision.uri}/*/is_heavy=*/rows.parquet"],
    ).fetchall()
    assert dict(found) == {False: revision.lineage.details["light"], True: revision.lineage.details["heavy"]}


def test_a_weeks_sample_is_split_by_time_and_keeps_every_heavy_query(
    platform: QueryPlatform, days_run: dg.ExecuteInProcessResult
) -> None:
    expected = counted_directly(DAYS)
    report = json.loads(platform.file(TRAINING_SAMPLE, WEEK, training_sample.REPORT).read_text())
    for name in ("train", "validation", "test"):
        days = [day.isoformat() for day in getattr(SPLITS, name)]
        rows = platform.rows(TRAINING_SAMPLE, WEEK, f"{name}.parquet")
        heavy = sum(row["is_heavy"] for row in rows)
        assert {str(row["createTime"].date()) for row in rows} <= set(days)
        assert heavy == sum(expected[day][2] for day in days) == report["rows"][name]["heavy"]
        if name != "train":
            assert len(rows) - heavy == sum(expected[day][1] for day in days)
        else:
            assert abs(len(rows) - 6 * heavy) < 5 * report["expected_light_deviation"]
    revision = platform.revision(TRAINING_SAMPLE, WEEK)
    assert len(revision.lineage.inputs) == 44
    assert {input.asset for input in revision.lineage.inputs} == {"query_predictor/labelled_queries"}
    assert revision.lineage.code_version == sampling.CODE_VERSION


def test_categories_count_every_labelled_row_of_train_and_validation_days_dropped_ones_too(
    platform: QueryPlatform, days_run: dg.ExecuteInProcessResult
) -> None:
    found = zero_cost.ZeroCostCategories.from_json(
        platform.file(ZERO_COST_CATEGORIES, WEEK, zero_cost.NAME).read_text()
    )
    judged = DAYS[:37]
    expected = counted_directly(judged)
    censored = sum(platform.revision(LABELLED_QUERIES, day).lineage.details["reasons"]["censored"] for day in judged)
    assert (
        sum(each.queries for each in found.categories.values()) == sum(rows[0] for rows in expected.values()) - censored
    )
    assert found.heavy >= sum(rows[2] for rows in expected.values())
    told = platform.revision(ZERO_COST_CATEGORIES, WEEK).lineage
    assert (told.details["days"], told.details["judged_days"], len(told.inputs)) == (44, 37, 44)
    assert not found.safe, "a hundred heavy queries cannot show that a category holds less than .2 % of them"


def test_running_again_changes_nothing(platform: QueryPlatform, days_run: dg.ExecuteInProcessResult) -> None:
    held = [(asset, day) for asset in (QUERIES, QUARANTINED_QUERIES, LABELLED_QUERIES) for day in DAYS]
    held += [(ZERO_COST_CATEGORIES, WEEK), (TRAINING_SAMPLE, WEEK)]

    def published() -> dict[Any, tuple[str, str]]:
        found = {each: platform.revision(*each) for each in held}
        return {each: (revision.digest, revision.created_at) for each, revision in found.items()}

    before = published()
    assert platform.run_days(DAYS[21], DAYS[24]).success
    assert platform.materialize(DAYS[0], QUERIES, QUARANTINED_QUERIES).success
    assert platform.materialize(DAYS[0], LABELLED_QUERIES).success
    assert platform.materialize(WEEK, ZERO_COST_CATEGORIES).success
    assert platform.materialize(WEEK, TRAINING_SAMPLE).success
    assert published() == before


def test_people_see_counts_columns_with_their_origin_and_pictures(platform: QueryPlatform, runs: Runs) -> None:
    sample, labels = shown(runs, TRAINING_SAMPLE, WEEK), shown(runs, LABELLED_QUERIES, LAST_DAY)
    assert "data:image/png" in sample["inclusion probability by distance"].value
    assert "| train heavy |" in sample["splits"].value
    assert "| censored | " in labels["dropped"].value
    assert "| select |" in shown(runs, ZERO_COST_CATEGORIES, WEEK)["categories"].value
    columns = {each["name"] for each in platform.revision(TRAINING_SAMPLE, WEEK).schema}
    for found, column, sources in (
        (shown(runs, QUERIES, LAST_DAY), "textHash", {("trino", "queries", "query")}),
        (labels, "boundary_distance", {("query_predictor", "queries", "cpuTime"),
                                       ("query_predictor", "queries", "peakUserMemoryBytes")}),
        (sample, "weight", {("query_predictor", "labelled_queries", "boundary_distance")}),
    ):  # fmt: skip
        lineage = found["dagster/column_lineage"].value
        assert {(*each.asset_key.path, each.column_name) for each in lineage.deps_by_column[column]} == sources
        assert set(lineage.deps_by_column) <= columns
    assert set(sample["dagster/column_lineage"].value.deps_by_column) == columns


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


def test_a_fraction_of_the_sample_passes_its_checks_too(copied: FrontWorld) -> None:
    before = copied.revision(TRAINING_SAMPLE, WEEK)
    result = copied.materialize(WEEK, TRAINING_SAMPLE, sample_fraction=0.5, boundary_sampling={"seed": 3})
    assert result.success
    assert all(each.passed for each in result.get_asset_check_evaluations())
    assert (copied.revision(TRAINING_SAMPLE, WEEK).rows or 0) < 0.7 * (before.rows or 0)


def test_features_are_the_samples_rows_with_the_history_of_every_day_there_is(
    platform: QueryPlatform, runs: Runs
) -> None:
    assert is_evaluated(runs["features"], FEATURES, WEEK, features.CHECKS)
    assert not failed(runs["features"], FEATURES, WEEK)
    revision, sample = platform.revision(FEATURES, WEEK), platform.revision(TRAINING_SAMPLE, WEEK)
    told = revision.lineage.details
    rows = {split: sum(counts.values()) for split, counts in sample.lineage.details["rows"].items()}
    assert told["rows"] == rows
    assert told["heavy"] == {split: counts["heavy"] for split, counts in sample.lineage.details["rows"].items()}
    assert told["configuration"]["history_window_days"] == 30
    assert revision.lineage.code_version == feature_sets.CODE_VERSION
    assert {each.partition for each in revision.lineage.inputs} == {WEEK, *DAYS}, "the calendar begins with the window"
    assert sample.as_input() in revision.lineage.inputs
    # The next week looks 30 days further back than its window, as far as the calendar goes.
    assert len(platform.revision(FEATURES, NEXT).lineage.inputs) == 1 + 44 + 7
    found = read_week(fetch_folder(platform.lake, revision, platform.folder / "features"))
    assert {name: len(split) for name, split in found.splits.items()} == rows
    snapshot = HistorySnapshot.open(found.folder / "history")
    assert (snapshot.day, snapshot.options.window_days) == (SPLITS.test[-1] + timedelta(days=1), 30)
    assert snapshot.options.resource_errors == HEAVY_ERRORS


def test_a_registered_model_has_its_weeks_inputs_everywhere(
    platform: QueryPlatform, runs: Runs, tmp_path: Path
) -> None:
    version, tags = platform.policy_versions[1], platform.models["1"]
    read, revision = platform.revision(FEATURES, WEEK), platform.revision(MODEL, WEEK)
    categories = platform.revision(ZERO_COST_CATEGORIES, WEEK)
    assert revision.lineage.inputs == (read.as_input(), categories.as_input())
    assert revision.lineage.code_version == training_options.CODE_VERSION
    expected = {
        "policy_id": version.policy_id, "task": "heavy query prediction", "dataset_version": WEEK,
        "dataset_digest": read.digest, "zero_cost_digest": categories.file(zero_cost.NAME).sha256,
        "dagster_run_id": runs["model"].run_id, "dagster_asset": "query_predictor/model", "dagster_partition": WEEK,
        "stage": "training", "policy_version_id": version.id, "model_digest": revision.digest,
        "fingerprint": revision.lineage.details["fingerprint"],
    }  # fmt: skip
    assert expected.items() <= tags.items()
    assert (platform.policy_versions[0].status, version.status) == ("active", "registered")
    assert platform.policy_versions[0].config_defaults == registration.version_zero()
    run = platform.tracking.client.get_run(tags["run_id"])
    assert run.info.status == "FINISHED"
    assert run.inputs
    (logged,) = run.inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == (f"query_predictor/features/{WEEK}", read.digest)
    assert {"epochs": "20", "max_depth": "3", "cv_folds": "2", "plots": "True"}.items() <= run.data.params.items()
    packed = ModelVersions(platform.tracking, registration.MODEL.model_name).fetch("1", tmp_path)
    assert folder_digest(packed_model.model_folder(packed)) == revision.digest


def test_a_recall_that_is_surely_too_low_is_a_warning_of_the_model_with_its_reason(
    platform: QueryPlatform, runs: Runs
) -> None:
    assert is_evaluated(runs["model"], MODEL, WEEK, model.CHECKS)
    told = failed(runs["model"], MODEL, WEEK)
    assert not told.keys() & {check.name for check in model.CHECKS if check.blocking}
    assert told["end_to_end_recall"].startswith("fail: ")
    assert "0.98 is required: look at what was missed" in told["end_to_end_recall"]
    recorded = platform.revision(MODEL, WEEK).lineage.details["checks"]["end_to_end_recall"]
    assert (recorded["passed"], recorded["reason"]) == (False, told["end_to_end_recall"])


def test_a_week_is_compared_with_what_the_newest_earlier_model_was_trained_on(
    platform: QueryPlatform, runs: Runs
) -> None:
    first, then = (platform.revision(FEATURES, week).lineage.details["drift"] for week in (WEEK, NEXT))
    assert (first["against"], first["is_beyond_limit"]) == (None, False)
    assert then["against"] == WEEK
    assert then["features"].keys() == {*BASE_NAMES, *HISTORICAL_NAMES}
    assert ("feature_drift" in failed(runs["next"], FEATURES, NEXT)) is then["is_beyond_limit"]
    assert "data:image/png" in shown(runs, FEATURES, NEXT)["feature_drift"].value


def test_people_see_of_features_and_model_what_they_are_made_of(platform: QueryPlatform, runs: Runs) -> None:
    made, trained = shown(runs, FEATURES, WEEK), shown(runs, MODEL, WEEK)
    columns = [column.name for column in made["dagster/column_schema"].value.columns]
    assert columns == [*BASE_NAMES, *HISTORICAL_NAMES]
    assert made["history_as_of"].value == "2025-07-21T00:00:00+00:00"
    assert "| train heavy | 70 |" in made["splits"].value
    pictures = {"precision_recall", "calibration", "cost", "importance", "scores_by_template"}
    assert all("data:image/png" in trained[name].value for name in pictures)
    assert trained["test_heavy"].value == 19
    assert (trained["mlflow_version"].value, trained["policy_version"].value) == ("1", 1)
    assert trained["mlflow_run"].value.endswith(platform.models["1"]["run_id"])
    assert list(trained)[:2] == ["requirements", "summary"]
    assert "| end_to_end_recall | fail | " in trained["requirements"].value
    plotted = {name: trained[name].value for name in FOLLOWED}
    metrics = json.loads(platform.lake.read_side(platform.revision(MODEL, WEEK), "metrics.json"))
    assert {**plotted, **trained["metrics"].value} == metrics
    assert len(trained) < 30, "all other numbers are one entry"


def test_features_and_a_model_made_again_change_nothing(platform: QueryPlatform) -> None:
    before = {asset: platform.revision(asset, WEEK) for asset in (FEATURES, MODEL)}
    versions = set(platform.models)
    platform.succeed(WEEK, FEATURES)
    platform.train(WEEK)
    for asset, revision in before.items():
        again = platform.revision(asset, WEEK)
        assert (again.digest, again.created_at) == (revision.digest, revision.created_at)
    assert set(platform.models) == versions


def test_features_refuse_a_sample_or_categories_of_other_days(copied: QueryPlatform) -> None:
    for asset in (TRAINING_SAMPLE, ZERO_COST_CATEGORIES):
        revision = copied.revision(asset, WEEK)
        files = {file.name: copied.file(asset, WEEK, file.name) for file in revision.data_files}
        other = replace(revision.lineage.inputs[5], digest="0" * 32)
        inputs = (*revision.lineage.inputs[:5], other, *revision.lineage.inputs[6:])
        publish = copied.lake.publish_table if asset == TRAINING_SAMPLE else copied.lake.publish_files
        publish(address(asset, WEEK), files, replace(revision.lineage, inputs=inputs))
        reason = reason_of_failure(copied.materialize(WEEK, FEATURES))
        assert (
            f"{asset.to_user_string()} of {WEEK} was made of other revisions of query_predictor/labelled_queries of {DAYS[5]}"
            in reason
        )
        publish(address(asset, WEEK), files, revision.lineage)
    narrow = {"data_loading": {"start_date": DAYS[1]}}
    assert f"of {DAYS[0]} than are read here" in reason_of_failure(copied.materialize(WEEK, FEATURES, **narrow))
    (copied.folder / "lake" / address(TRAINING_SAMPLE, WEEK).path / "manifest.json").unlink()
    reason = reason_of_failure(copied.materialize(WEEK, FEATURES))
    assert f"features of {WEEK} needs query_predictor/training_sample of {WEEK}, which was not published" in reason


def test_a_model_refuses_features_that_failed_and_options_that_the_week_decides(copied: QueryPlatform) -> None:
    for options, message in (
        ({"features": "elsewhere"}, "features: decided by the week, and no option of query_predictor/model"),
        ({"colour": "red"}, "--colour red is no option of python -m platform_assets.query_predictor.training"),
        ({"max_depth": "0"}, "--max_depth must be 1 or more"),
    ):
        assert message in reason_of_failure(copied.materialize(WEEK, MODEL, **{**SMALL, "options": options}))
    revision = copied.revision(FEATURES, WEEK)
    files = {file.name: copied.file(FEATURES, WEEK, file.name) for file in revision.data_files}
    told = {
        **revision.lineage.details["checks"],
        "splits_reconcile": {"passed": False, "warning": False, "reason": "lost"},
    }
    lineage = replace(revision.lineage, details={**revision.lineage.details, "checks": told})
    copied.lake.publish_files(address(FEATURES, WEEK), files, lineage)
    reason = reason_of_failure(copied.materialize(WEEK, MODEL, **SMALL))
    assert f"query_predictor/features of {WEEK} failed a blocking check (splits_reconcile: lost)" in reason
