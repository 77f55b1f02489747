"""The split of weeks by the last week known."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.world_model.splits import LEAST_WEEKS, SplitError, split_weeks

CALENDAR = [(date(2006, 4, 10) + timedelta(weeks=n)).isoformat() for n in range(140)]


def test_the_documented_split_is_that_of_week_117() -> None:
    split = split_weeks(CALENDAR, CALENDAR[116])
    assert [CALENDAR.index(week) + 1 for week in (*split.train[::79], *split.validation[::14], *split.test[::21])] == [
        1, 80, 81, 95, 96, 117,
    ]  # fmt: skip
    assert (len(split.train), len(split.validation), len(split.test)) == (80, 15, 22)


@given(st.integers(LEAST_WEEKS, len(CALENDAR)))
def test_a_split_parts_all_weeks_up_to_the_last_one_in_the_order_of_time(weeks: int) -> None:
    split = split_weeks(CALENDAR, CALENDAR[weeks - 1])
    assert list(split.weeks) == CALENDAR[:weeks]
    assert split.train
    assert (len(split.validation), len(split.test)) == (15, 22)
    assert {split.part(week) for week in split.test} == {"test"}
    assert [split.part(week) for week in split.weeks] == sorted(
        (split.part(week) for week in split.weeks), key=["train", "validation", "test"].index
    )


@given(st.integers(LEAST_WEEKS, len(CALENDAR) - 1))
def test_a_further_week_moves_each_part_on_by_one(weeks: int) -> None:
    before, after = (split_weeks(CALENDAR, CALENDAR[n - 1]) for n in (weeks, weeks + 1))
    assert after.train == (*before.train, before.validation[0])
    assert after.test == (*before.test[1:], CALENDAR[weeks])


@given(st.integers(1, LEAST_WEEKS - 1))
def test_too_few_weeks_are_refused_with_how_many_it_takes(weeks: int) -> None:
    with pytest.raises(SplitError, match=rf"{weeks} weeks end with .*needs 38: 22 of test, 15 of validation"):
        split_weeks(CALENDAR, CALENDAR[weeks - 1])


def test_a_week_of_no_calendar_is_refused() -> None:
    with pytest.raises(SplitError, match="2006-04-11 is not in the calendar"):
        split_weeks(CALENDAR, "2006-04-11")
    with pytest.raises(SplitError, match="no week at all"):
        split_weeks([], "2006-04-10")
    with pytest.raises(SplitError, match="in no part"):
        split_weeks(CALENDAR, CALENDAR[50]).part(CALENDAR[51])
