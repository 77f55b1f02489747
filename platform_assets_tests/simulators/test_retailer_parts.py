"""Slot tables, apportionment and the fiscal calendar of the simulated retailer, against slow and obvious oracles."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.simulators.retailer.shop_weeks import shop_weeks
from platform_assets.simulators.retailer.slots import apportion, slot_table, slot_tables

WEIGHTS = st.lists(st.floats(0, 100), min_size=1, max_size=30).filter(lambda weights: sum(weights) > 1e-3)


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.integers(4, 12), st.floats(0, 0.999))
def test_every_outcome_fills_its_share_of_the_slots_rounded_up_or_down(
    weights: list[float], bits: int, offset: float
) -> None:
    table = slot_table(np.array(weights), 1 << bits, offset)
    assert len(table) == 1 << bits
    for outcome, weight in enumerate(weights):
        assert abs((table == outcome).sum() - weight / sum(weights) * (1 << bits)) < 1 + 1e-6


def test_an_outcome_too_rare_for_a_slot_gets_its_share_over_many_tables() -> None:
    weights = np.array([1.0, 0.01, 1.0])
    offsets = np.random.default_rng(3).random(4_000)
    filled = np.mean([(slot_table(weights, 16, offset) == 1).sum() for offset in offsets])
    assert filled == pytest.approx(16 * 0.01 / 2.01, rel=0.25)


def test_tables_side_by_side_are_the_single_tables() -> None:
    weights = np.random.default_rng(5).random((3, 40))
    side_by_side = slot_tables(weights, 256, 0.2).reshape(3, 256)
    for row, table in zip(weights, side_by_side, strict=True):
        np.testing.assert_array_equal(slot_table(row, 256, 0.2), table)


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.integers(0, 3), st.integers(0, 500))
def test_apportioned_counts_sum_to_the_total_and_no_one_gets_less_than_the_least(
    weights: list[float], least: int, extra: int
) -> None:
    total = least * len(weights) + extra
    counts = apportion(total, np.array(weights), least)
    assert counts.sum() == total
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - least - extra * weight / sum(weights)) <= 1
        assert count >= least


def test_the_calendar_starts_where_the_real_one_does_and_turns_years_where_it_does() -> None:
    weeks = shop_weeks(117)
    assert (weeks[0].name, weeks[0].dates[0], weeks[0].dates[-1]) == (200607, 20060410, 20060416)
    names = {week.monday: week.name for week in weeks}
    assert names[date(2007, 2, 19)] == 200652
    assert names[date(2007, 2, 26)] == 200701
    assert names[date(2008, 2, 25)] == 200801
    assert weeks[-1].name == 200819


def test_weeks_follow_each_other_and_some_year_has_53_of_them() -> None:
    weeks = shop_weeks(700)
    assert all(after.monday - week.monday == timedelta(days=7) for week, after in pairwise(weeks))
    assert len({week.name for week in weeks}) == 700
    assert [week.name for week in weeks] == sorted(week.name for week in weeks)
    assert any(week.name % 100 == 53 for week in weeks)
    assert weeks[30].dates_after.tolist() == weeks[31].dates.tolist()
