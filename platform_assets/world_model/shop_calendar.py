"""The retailer's calendar: which SHOP_WEEK a week of days is, read from time.csv when a run needs it.

A week's number is only ever looked up here. Ranks of the weeks that have rows shift with every week that is missing from the
data, and arithmetic on YYYYWW breaks at the year's end; both would move the boundaries of train, validation and test.
What does not belong here: which weeks the platform has partitions for (`orchestration.partitions`).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from platform_assets.world_model.raw_schema import RawDataError

NAME = "time.csv"
COLUMNS = ("shop_week", "date_from", "date_to")
_DAYS = timedelta(days=6)


class CalendarError(RawDataError):
    """The calendar cannot be used, or does not hold what was asked for; the message names line, week and remedy."""


@dataclass(frozen=True)
class ShopWeek:
    """One fiscal week, Monday to Sunday; `key` is the partition's."""

    number: int
    first: date
    last: date

    @property
    def key(self) -> str:
        """The Monday, as a partition key."""
        return self.first.isoformat()


@dataclass(frozen=True)
class ShopCalendar:
    """The weeks of a calendar file, oldest first, one after the other without a gap."""

    weeks: tuple[ShopWeek, ...]

    @property
    def numbers(self) -> frozenset[int]:
        """Every SHOP_WEEK there is."""
        return frozenset(week.number for week in self.weeks)

    def week(self, key: str) -> ShopWeek:
        """The week that starts on a Monday, given as a partition key. Raises CalendarError when there is none."""
        position = (_read_key(key) - self.weeks[0].first).days
        if position % 7 or not 0 <= position // 7 < len(self.weeks):
            raise CalendarError(
                f"{NAME} holds no week that starts on {key}; it holds {self.weeks[0].key} to {self.weeks[-1].key}. "
                "Add the week to it, or set PLATFORM_RETAIL_START and PLATFORM_RETAIL_END to the weeks it holds"
            )
        return self.weeks[position // 7]

    def key(self, shop_week: int) -> str:
        """The partition key of a SHOP_WEEK. Raises CalendarError when there is none."""
        for week in self.weeks:
            if week.number == shop_week:
                return week.key
        raise CalendarError(f"{NAME} holds no SHOP_WEEK {shop_week}")


def read_calendar(text: str) -> ShopCalendar:
    """The calendar in a file's text; lines may stand in any order. Raises CalendarError for what cannot be used."""
    reader = csv.DictReader(text.removeprefix("\ufeff").splitlines())
    names = {name.strip().lower(): name for name in reader.fieldnames or ()}
    if missing := [name for name in COLUMNS if name not in names]:
        raise CalendarError(f"{NAME} lacks {', '.join(missing)}; its first line must name {', '.join(COLUMNS)}")
    rows = ([(row[names[name]] or "").strip() for name in COLUMNS] for row in reader)
    weeks = sorted((_read_week(row, line) for line, row in enumerate(rows, 2)), key=lambda week: week.first)
    if not weeks:
        raise CalendarError(f"{NAME} holds no week")
    _require_sequence(weeks)
    return ShopCalendar(tuple(weeks))


def _read_week(row: Sequence[str], line: int) -> ShopWeek:
    number, first, last = row
    if not re.fullmatch(r"\d{6}", number):
        raise CalendarError(f"{NAME}, line {line}: shop_week is {number!r}, not six digits")
    week = ShopWeek(int(number), *(_read_date(text, line) for text in (first, last)))
    if week.first.weekday() != 0 or week.last - week.first != _DAYS:
        raise CalendarError(
            f"{NAME}, line {line}: week {number} is {week.first} ({week.first:%A}) to {week.last} ({week.last:%A}), "
            "not Monday to Sunday"
        )
    return week


def _require_sequence(weeks: Sequence[ShopWeek]) -> None:
    for before, after in pairwise(weeks):
        if after.first <= before.last:
            raise CalendarError(f"{NAME}: weeks {before.number} and {after.number} overlap on {after.first}")
        if after.first - before.last != timedelta(days=1):
            raise CalendarError(
                f"{NAME}: nothing between week {before.number}, which ends on {before.last}, and week {after.number}, which "
                f"starts on {after.first}. A week without sales is still a week: add it"
            )
        # Names of files and of partitions of files are read as numbers of weeks; an order other than time's would be a typo.
        if after.number <= before.number:
            raise CalendarError(
                f"{NAME}: week {after.number} follows week {before.number}; numbers must rise with time"
            )


def _read_date(text: str, line: int) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CalendarError(f"{NAME}, line {line}: {text!r} is not a date written YYYYMMDD") from None


def _read_key(key: str) -> date:
    try:
        return date.fromisoformat(key)
    except ValueError:
        raise CalendarError(f"{key!r} is not the Monday of a week written YYYY-MM-DD") from None
