"""The retailer's calendar: numbers and keys of weeks are looked up, and a file that is not whole is refused."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.world_model.shop_calendar import CalendarError, read_calendar
from platform_assets_tests.world_model.raw_rows import calendar_text


def test_a_key_is_the_monday_of_the_week_that_the_file_gives_a_number() -> None:
    calendar = read_calendar(calendar_text())
    assert (calendar.week("2006-04-10").number, calendar.key(200607)) == (200607, "2006-04-10")
    assert calendar.week("2006-05-01").last == date(2006, 5, 7)
    assert calendar.numbers == {200607, 200608, 200609, 200610}


def test_numbers_need_no_rule_as_at_the_end_of_a_fiscal_year() -> None:
    calendar = read_calendar(calendar_text(date(2007, 2, 12), (200651, 200652, 200701, 200753, 200801)))
    assert [week.key for week in calendar.weeks][2:4] == ["2007-02-26", "2007-03-05"]
    assert calendar.key(200753) == "2007-03-05"


@given(st.integers(1, 60), st.randoms())
def test_every_week_is_found_by_its_key_whatever_the_order_of_the_lines(weeks: int, random) -> None:
    numbers = sorted(random.sample(range(200001, 209999), weeks))
    header, *lines = calendar_text(numbers=numbers).splitlines()
    random.shuffle(lines)
    calendar = read_calendar("\ufeff" + "\r\n".join([header, *lines]))
    for position, number in enumerate(numbers):
        key = (date(2006, 4, 10) + timedelta(weeks=position)).isoformat()
        assert calendar.key(number) == key
        assert calendar.week(key).number == number


@pytest.mark.parametrize("key", ["2006-04-03", "2006-05-08", "2006-04-11", "soon"])
def test_a_key_that_the_calendar_does_not_hold_is_refused(key: str) -> None:
    with pytest.raises(CalendarError, match=key):
        read_calendar(calendar_text()).week(key)


def test_a_number_that_the_calendar_does_not_hold_is_refused() -> None:
    with pytest.raises(CalendarError, match="200611"):
        read_calendar(calendar_text()).key(200611)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "lacks shop_week, date_from, date_to"),
        ("shop_week,date_from\n200607,20060410\n", "lacks date_to"),
        ("shop_week,date_from,date_to\n", "holds no week"),
        (
            "shop_week,date_from,date_to\n200607,20060411,20060417\n",
            r"line 2: week 200607 .*Tuesday.*not Monday to Sunday",
        ),
        ("shop_week,date_from,date_to\n200607,20060410,20060423\n", "not Monday to Sunday"),
        ("shop_week,date_from,date_to\n2006-7,20060410,20060416\n", "not six digits"),
        ("shop_week,date_from,date_to\n200607,20060410,then\n", "'then' is not a date"),
        ("shop_week,date_from,date_to\n200607,20060410\n", "'' is not a date"),
        (
            "shop_week,date_from,date_to\n200607,20060410,20060416\n200609,20060424,20060430\n",
            "nothing between week 200607",
        ),
        ("shop_week,date_from,date_to\n200607,20060410,20060416\n200608,20060410,20060416\n", "overlap on 2006-04-10"),
        ("shop_week,date_from,date_to\n200607,20060410,20060416\n200607,20060417,20060423\n", "numbers must rise"),
    ],
)
def test_a_calendar_that_is_not_whole_is_refused_with_what_is_wrong(text: str, fault: str) -> None:
    with pytest.raises(CalendarError, match=fault):
        read_calendar(text)
