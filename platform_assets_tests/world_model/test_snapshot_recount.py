"""Snapshots are held to a second count of the baskets before them: one that looks a week too far is found out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import cache_quality, customer_features, customer_quality, snapshot_recount
from platform_assets.world_model.customer_features import SNAPSHOTS
from platform_assets.world_model.customer_quality import Written
from platform_assets_tests.world_model import cache_world
from platform_assets_tests.world_model.customer_visits import (
    BASKET_SCHEMA,
    WEEKS,
    Visit,
    a_split,
    built,
    codes,
    snapshots,
)

BOUGHT = ((0, 1, 1.0), (1, 2, 3.0))
# All but the last come again; that one only later than any snapshot.
VISITS = [
    Visit(week, 1, 10, name, "Top Up", BOUGHT)
    for name, weeks in {"a": (0, 2, 4, 9), "b": (1, 3, 5, 8), "c": (0, 7), "d": (13,)}.items()
    for week in weeks
]


def outcomes(folder: Path, visits: Sequence[Visit]) -> dict[str, Outcome]:
    made = built(visits, folder)
    files = [folder / f"baskets_{week}.parquet" for week in a_split().weeks]
    found = customer_quality.outcomes(Engine(folder / "scratch"), Written(made.files, a_split().weeks), files)
    return {each.name: each for each in found}


def test_a_builder_that_looks_one_week_too_far_is_caught_and_by_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = outcomes(tmp_path / "honest", VISITS)
    assert all(each.passed for each in honest.values())
    assert honest["earlier_weeks_only"].metadata == {"customers": 3, "differences": 0}

    add_week = customer_features._add_week

    def too_far(histories, weeks, week, codes, constants) -> None:
        for each in (0, 1) if week == 0 else (week + 1,):
            add_week(histories, weeks, each, codes, constants)

    monkeypatch.setattr(customer_features, "_add_week", too_far)
    found = outcomes(tmp_path / "too_far", VISITS)
    assert [name for name, each in found.items() if not each.passed] == ["earlier_weeks_only"]
    reason = found["earlier_weeks_only"].reason
    # a came in weeks 0 and 2, and again in week 4, which snapshot 1 must not know.
    assert f"customer a in snapshot 1: log_trips is 1.3867, and by the baskets before {WEEKS[4]} 1.0986" in reason
    assert (
        f"customer a in snapshot 1: years_since_last is 0.0000, and by the baskets before {WEEKS[4]} 0.0385" in reason
    )
    assert "customer b in snapshot 2: log_trips" in reason


def test_a_tensor_cache_whose_snapshots_are_a_block_ahead_fails_its_check(tmp_path: Path) -> None:
    inputs = cache_world.write_inputs(tmp_path / "inputs", cache_world.some_baskets(150))
    engine, split = Engine(tmp_path / "spill", threads=1), cache_world.SPLIT
    honest = cache_world.build(tmp_path / "honest", inputs)
    assert all(each.passed for each in cache_quality.outcomes(engine, honest, inputs, split))

    path = inputs.customer_features / SNAPSHOTS
    found = np.load(path)
    ahead, known = np.roll(found, -1, axis=0), found.any(axis=2)
    ahead[-1] = found[-1]
    # Of those who have come before: who has not is told from the first visit alone.
    np.save(path, np.where(known[:, :, None], ahead, 0))
    folder = cache_world.build(tmp_path / "ahead", inputs)
    (failed,) = [each for each in cache_quality.outcomes(engine, folder, inputs, split) if not each.passed]
    assert failed.name == "no_leak"
    assert "in snapshot 1: years_since_first is 0.1538, and by the baskets before 2006-05-08 0.0769" in failed.reason


def test_of_many_customers_always_the_same_few_are_counted_whatever_the_order_of_rows(tmp_path: Path) -> None:
    visits = [
        Visit(week, 2, 9, f"C{number:03}", "XX", BOUGHT)
        for number in range(snapshot_recount.MOST_CUSTOMERS + 40)
        for week in (0, 6)
    ]
    made = built(visits, tmp_path)
    files = [tmp_path / f"baskets_{week}.parquet" for week in a_split().weeks]
    engine, (drawn, expected) = Engine(tmp_path / "scratch"), counted(tmp_path, files)
    assert len(drawn) == snapshot_recount.MOST_CUSTOMERS < len(codes(made))
    for path in (files[0], files[6]):
        rows = pq.read_table(path).to_pylist()
        random.Random(3).shuffle(rows)
        pq.write_table(pa.Table.from_pylist(rows, BASKET_SCHEMA), path)
    again, same = counted(tmp_path, files)
    assert again == drawn
    assert np.array_equal(same, expected)
    rows = {code: number for number, code in enumerate(codes(made), 1)}
    told = snapshot_recount.recount(engine, files, snapshots(made), rows.__getitem__, a_split().weeks)
    assert (told.customers, told.faults) == (snapshot_recount.MOST_CUSTOMERS, [])


def counted(folder: Path, files: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    return snapshot_recount._expected(Engine(folder / "scratch", threads=2), files, 4, a_split().weeks)


def test_one_trip_more_is_noticed_of_a_customer_with_two_hundred() -> None:
    came, begins = np.array([0, 1]), np.array([4])
    (fewer,), (more,) = (
        snapshot_recount._habits(came, np.array([[trips, trips], [1, 1]]), begins) for trips in (200, 201)
    )
    stored = np.asarray([more], np.float16).astype(np.float64)
    told = list(snapshot_recount._differences(1, ["a"], stored, np.asarray([fewer]), WEEKS))
    assert len(told) == 2
    assert not list(snapshot_recount._differences(1, ["a"], stored, np.asarray([more]), WEEKS))


def test_without_a_returning_customer_nothing_is_counted(tmp_path: Path) -> None:
    found = outcomes(tmp_path, [Visit(3, 0, 9, None, "XX", BOUGHT), Visit(4, 0, 9, "a", "XX", BOUGHT)])
    assert found["earlier_weeks_only"].metadata == {"customers": 0, "differences": 0}
