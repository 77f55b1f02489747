"""When a basket was, as numbers: the four tables whose rows add up to T3 (64 wide), one each by day, weekday, hour and recency.

    week 16     sin, cos of 2 pi h w / 52, h = 1..8; w: week of the fiscal year, which begins on the last Monday of February
    weekday 8   one dimension each, Sunday first; Saturday or Sunday
    hour 8      sin, cos of 2 pi h hour / 24, h = 1..4
    holiday 8   is one; exp(-d/3), exp(-d/14) of the days until the next and of those since the last; exp(-d) of the nearer;
                exp(-d/14) of the days until Christmas and until Easter Sunday
    season 8    sin, cos of 2 pi h d / 365.2425, h = 1..4; d: day of the year
    trend 8     sin, cos of 2 pi t / T, T = 2, 4, 8, 16; t: years since the first day. Bounded: later weeks are extrapolated to
    recency 8   known; log(1 + d) / log(366); exp(-d/T), T = 1, 3, 7, 14, 28, 91; d: days since the customer's last basket

Holidays are the bank holidays of England by rule: a calendar of them would end some day. What a table's row is added to does
not belong here (`world_model.encoder`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]

WIDTH = 64
WEEK, WEEKDAY, HOUR, HOLIDAY = slice(0, 16), slice(16, 24), slice(24, 32), slice(32, 40)
SEASON, TREND, RECENCY = slice(40, 48), slice(48, 56), slice(56, 64)
YEAR = 365.2425
TREND_YEARS = np.array([2, 4, 8, 16])
RECENCY_DAYS = np.array([1, 3, 7, 14, 28, 91])


def day_table(first: date, days: int) -> Table:
    """[days, 64]: week, holiday, season and trend of each day from the first."""
    table = np.zeros((days, WIDTH), np.float32)
    dates = [first + timedelta(days=number) for number in range(days)]
    weeks = np.array([fiscal_week(day) for day in dates])
    of_year = np.array([day.timetuple().tm_yday for day in dates])
    table[:, WEEK] = _waves(weeks[:, None] * np.arange(1, 9) / 52)
    table[:, HOLIDAY] = [_holiday_code(day) for day in dates]
    table[:, SEASON] = _waves(of_year[:, None] * np.arange(1, 5) / YEAR)
    table[:, TREND] = _waves(np.arange(days)[:, None] / YEAR / TREND_YEARS)
    return table


def weekday_table() -> Table:
    """[8, 64], by the weekday from 1, Sunday."""
    table = np.zeros((8, WIDTH), np.float32)
    table[1:, WEEKDAY][:, :7] = np.eye(7)
    table[[1, 7], WEEKDAY.stop - 1] = 1
    return table


def hour_table() -> Table:
    """[24, 64], by the hour."""
    table = np.zeros((24, WIDTH), np.float32)
    table[:, HOUR] = _waves(np.arange(24)[:, None] * np.arange(1, 5) / 24)
    return table


def recency_table(days: int) -> Table:
    """[days + 2, 64], by 1 + the days since the last basket, up to `days`; row 0: there was none, all zero."""
    table = np.zeros((days + 2, WIDTH), np.float32)
    since = np.arange(days + 1)[:, None]
    table[1:, RECENCY] = np.hstack([np.ones_like(since), np.log1p(since) / np.log(366), np.exp(-since / RECENCY_DAYS)])
    return table


def fiscal_week(day: date) -> int:
    """Weeks since the fiscal year began, from 0."""
    start = _last_monday(day.year, 2)
    if day < start:
        start = _last_monday(day.year - 1, 2)
    return (day - start).days // 7


@cache
def holidays(year: int) -> tuple[date, ...]:
    """The bank holidays of England in a year, in order; those on a weekend are taken on the next days that are none."""
    easter = easter_sunday(year)
    may = date(year, 5, 1)
    fixed = [
        _moved(date(year, 1, 1)), easter - timedelta(days=2), easter + timedelta(days=1),
        may + timedelta(days=-may.weekday() % 7), _last_monday(year, 5), _last_monday(year, 8),
    ]  # fmt: skip
    christmas = date(year, 12, 25)
    # Of the two days, one that falls on a weekend moves behind both.
    christmas_days = {4: (0, 3), 5: (2, 3), 6: (1, 2)}.get(christmas.weekday(), (0, 1))
    return tuple(sorted([*fixed, *(christmas + timedelta(days=days) for days in christmas_days)]))


def easter_sunday(year: int) -> date:
    """Of the Gregorian calendar, by the anonymous rule (Nature, 20 April 1876)."""
    century, rest = divmod(year, 100)
    moon = (19 * (year % 19) + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (rest // 4) - moon - rest % 4) % 7
    month = (year % 19 + 11 * moon + 22 * weekday) // 451
    number = moon + weekday - 7 * month + 114
    return date(year, number // 31, number % 31 + 1)


def _holiday_code(day: date) -> list[float]:
    around = [each for year in (day.year - 1, day.year, day.year + 1) for each in holidays(year)]
    until = (around[bisect_left(around, day)] - day).days
    since = (day - around[bisect_right(around, day) - 1]).days
    christmas = (date(day.year if (day.month, day.day) <= (12, 25) else day.year + 1, 12, 25) - day).days
    easter = (next(each for year in (day.year, day.year + 1) if (each := easter_sunday(year)) >= day) - day).days
    faded = np.exp(
        [-until / 3, -until / 14, -since / 3, -since / 14, -min(until, since), -christmas / 14, -easter / 14]
    )
    return [float(until == 0), *faded.tolist()]


def _moved(day: date) -> date:
    """The day itself, or the Monday after a weekend."""
    return day + timedelta(days=7 - day.weekday() if day.weekday() > 4 else 0)


def _last_monday(year: int, month: int) -> date:
    last = date(year, month + 1, 1) - timedelta(days=1)
    return last - timedelta(days=last.weekday())


def _waves(turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sines, then cosines, of angles given in whole turns."""
    return np.hstack([np.sin(2 * np.pi * turns), np.cos(2 * np.pi * turns)])
