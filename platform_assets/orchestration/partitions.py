"""The calendars, and the only place that converts between a partition's key and a dataset's date.

Dagster names a window by its start; people and the documented dataset path name a week by its END date:
`datasets/planner/2025-01-10/` holds 2025-01-03 .. 2025-01-09, and its partition key is 2025-01-03. Mixing the two up
reads a neighbouring week without any error, so both conversions live here and refuse a date that is not a Friday.

A retail week is named by its Monday, the first day of the retailer's fiscal week; the retailer's own number of it
(SHOP_WEEK) is read from the retailer's calendar when a run needs it, and never computed from a date.

Every window is half-open and in UTC. Sizes of look-backs belong to the assets that declare them, not here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from platform_assets.core.settings import Settings

_MONDAY, _FRIDAY = 0, 4
_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)


def planner_daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per UTC day from planner_start, up to but excluding planner_end (unset: every day that has ended)."""
    end = settings.planner_end.isoformat() if settings.planner_end else None
    return dg.DailyPartitionsDefinition(start_date=settings.planner_start.isoformat(), end_date=end, timezone="UTC")


def planner_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The whole weeks of the calendar, Friday 00:00 UTC to Friday 00:00 UTC; the key is the first Friday.

    A calendar that starts inside a week has its first week at the next Friday, and one that ends inside a week loses
    that week: a dataset of four days under a week's name would be judged and trained on as if it were complete.
    """
    start = _first_from(settings.planner_start, _FRIDAY)
    end = settings.planner_end
    # Dagster itself drops the window that the end cuts; aligned here too so that the rule does not rest on it.
    last = _first_from(end - 6 * _DAY, _FRIDAY).isoformat() if end else None
    return dg.WeeklyPartitionsDefinition(start_date=start.isoformat(), end_date=last, day_offset=5, timezone="UTC")


def planner_evaluated_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The weeks that a model of the week before can be judged on: all but the calendar's first."""
    first = _first_from(settings.planner_start, _FRIDAY) + _WEEK
    end = planner_weekly(settings).end
    return dg.WeeklyPartitionsDefinition(
        start_date=first.isoformat(), end_date=end.date().isoformat() if end else None, day_offset=5, timezone="UTC"
    )


def retail_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The whole weeks of the retail calendar, Monday 00:00 UTC to Monday 00:00 UTC; the key is the Monday.

    Cut at whole weeks as `planner_weekly` is. Fiscal weeks of the retailer are Monday to Sunday, which its calendar file is
    held to at run time; no file is read here.
    """
    start, end = retail_first_week(settings), settings.retail_end
    last = _first_from(end - 6 * _DAY, _MONDAY).isoformat() if end else None
    return dg.WeeklyPartitionsDefinition(start_date=start, end_date=last, day_offset=1, timezone="UTC")


def retail_known_weekly(settings: Settings, least_weeks: int) -> dg.WeeklyPartitionsDefinition:
    """The retail weeks that can be the last one known of a split: those with `least_weeks` weeks of the calendar up to them."""
    weekly, first = retail_weekly(settings), date.fromisoformat(retail_first_week(settings))
    start = (first + (least_weeks - 1) * _WEEK).isoformat()
    end = weekly.end.date().isoformat() if weekly.end else None
    return dg.WeeklyPartitionsDefinition(start_date=start, end_date=end, day_offset=1, timezone="UTC")


def retail_first_week(settings: Settings) -> str:
    """The key of the retail calendar's first week."""
    return _first_from(settings.retail_start, _MONDAY).isoformat()


def retail_weeks_up_to(week_key: str, first: str) -> list[str]:
    """The retail weeks from `first` to `week_key`, both included, oldest first. ValueError unless both are Mondays."""
    start, last = (_first_day(key, _MONDAY, "retail week key") for key in (first, week_key))
    return [(start + i * _WEEK).isoformat() for i in range((last - start) // _WEEK + 1)]


def trino_daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per UTC day from trino_start, up to but excluding trino_end (unset: every day that has ended)."""
    end = settings.trino_end.isoformat() if settings.trino_end else None
    return dg.DailyPartitionsDefinition(start_date=settings.trino_start.isoformat(), end_date=end, timezone="UTC")


def trino_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The whole weeks of the query predictor's calendar, Monday to Monday, cut as `retail_weekly` is; the key is the Monday."""
    return trino_known_weekly(settings, 7)


def trino_known_weekly(settings: Settings, days: int) -> dg.WeeklyPartitionsDefinition:
    """The weeks of `trino_weekly` up to whose Sunday, it included, the calendar has `days` days (7 or more).

    What is made of that many days and known at the end of a week is keyed by that week.
    """
    if days < 7:
        raise ValueError(f"trino_known_weekly of {days} days: a week alone has 7")
    start, end = _first_from(settings.trino_start + (days - 7) * _DAY, _MONDAY), settings.trino_end
    last = _first_from(end - 6 * _DAY, _MONDAY).isoformat() if end else None
    return dg.WeeklyPartitionsDefinition(start_date=start.isoformat(), end_date=last, day_offset=1, timezone="UTC")


def days_up_to_week_end(n: int) -> dg.TimeWindowPartitionMapping:
    """Weekly on daily: each week reads the `n` days up to its last one, it included, cut at the calendar's start.

    Offsets are whole weeks: where `n` is none, the mapping names some earlier days of the first week too. Those a week waits
    for and follows without reading them; the other way round, days that it reads would change unnoticed.
    """
    if n < 1:
        raise ValueError(f"days_up_to_week_end({n}): ask for 1 day or more")
    return dg.TimeWindowPartitionMapping(start_offset=-((n - 1) // 7))


def weeks_before(n: int) -> dg.TimeWindowPartitionMapping:
    """Weekly on weekly: each week reads itself and the `n` weeks before it, cut at the calendar's start."""
    return days_before(n)


def all_weeks_up_to() -> dg.TimeWindowPartitionMapping:
    """Weekly on weekly: each week reads itself and every week before it, up to 40 years, cut at the calendar's start."""
    return days_before(40 * 52)


def week_before() -> dg.TimeWindowPartitionMapping:
    """Weekly on weekly: each evaluated week reads what the week before it became."""
    return dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def days_before(n: int) -> dg.TimeWindowPartitionMapping:
    """Daily on daily: each day reads itself and the `n` days before it.

    Dagster cuts an offset at the upstream calendar's first day, so the first days look back less far without an error
    (and without `allow_nonexistent_upstream_partitions`, a beta switch that would warn at every load). A test holds it
    to that. Raises ValueError for a negative n.
    """
    if n < 0:
        raise ValueError(f"days_before({n}): a look-back is a number of days of 0 or more")
    return dg.TimeWindowPartitionMapping(start_offset=-n)


def days_in_week() -> dg.TimeWindowPartitionMapping:
    """Weekly on daily: each week reads exactly its seven days.

    No offset: Dagster counts offsets in units of the DOWNSTREAM, so `start_offset=-1` here would mean seven more days.
    A day that the calendar does not have is an error, since a week without it could never be complete.
    """
    return dg.TimeWindowPartitionMapping()


def dataset_date(week_key: str) -> str:
    """The date that names a week's dataset, its end: '2025-01-03' -> '2025-01-10'. ValueError unless a Friday."""
    return (_friday(week_key, "week key") + _WEEK).isoformat()


def week_key(dataset_date: str) -> str:
    """The partition key of the week that a dataset is named after: '2025-01-10' -> '2025-01-03'."""
    return (_friday(dataset_date, "dataset date") - _WEEK).isoformat()


def days_of_week(week_key: str) -> list[str]:
    """The keys of a week's seven days, in order. ValueError unless the key is a Friday."""
    first = _friday(week_key, "week key")
    return [(first + i * _DAY).isoformat() for i in range(7)]


def week_of_day(day_key: str) -> str:
    """The key of the week that contains a day; the calendar need not have that week."""
    day = _day(day_key)
    return (day - _DAY * ((day.weekday() - _FRIDAY) % 7)).isoformat()


def trailing_weeks(week_key: str, n: int) -> list[str]:
    """The `n` week keys that end with `week_key` (included), oldest first; not clipped to any calendar's start."""
    if n < 1:
        raise ValueError(f"trailing_weeks of {n} weeks: ask for 1 or more")
    last = _friday(week_key, "week key")
    return [(last - i * _WEEK).isoformat() for i in reversed(range(n))]


def previous_week(week_key: str) -> str:
    """The key of the week before."""
    return (_friday(week_key, "week key") - _WEEK).isoformat()


def weeks_between(earlier: str, later: str) -> int:
    """How many weeks one week key lies after another. ValueError unless both begin on the same day of the week."""
    apart = _day(later) - _day(earlier)
    if apart % _WEEK:
        raise ValueError(f"{earlier} and {later} are no keys of one weekly calendar: they are {apart.days} days apart")
    return apart // _WEEK


def days_in(first: date, last: date) -> list[str]:
    """The day keys from `first` to `last`, both included; none when last is before first."""
    return [(first + i * _DAY).isoformat() for i in range((last - first).days + 1)]


def days_up_to(day_key: str, n: int, first: str) -> list[str]:
    """The `n` days before a day, and the day itself, cut at the calendar's `first` day."""
    day = _day(day_key)
    return days_in(max(day - n * _DAY, _day(first)), day)


def days_after(day_key: str, n: int) -> list[str]:
    """The `n` days after a day."""
    return days_in(_day(day_key) + _DAY, _day(day_key) + n * _DAY)


def days_between(first: date, key: str) -> int:
    """How many days a partition starts after `first`."""
    return (_day(key) - first).days


def day_window(key: str) -> tuple[datetime, datetime]:
    """The half-open window [start, end) of a day, in UTC: select with `start <= t and t < end`, never BETWEEN."""
    day = _day(key)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + _DAY


def _day(key: str) -> date:
    # fromisoformat also reads 20250103 and 2025-W01-5, which are no partition keys.
    try:
        day = date.fromisoformat(key)
    except ValueError:
        day = None
    if day is None or day.isoformat() != key:
        raise ValueError(f"{key!r} is not a date written YYYY-MM-DD")
    return day


def _friday(key: str, meaning: str) -> date:
    return _first_day(key, _FRIDAY, meaning)


def _first_day(key: str, weekday: int, meaning: str) -> date:
    day = _day(key)
    if day.weekday() != weekday:
        start = day - _DAY * ((day.weekday() - weekday) % 7)
        expected = "Friday" if weekday == _FRIDAY else "Monday"
        raise ValueError(f"{key} is a {day:%A}, but a {meaning} is a {expected}; its week starts on {start}")
    return day


def _first_from(day: date, weekday: int) -> date:
    return day + _DAY * ((weekday - day.weekday()) % 7)
