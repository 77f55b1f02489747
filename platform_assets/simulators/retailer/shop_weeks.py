"""The fiscal calendar: weeks from Monday to Sunday, named YYYYWW, in years that start on the last Monday of February.

Some years have 53 weeks, so that arithmetic on YYYYWW is as wrong here as it is in the real calendar.
What does not belong here: which of the weeks have rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

FIRST_MONDAY = date(2006, 4, 10)
CALENDAR_FILE = "time.csv"


@dataclass(frozen=True)
class ShopWeek:
    """One fiscal week: its place in the calendar from 0, its name YYYYWW as a number, and its Monday."""

    position: int
    name: int
    monday: date

    @property
    def dates(self) -> np.ndarray:
        """(7,) YYYYMMDD as numbers, Monday to Sunday."""
        return _numbers([self.monday + timedelta(days=day) for day in range(7)])

    @property
    def dates_after(self) -> np.ndarray:
        """(7,) the same weekdays one week later."""
        return _numbers([self.monday + timedelta(days=7 + day) for day in range(7)])


def shop_weeks(count: int) -> list[ShopWeek]:
    """The first `count` weeks of the calendar."""
    mondays = [FIRST_MONDAY + timedelta(weeks=position) for position in range(count)]
    return [ShopWeek(position, _name(monday), monday) for position, monday in enumerate(mondays)]


def write_calendar(folder: Path, weeks: list[ShopWeek]) -> None:
    """time.csv: every week, with or without rows."""
    lines = ["shop_week,date_from,date_to"]
    lines += [f"{week.name},{week.dates[0]},{week.dates[-1]}" for week in weeks]
    (folder / CALENDAR_FILE).write_text("\n".join(lines) + "\n")


def _name(monday: date) -> int:
    year = monday.year if monday >= _year_start(monday.year) else monday.year - 1
    return year * 100 + (monday - _year_start(year)).days // 7 + 1


def _year_start(year: int) -> date:
    last = date(year, 3, 1) - timedelta(days=1)
    return last - timedelta(days=last.weekday())


def _numbers(days: list[date]) -> np.ndarray:
    return np.array([day.year * 10_000 + day.month * 100 + day.day for day in days], np.int32)
