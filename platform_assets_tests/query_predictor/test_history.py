"""History: what had ended, and nothing else; snapshots day by day against a slow count of every row; equal bits both ways."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import history, history_values
from platform_assets.query_predictor.features import HISTORICAL_NAMES
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.history_snapshot import HistorySnapshot, SnapshotError
from platform_assets.query_predictor.history_values import BLOCKS
from platform_assets_tests.query_predictor.counted_history import batch, engine, gathered
from platform_assets_tests.query_predictor.labelled_rows import Row, labelled_row
from platform_assets_tests.query_predictor.slow_history import Key, is_known, slow_features

START = date(2026, 1, 5)
MIDNIGHT = datetime.combine(START, time(), UTC)
DAYS = 6
TEXTS = ("select a from t", "select a from u where b = 1", "show tables")
ERRORS = (None, "EXCEEDED_CPU_LIMIT", "SYNTAX_ERROR", "EXCEEDED_CPU")


def rows_of(most: int) -> st.SearchStrategy[list[Row]]:
    moments = st.integers(0, DAYS * 24 - 1).map(lambda hours: MIDNIGHT + timedelta(hours=hours))
    drawn: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {
            "created": moments,
            "lasts": st.sampled_from([0, 1, 3600, 7199, 7200, 86_400, 3 * 86_400 + 1]).map(
                lambda s: timedelta(seconds=s)
            ),
            "user": st.sampled_from(["ann", "bob", "eve"]),
            "catalog": st.sampled_from([None, "", "hive", "tpch"]),
            "schema": st.sampled_from([None, "sales", "x"]),
            "query": st.sampled_from(TEXTS),
            "cpuTime": st.floats(0, 1e6),
            "peakUserMemoryBytes": st.integers(0, 2**45),
            "errorName": st.sampled_from(ERRORS),
        }
    )
    return st.lists(drawn, max_size=most).map(lambda found: [labelled_row(n, **row) for n, row in enumerate(found)])


OPTIONS = st.builds(
    HistoryOptions,
    delay=st.sampled_from([0, 3600, 90_000]).map(lambda seconds: timedelta(seconds=seconds)),
    window_days=st.sampled_from([None, 1, 3]),
    strength=st.sampled_from([1.0, 20.0]),
)


def opened(folder: Path, days: Path, day: date, options: HistoryOptions) -> HistorySnapshot:
    return HistorySnapshot.open(history.write_snapshot(engine(folder), days, day, options, folder / f"{day}"))


def keys(rows: Sequence[Row]) -> list[Key]:
    seen: list[Key] = [(row["user"], row["catalog"], row["schema"], row["template"]) for row in rows]
    return [*seen, ("nobody", "hive", "nowhere", "0" * 32)]


@settings(max_examples=8, deadline=None)
@given(rows_of(14), OPTIONS)
def test_snapshots_and_asked_rows_are_a_slow_count_of_every_row(rows: list[Row], options: HistoryOptions) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        days = gathered(folder, rows, options)
        values = batch(folder, days, rows, options)
        for number in (2, DAYS + 2):
            day = START + timedelta(days=number)
            snapshot = opened(folder, days, day, options)
            for key in keys(rows):
                found = snapshot.features(*key)
                expected = slow_features(rows, day, key, options)
                assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=2e-6, nan_ok=True)
            of_day = [place for place, row in enumerate(rows) if row["createTime"].date() == day]
            for place, key in zip(of_day, keys([rows[place] for place in of_day]), strict=False):
                assert values[place].tobytes() == snapshot.features(*key).tobytes()


@settings(max_examples=8, deadline=None)
@given(rows_of(14), OPTIONS, st.integers(0, DAYS * 24).map(lambda hours: MIDNIGHT + timedelta(hours=hours)))
def test_what_ended_after_a_moment_changes_no_row_before_it(
    rows: list[Row], options: HistoryOptions, moment: datetime
) -> None:
    before = [row for row in rows if row["createTime"] <= moment]
    with TemporaryDirectory() as place:
        whole, rest = Path(place) / "whole", Path(place) / "rest"
        all_days = gathered(whole, rows, options)
        rest_days = gathered(rest, [row for row in rows if row["endTime"] <= moment], options)
        if before:
            assert (
                batch(whole, all_days, before, options).tobytes() == batch(rest, rest_days, before, options).tobytes()
            )


@settings(max_examples=8, deadline=None)
@given(rows_of(10).filter(len), st.data())
def test_a_querys_own_outcome_never_enters_its_history(rows: list[Row], data: st.DataObject) -> None:
    own = data.draw(st.integers(0, len(rows) - 1))
    other = {"cpuTime": 7777.0, "peakUserMemoryBytes": 2**44, "errorName": "EXCEEDED_CPU_LIMIT", "is_heavy": True}
    changed = [{**row, **other} if place == own else row for place, row in enumerate(rows)]
    with TemporaryDirectory() as place:
        found = [
            batch(folder, gathered(folder, some, HistoryOptions()), [rows[own]], HistoryOptions()).tobytes()
            for folder, some in ((Path(place) / "as_it_was", rows), (Path(place) / "changed", changed))
        ]
    assert found[0] == found[1]


@settings(max_examples=4, deadline=None)
@given(rows_of(14), st.sampled_from([timedelta(0), timedelta(hours=1)]))
def test_a_snapshot_is_that_of_the_day_before_and_what_ended_in_between(rows: list[Row], delay: timedelta) -> None:
    options = HistoryOptions(delay)
    with TemporaryDirectory() as place:
        folder = Path(place)
        days = gathered(folder, rows, options)
        for number in (1, 3, 4, DAYS + 3):
            day = START + timedelta(days=number)
            known = [row for row in rows if is_known(row, day, options)]
            again = folder / f"scratch_{number}"
            alone = opened(again, gathered(again, known, options), day, options)
            grown = opened(folder, days, day, options)
            assert grown.totals == alone.totals
            for key in keys(rows):
                assert grown.features(*key).tobytes() == alone.features(*key).tobytes()


def test_a_query_that_runs_for_days_counts_when_it_has_ended(tmp_path: Path) -> None:
    rows = [labelled_row(1, MIDNIGHT + timedelta(hours=1), timedelta(days=3), cpuTime=500.0, user="ann")]
    days = gathered(tmp_path, rows, HistoryOptions())
    found = {
        number: opened(tmp_path, days, START + timedelta(days=number), HistoryOptions()).totals["queries"]
        for number in range(1, 6)
    }
    assert found == {1: 0, 2: 0, 3: 0, 4: 1, 5: 1}


def test_one_that_takes_no_time_at_midnight_is_not_in_its_own_days_history(tmp_path: Path) -> None:
    rows = [labelled_row(1, MIDNIGHT, timedelta(0), user="ann")]
    days = gathered(tmp_path, rows, HistoryOptions())
    found = [opened(tmp_path, days, START + timedelta(days=n), HistoryOptions()).totals["queries"] for n in (0, 1)]
    assert found == [0, 1]


@given(st.integers(1, 40), st.integers(0, 39), st.randoms(use_true_random=False))
def test_a_row_alone_has_the_bits_of_the_row_among_others(rows: int, place: int, chance) -> None:
    place %= rows
    names = {name for columns in BLOCKS.values() for name in columns}
    sums = {name: np.array([1 + chance.random() * 10 ** chance.randint(0, 9) for _ in range(rows)]) for name in names}
    prior = {name: np.array([chance.random() + 0.1]) for name in ("queries", "heavy", "failed")}
    together = history_values.all_values(dict.fromkeys(BLOCKS, sums), prior, 20.0)
    alone = {name: values[place : place + 1] for name, values in sums.items()}
    assert history_values.all_values(dict.fromkeys(BLOCKS, alone), prior, 20.0).tobytes() == together[place].tobytes()


def test_each_kind_of_key_has_its_columns() -> None:
    columns = [place for kind in history_values.PLACES.values() for place in range(kind.start, kind.stop)]
    assert sorted([*columns, history_values.IS_NEW_USER]) == list(range(len(HISTORICAL_NAMES)))


def test_a_snapshot_tells_its_age_and_refuses_what_is_none(tmp_path: Path) -> None:
    options = HistoryOptions(timedelta(hours=2), 30)
    snapshot = opened(tmp_path, gathered(tmp_path, [], options), START, options)
    assert snapshot.age_seconds(MIDNIGHT + timedelta(minutes=1)) == 2 * 3600 + 60
    assert (snapshot.options, snapshot.day) == (options, START)
    assert math.isnan(snapshot.features("ann", None, None, "0" * 32)[1])
    with pytest.raises(ValueError, match="no zone"):
        snapshot.age_seconds(datetime(2026, 1, 1))
    content = json.loads((tmp_path / f"{START}" / history.NAME).read_text())
    assert content["keys"] == dict.fromkeys(history.TABLES, 0)
    (tmp_path / f"{START}" / history.NAME).write_text("{}")
    with pytest.raises(SnapshotError, match="take the folder history/"):
        HistorySnapshot.open(tmp_path / f"{START}")


@pytest.mark.parametrize("wrong", [{"delay": timedelta(seconds=-1)}, {"window_days": 0}, {"strength": 0}])
def test_options_that_count_nothing_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=r"no whole number|holds no query|does not shrink"):
        HistoryOptions(**wrong)
