"""From Trino's log to labelled days as Dagster runs it: bad days, late rows, lost sources, and what a person may configure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.core.settings import Settings
from platform_assets.core.step import words
from platform_assets.query_predictor import sampling
from platform_assets.query_predictor.assets import (
    common,
    feature_inputs,
    features,
    labelled_queries,
    model,
    queries,
    training_sample,
    zero_cost_categories,
)
from platform_assets.query_predictor.assets.common import (
    LABELLED_QUERIES,
    QUARANTINED_QUERIES,
    QUERIES,
    address,
)
from platform_assets.query_predictor.configuration import from_mapping
from platform_assets.query_predictor.documented_keys import HEAVY_ERRORS
from platform_assets.query_predictor.labels import DROPPED, HEAVY, LIGHT
from platform_assets.query_predictor.trained_model import read_options
from platform_assets_tests.lake_stores import Server
from platform_assets_tests.query_predictor.front_world import (
    FrontWorld,
    Row,
    failed,
    reason_of_failure,
    write_log,
)
from platform_assets_tests.query_predictor.query_samples import documented

SHIPPED = Settings.from_environment({})
FIRST = date(2026, 3, 2)
NEAR = {"data_loading": {"cpu_threshold_seconds": 100.0}}


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


def test_the_program_is_given_the_documented_keys_and_over_them_what_goes_by_its_own_names() -> None:
    configured = from_mapping({"model": {"n_estimators": 7, "cost_fn": 5.0}, "analysis": {"enabled": False}})
    given = model.given_options(configured, {"max_depth": "3", "cv_folds": "0"})
    assert given == {
        "n_estimators": "7", "cv_folds": "0", "cost_fn": "5.0", "cost_fp": "1.0", "weight_loss": "false", "plots": "false",
        "max_depth": "3",
    }  # fmt: skip
    found = read_options(words({"features": "f", "zero_cost": "z", "output": "o", **given}))
    assert (found.n_estimators, found.cost_fn, found.cv_folds, found.plots) == (7, 5.0, 0, False)
    asked = feature_inputs.history_options(from_mapping({"features": {"history_window_days": 9}}))
    assert (asked.window_days, asked.resource_errors) == (9, HEAVY_ERRORS)


def test_what_only_tells_of_a_week_warns_and_all_else_blocks() -> None:
    declared = (queries, labelled_queries, zero_cost_categories, training_sample, features, model)
    warnings = [check.name for each in declared for check in each.CHECKS if not check.blocking]
    assert warnings == [
        "row_count_band", "heavy_share_band", "parse_fallbacks", "feature_drift", "end_to_end_recall", "routed_share",
        "beats_fingerprint", "f1", "auc", "registered",
    ]  # fmt: skip
