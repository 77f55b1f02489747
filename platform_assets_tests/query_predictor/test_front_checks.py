"""The checks of days, categories and samples: what each of them finds, and what it lets pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import configuration, labels, quality, sample_quality, sampling, sampling_plots
from platform_assets.query_predictor.documented_keys import Configuration
from platform_assets.query_predictor.limits import Limits
from platform_assets.query_predictor.sample_quality import DayCounts
from platform_assets.query_predictor.sampling import DayFiles
from platform_assets.query_predictor.zero_cost import CategoryCount, JudgedCategory, judge
from platform_assets_tests.query_predictor.query_samples import NOON, typed_query, write_queries

LIMITS, RULES = Limits(), Configuration().data_loading
WINDOW = (datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
MONDAY = date(2026, 3, 2)
SPLITS = sampling.split_days(MONDAY)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "scratch", threads=1)


def rewritten(path: Path, change: Any) -> None:
    """A file whose rows another hand has changed."""
    table = pq.ParquetFile(path).read()
    pq.write_table(pa.Table.from_pylist([change(row) for row in table.to_pylist()], table.schema), path)


def test_a_query_of_another_day_or_with_an_impossible_end_is_counted(engine: Engine, tmp_path: Path) -> None:
    rows = [typed_query(number) for number in range(3)]
    good = write_queries(tmp_path / "good.parquet", rows)
    assert quality.created_in_day(engine, good, WINDOW).passed
    at_midnight = {**rows[0], "createTime": WINDOW[1], "endTime": WINDOW[1]}
    backwards = {**rows[1], "endTime": NOON - timedelta(seconds=1)}
    bad = write_queries(tmp_path / "bad.parquet", [at_midnight, backwards, rows[2]])
    found = quality.created_in_day(engine, bad, WINDOW)
    assert (found.passed, found.metadata) == (False, {"outside": 1, "ended_before": 1})
    empty = write_queries(tmp_path / "empty.parquet", [])
    assert quality.created_in_day(engine, empty, WINDOW).passed
    assert quality.id_range(engine, empty) is None


@pytest.mark.parametrize(
    ("rows", "trailing", "passed"),
    [(100, [100, 120, 90], True), (40, [100, 120, 90], False), (250, [100, 120, 90], False), (0, [100, 90], False),
     (0, [], True), (5, [100], True), (7, [0, 0, 0], True)],
)  # fmt: skip
def test_a_days_rows_are_compared_with_its_weekdays_before(rows: int, trailing: list[int], passed: bool) -> None:
    found = quality.row_count_band(rows, trailing, LIMITS)
    assert found.passed is passed
    assert passed or found.warning


@pytest.mark.parametrize(
    ("day", "passed"),
    [((2, 100), True), ((0, 100), True), ((5, 100), True), ((20, 100), False), ((0, 5000), False), ((0, 0), True)],
)  # fmt: skip
def test_a_share_of_heavy_queries_warns_only_beyond_chance(day: tuple[int, int], passed: bool) -> None:
    found = quality.heavy_share_band(day, [(2, 100)] * 10, LIMITS)
    assert found.passed is passed
    assert passed or found.warning
    assert quality.heavy_share_band(day, [], LIMITS).passed


@pytest.fixture
def labelled(engine: Engine, tmp_path: Path) -> tuple[Path, labels.LabelledDay]:
    rows = [typed_query(number) for number in range(6)]
    rows[0]["cpuTime"] = 300.0
    rows[1]["errorName"] = "EXCEEDED_TIME_LIMIT"
    rows[2]["errorName"] = "USER_CANCELED"
    queries = write_queries(tmp_path / "queries.parquet", rows)
    return queries, labels.label_day(engine, queries, RULES, tmp_path / "labelled")


def test_a_wrong_label_is_found(engine: Engine, labelled: tuple[Path, labels.LabelledDay]) -> None:
    _, day = labelled
    assert quality.labels_by_rule(engine, day, RULES).passed
    stricter = replace_rules(cpu_threshold_seconds=1.0)
    assert quality.labels_by_rule(engine, day, stricter).metadata == {"in_light": 3, "in_heavy": 0}
    rewritten(day.heavy, lambda row: {**row, "cpuTime": 1.0})
    assert quality.labels_by_rule(engine, day, RULES).metadata == {"in_light": 0, "in_heavy": 1}


def test_a_lost_an_invented_and_a_heavy_censored_row_are_found(
    engine: Engine, labelled: tuple[Path, labels.LabelledDay]
) -> None:
    queries, day = labelled
    assert quality.drops_by_rule(engine, queries, day).passed
    rewritten(day.dropped, lambda row: {**row, "is_heavy": True, "queryId": "another"})
    found = quality.drops_by_rule(engine, queries, day)
    assert not found.passed
    assert {name: found.metadata[name] for name in ("lost", "invented", "heavy_and_censored", "unknown_reason")} == {
        "lost": 1, "invented": 1, "heavy_and_censored": 1, "unknown_reason": 0,
    }  # fmt: skip
    rewritten(day.dropped, lambda row: {**row, "drop_reason": None})
    assert quality.drops_by_rule(engine, queries, day).metadata["unknown_reason"] == 1


def replace_rules(**keys: Any) -> configuration.DataLoading:
    return configuration.from_mapping({"data_loading": keys}).data_loading


def test_categories_that_hold_too_much_or_miss_rows_are_found() -> None:
    counts = {"show": CategoryCount(50_000, 0), "select": CategoryCount(100_000, 4_000)}
    found = judge(counts)
    days = [DayCounts(100_000, 3_000, {"query_type": 47_000, "censored": 9, "duplicate": 4})]
    assert found.safe == {"show"}
    assert sample_quality.zero_cost_cap(found).passed
    assert sample_quality.categories_reconcile(found, days).passed
    assert not sample_quality.categories_reconcile(found, [replace(days[0], light=99_999)]).passed
    assert not sample_quality.categories_reconcile(replace(found, heavy=3_999), days).passed
    for name, judged, message in (
        ("call", JudgedCategory(5_000, 0, 0.0006, True), "call runs queries"),
        ("show", JudgedCategory(1_000, 9, 0.0001, True), "show may be heavy in 1.5"),
        ("set", JudgedCategory(9_000, 30, 0.005, True), "together they may hold"),
    ):
        worse = replace(found, categories={**found.categories, name: judged})
        outcome = sample_quality.zero_cost_cap(worse)
        assert not outcome.passed
        assert message in outcome.reason


def test_dropped_heavy_queries_that_days_do_not_leave_room_for_are_found() -> None:
    days = {
        MONDAY: DayCounts(900, 50, {"query_type": 40, "blank": 2}),
        MONDAY + timedelta(days=1): DayCounts(900, 50, {}),
    }
    # The second day is a test day: its 50 heavy queries are in no category's count.
    counts = {"explain": CategoryCount(40, 7), "blank": CategoryCount(2, 1), "select": CategoryCount(950, 50)}

    def passed(**dropped: int) -> bool:
        found = judge(counts, dropped_heavy={day.replace("_", "-"): {"explain": rows} for day, rows in dropped.items()})
        return sample_quality.dropped_reconcile(found, 50, days).passed

    # 108 heavy, 100 of them kept: 8 were dropped, of which up to 2 as blank.
    monday, tuesday = (f"{day}" for day in days)
    assert [rows for rows in range(12) if passed(**{monday: rows})] == [6, 7, 8]
    assert not passed(**{monday: 6, tuesday: 1}), "no query of that day was dropped"
    assert not passed(**{"2020-01-01": 7})


def labelled_rows(day: date, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    for number in numbers:
        created = datetime(day.year, day.month, day.day, 9, tzinfo=UTC) + timedelta(seconds=number)
        row = typed_query(number, createTime=created, endTime=created)
        heavy = number % 10 == 0
        yield {**row, "queryId": f"{day:%Y%m%d}_{number:05}", "is_heavy": heavy, "heavy_reason": "cpu" if heavy else None,
               "boundary_distance": (number % 7) / 5, "template": "0" * 32, "category": "select"}  # fmt: skip


Drawn = tuple[dict[date, DayFiles], sampling.SampledWeek, dict[str, Path], dict[str, list[DayCounts]]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder, days = tmp_path_factory.mktemp("drawn"), {}
    schema = pa.Table.from_pylist(list(labelled_rows(MONDAY, range(1, 12)))).schema
    for day in SPLITS.days:
        rows = list(labelled_rows(day, range(100)))
        paths = [folder / f"{day}_{name}.parquet" for name in ("light", "heavy")]
        for path, heavy in zip(paths, (False, True), strict=True):
            pq.write_table(pa.Table.from_pylist([row for row in rows if row["is_heavy"] is heavy], schema), path)
        days[day] = DayFiles(*paths)
    sampled = sampling.draw_sample(Engine(folder, threads=1), days, MONDAY, Configuration(), folder / "sample")
    held = {name: [DayCounts(90, 10, {})] * len(getattr(SPLITS, name)) for name in ("train", "validation", "test")}
    return days, sampled, {name: getattr(sampled, name) for name in held}, held


def test_a_sample_as_it_was_drawn_passes(engine: Engine, drawn: Drawn) -> None:
    days, sampled, files, held = drawn
    train = [days[day] for day in SPLITS.train]
    assert sample_quality.split_by_time(engine, files, SPLITS).passed
    assert sample_quality.splits_reconcile(sampled.report, held, 1.0).passed
    assert sample_quality.expected_size(engine, train, sampled.train, sampled.report, Configuration()).passed
    assert sample_quality.probabilities_in_range(engine, sampled.train).passed
    picture = sampling_plots.inclusion(sampled.train, sampled.report, Configuration().boundary_sampling)
    assert picture.startswith(b"\x89PNG")


def test_a_row_in_a_split_of_other_days_or_in_two_is_found(engine: Engine, drawn: Drawn) -> None:
    _, _, files, _ = drawn
    swapped = {**files, "validation": files["test"]}
    reason = sample_quality.split_by_time(engine, swapped, SPLITS).reason
    assert "'validation rows of other days': 700" in reason
    assert "'more than once': ['20260302_00000'" in reason


def test_a_lost_row_and_a_sample_of_another_size_are_found(engine: Engine, drawn: Drawn, tmp_path: Path) -> None:
    days, sampled, _, held = drawn
    train = [days[day] for day in SPLITS.train]
    report: dict[str, Any] = sampled.report
    fewer = {**report, "rows": {**report["rows"], "test": {"light": 629, "heavy": 70}}}
    assert "629 light rows in test of 630" in sample_quality.splits_reconcile(fewer, held, 1.0).reason
    half = {"rows": {"train": {"heavy": 146}, **{name: {"light": 322, "heavy": 36} for name in ("validation", "test")}}}
    assert sample_quality.splits_reconcile(half, held, 0.5).passed
    assert not sample_quality.splits_reconcile(half, held, 0.7).passed

    def size(path: Path, report: dict[str, Any]) -> bool:
        return sample_quality.expected_size(engine, train, path, report, Configuration()).passed

    table = pq.read_table(sampled.train)
    pq.write_table(table.slice(0, table.num_rows * 3 // 4), tmp_path / "cut.parquet")
    assert not size(tmp_path / "cut.parquet", report)
    assert not size(sampled.train, {**report, "k": report["k"] * 1.5})
    assert not size(sampled.train, {**report, "target": 1.0})


def test_impossible_probabilities_and_weights_are_found(engine: Engine, drawn: Drawn, tmp_path: Path) -> None:
    _, sampled, _, _ = drawn
    rows = pq.read_table(sampled.train).to_pylist()
    heavy = next(place for place, row in enumerate(rows) if row["is_heavy"])
    light = [place for place, row in enumerate(rows) if not row["is_heavy"]]
    rows[heavy]["inclusion_probability"] = 0.5
    rows[light[0]]["inclusion_probability"] = 0.0
    rows[light[1]]["weight"] = float("inf")
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(sampled.train)), tmp_path / "train.parquet")
    found = sample_quality.probabilities_in_range(engine, tmp_path / "train.parquet")
    assert (found.passed, found.metadata) == (False, {"probability": 1, "weight": 1, "uncertain_heavy": 1})
