"""The calendars: which days and weeks exist, what maps to what, and key (start) against dataset date (end)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core.settings import Settings
from platform_assets.orchestration import partitions

DAYS = st.dates(min_value=date(2000, 1, 1), max_value=date(2100, 1, 1)).map(date.isoformat)
FRIDAYS = st.integers(0, 5000).map(lambda n: (date(2000, 1, 7) + timedelta(weeks=n)).isoformat())


def settings(start: str, end: str | None = None) -> Settings:
    unset = Settings.from_environment({})
    return replace(unset, planner_start=date.fromisoformat(start), planner_end=date.fromisoformat(end) if end else None)


def mapped(mapping: dg.PartitionMapping, downstream: dg.PartitionsDefinition, upstream: dg.PartitionsDefinition, *keys):
    """The upstream keys of `keys`, and the ones that Dagster requires although the calendar lacks them."""
    result = mapping.get_upstream_mapped_partitions_result_for_partitions(
        downstream.subset_with_partition_keys(keys), downstream, upstream
    )
    return sorted(result.partitions_subset.get_partition_keys()), sorted(
        result.required_but_nonexistent_subset.get_partition_keys()
    )


def test_the_daily_calendar_excludes_its_end_date():
    daily = partitions.planner_daily(settings("2025-01-01", "2025-01-04"))
    assert daily.get_partition_keys() == ["2025-01-01", "2025-01-02", "2025-01-03"]
    assert daily.timezone == "UTC"


def test_a_calendar_without_an_end_has_the_day_that_just_ended_and_not_the_current_one():
    daily = partitions.planner_daily(settings("2025-01-01"))
    assert daily.get_partition_keys(current_time=datetime(2025, 1, 9, 0, 1, tzinfo=UTC))[-1] == "2025-01-08"


def test_an_open_week_exists_only_once_it_is_over():
    weekly = partitions.planner_weekly(settings("2025-01-03"))
    assert weekly.get_partition_keys(current_time=datetime(2025, 1, 9, 23, 59, tzinfo=UTC)) == []
    assert weekly.get_partition_keys(current_time=datetime(2025, 1, 10, tzinfo=UTC)) == ["2025-01-03"]


@pytest.mark.parametrize(
    ("start", "end", "weeks"),
    [
        ("2025-01-03", "2025-01-17", ["2025-01-03", "2025-01-10"]),
        ("2025-01-01", "2025-01-18", ["2025-01-03", "2025-01-10"]),
        ("2025-01-04", "2025-01-23", ["2025-01-10"]),
        ("2025-01-04", "2025-01-16", []),
        ("2025-01-04", "2025-01-08", []),
    ],
)
def test_the_weekly_calendar_holds_only_whole_weeks(start, end, weeks):
    assert partitions.planner_weekly(settings(start, end)).get_partition_keys() == weeks


@given(st.integers(0, 400), st.integers(1, 60))
def test_every_day_of_every_week_is_in_the_daily_calendar(offset, length):
    start = date(2024, 1, 1) + timedelta(days=offset)
    both = settings(start.isoformat(), (start + timedelta(days=length)).isoformat())
    days = set(partitions.planner_daily(both).get_partition_keys())
    weeks = partitions.planner_weekly(both).get_partition_keys()
    whole = [d for d in days if date.fromisoformat(d).weekday() == 4 and days.issuperset(partitions.days_of_week(d))]
    assert weeks == sorted(whole)


def test_a_week_reads_exactly_its_seven_days():
    both = settings("2025-01-03", "2025-01-24")
    daily, weekly = partitions.planner_daily(both), partitions.planner_weekly(both)
    days, missing = mapped(partitions.days_in_week(), weekly, daily, "2025-01-10")
    assert days == partitions.days_of_week("2025-01-10")
    assert missing == []


def test_a_late_day_points_at_its_own_week_only():
    both = settings("2025-01-01", "2025-01-24")
    daily, weekly = partitions.planner_daily(both), partitions.planner_weekly(both)
    for day in daily.get_partition_keys():
        weeks = partitions.days_in_week().get_downstream_partitions_for_partitions(
            daily.subset_with_partition_keys([day]), daily, weekly
        )
        known = [partitions.week_of_day(day)] if day >= "2025-01-03" and day < "2025-01-24" else []
        assert list(weeks.get_partition_keys()) == known


def test_looking_back_reads_the_day_itself_and_the_days_before_it():
    daily = partitions.planner_daily(settings("2025-01-01", "2025-02-01"))
    days, missing = mapped(partitions.days_before(2), daily, daily, "2025-01-10")
    assert (days, missing) == (["2025-01-08", "2025-01-09", "2025-01-10"], [])


def test_looking_back_beyond_the_calendars_start_is_cut_and_not_an_error():
    daily = partitions.planner_daily(settings("2025-01-01", "2025-02-01"))
    assert mapped(partitions.days_before(28), daily, daily, "2025-01-02") == (["2025-01-01", "2025-01-02"], [])
    assert mapped(partitions.days_before(28), daily, daily, "2025-01-01") == (["2025-01-01"], [])


def test_a_late_day_points_at_the_days_that_look_back_to_it_and_stops_at_the_calendars_end():
    daily = partitions.planner_daily(settings("2025-01-01", "2025-01-05"))
    days = partitions.days_before(2).get_downstream_partitions_for_partitions(
        daily.subset_with_partition_keys(["2025-01-01", "2025-01-04"]), daily, daily
    )
    assert sorted(days.get_partition_keys()) == ["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04"]


def test_a_first_day_with_a_look_back_can_be_materialised():
    daily = partitions.planner_daily(settings("2025-01-01", "2025-02-01"))

    @dg.asset(partitions_def=daily)
    def events(): ...

    @dg.asset(partitions_def=daily, deps=[dg.AssetDep(events, partition_mapping=partitions.days_before(28))])
    def plans(): ...

    assert dg.materialize(
        [plans, events], selection=[plans], partition_key="2025-01-01", instance=dg.DagsterInstance.ephemeral()
    ).success


def test_a_negative_look_back_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        partitions.days_before(-1)


def test_a_dataset_is_named_after_the_end_of_its_week():
    assert partitions.dataset_date("2025-01-03") == "2025-01-10"
    assert partitions.week_key("2025-01-10") == "2025-01-03"


@given(FRIDAYS)
def test_key_and_dataset_date_round_trip(friday):
    assert partitions.week_key(partitions.dataset_date(friday)) == friday
    assert partitions.dataset_date(partitions.week_key(friday)) == friday


@given(DAYS)
def test_a_day_is_one_of_the_seven_days_of_its_week(day):
    week = partitions.week_of_day(day)
    assert day in partitions.days_of_week(week)
    assert len(set(partitions.days_of_week(week))) == 7
    assert partitions.days_of_week(week)[-1] < partitions.dataset_date(week)


@given(FRIDAYS, st.integers(1, 60))
def test_trailing_weeks_are_adjacent_and_end_with_the_given_one(week, n):
    weeks = partitions.trailing_weeks(week, n)
    assert len(weeks) == n
    assert weeks[-1] == week
    assert [partitions.dataset_date(w) for w in weeks[:-1]] == weeks[1:]


@given(DAYS)
def test_windows_of_following_days_touch_without_overlap(day):
    start, end = partitions.day_window(day)
    assert start.utcoffset() == timedelta(0)
    assert end - start == timedelta(days=1)
    assert partitions.day_window(end.date().isoformat())[0] == end


@pytest.mark.parametrize("convert", [partitions.dataset_date, partitions.week_key, partitions.days_of_week])
def test_a_date_that_is_not_a_friday_is_refused_with_the_week_it_belongs_to(convert):
    with pytest.raises(ValueError, match=r"2025-01-09 is a Thursday.*starts on 2025-01-03"):
        convert("2025-01-09")


@pytest.mark.parametrize("text", ["20250103", "2025-W01-5", "2025-1-3", "today", "", "2025-01-03T00:00"])
def test_only_a_plainly_written_date_is_a_key(text):
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        partitions.day_window(text)


def test_no_trailing_weeks_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        partitions.trailing_weeks("2025-01-03", 0)


def retail(start: str, end: str | None = None) -> Settings:
    unset = Settings.from_environment({})
    return replace(unset, retail_start=date.fromisoformat(start), retail_end=date.fromisoformat(end) if end else None)


def test_the_retail_calendar_is_the_documented_117_weeks_unless_said_otherwise():
    weeks = partitions.retail_weekly(Settings.from_environment({})).get_partition_keys()
    assert (len(weeks), weeks[0], weeks[-1]) == (117, "2006-04-10", "2008-06-30")


def test_a_retail_calendar_with_a_start_and_no_end_is_open():
    given_start = Settings.from_environment({"PLATFORM_RETAIL_START": "2026-01-05"})
    weekly = partitions.retail_weekly(given_start)
    assert weekly.get_partition_keys(current_time=datetime(2026, 1, 18, 23, 59, tzinfo=UTC)) == ["2026-01-05"]
    assert weekly.get_partition_keys(current_time=datetime(2026, 1, 19, tzinfo=UTC)) == ["2026-01-05", "2026-01-12"]


@given(st.integers(0, 400), st.integers(1, 90))
def test_a_retail_week_is_whole_and_starts_on_a_monday(offset, length):
    start = date(2006, 1, 1) + timedelta(days=offset)
    both = retail(start.isoformat(), (start + timedelta(days=length)).isoformat())
    days = [start + timedelta(days=n) for n in range(length - 6)]
    weeks = partitions.retail_weekly(both).get_partition_keys()
    assert weeks == [day.isoformat() for day in days if day.weekday() == 0]
    assert not weeks or partitions.retail_first_week(both) == weeks[0]


@given(st.integers(0, 300))
def test_retail_weeks_up_to_one_are_adjacent_and_end_with_it(n):
    last = (date(2006, 4, 10) + timedelta(weeks=n)).isoformat()
    weeks = partitions.retail_weeks_up_to(last, "2006-04-10")
    assert (weeks[0], weeks[-1], len(weeks)) == ("2006-04-10", last, n + 1)
    assert len(set(weeks)) == n + 1


@pytest.mark.parametrize(("week", "first"), [("2006-04-18", "2006-04-10"), ("2006-04-17", "2006-04-14")])
def test_a_retail_week_that_is_no_monday_is_refused(week, first):
    with pytest.raises(ValueError, match=r"retail week key is a Monday; its week starts on 2006-04-1[07]"):
        partitions.retail_weeks_up_to(week, first)


def test_a_retail_week_can_be_the_last_one_known_once_enough_weeks_lie_before_it():
    calendar = Settings.from_environment({"PLATFORM_RETAIL_START": "2006-04-10", "PLATFORM_RETAIL_END": "2007-01-15"})
    weeks = partitions.retail_weekly(calendar).get_partition_keys()
    known = partitions.retail_known_weekly(calendar, 38).get_partition_keys()
    assert len(weeks) == 40
    assert list(known) == list(weeks[37:])


def test_what_is_made_for_a_last_week_known_reads_every_week_up_to_it():
    calendar = Settings.from_environment({})
    known, weekly = partitions.retail_known_weekly(calendar, 38), partitions.retail_weekly(calendar)
    weeks, missing = mapped(partitions.all_weeks_up_to(), known, weekly, "2008-06-30")
    assert (len(weeks), weeks[0], weeks[-1], missing) == (117, "2006-04-10", "2008-06-30", [])


def test_weeks_between_refuses_keys_of_two_calendars():
    assert partitions.weeks_between("2006-04-10", "2006-05-08") == 4
    with pytest.raises(ValueError, match="no keys of one weekly calendar"):
        partitions.weeks_between("2006-04-10", "2006-04-14")


def trino(start: str, end: str | None = None) -> Settings:
    unset = Settings.from_environment({})
    return replace(unset, trino_start=date.fromisoformat(start), trino_end=date.fromisoformat(end) if end else None)


def test_the_query_calendar_is_the_shipped_log_unless_said_otherwise():
    unset = Settings.from_environment({})
    days, weeks = (make(unset).get_partition_keys() for make in (partitions.trino_daily, partitions.trino_weekly))
    assert (len(days), days[0], days[-1]) == (63, "2025-06-02", "2025-08-03")
    assert (len(weeks), weeks[0], weeks[-1]) == (9, "2025-06-02", "2025-07-28")
    assert partitions.trino_daily(unset).timezone == partitions.trino_weekly(unset).timezone == "UTC"
    known = partitions.trino_known_weekly(unset, 44).get_partition_keys()
    assert list(known) == ["2025-07-14", "2025-07-21", "2025-07-28"]


def test_an_open_query_week_exists_once_its_sunday_is_over():
    weekly = partitions.trino_known_weekly(trino("2025-06-02"), 44)
    assert weekly.get_partition_keys(current_time=datetime(2025, 7, 20, 23, 59, tzinfo=UTC)) == []
    assert weekly.get_partition_keys(current_time=datetime(2025, 7, 21, tzinfo=UTC)) == ["2025-07-14"]


@given(st.integers(0, 400), st.integers(1, 120), st.integers(7, 60))
def test_a_week_is_known_when_its_last_day_has_enough_days_behind_it(offset, length, needed):
    start = date(2024, 1, 1) + timedelta(days=offset)
    both = trino(start.isoformat(), (start + timedelta(days=length)).isoformat())
    days = set(partitions.trino_daily(both).get_partition_keys())
    mondays = [date.fromisoformat(day) for day in sorted(days) if date.fromisoformat(day).weekday() == 0]

    def window(monday: date, size: int) -> set[str]:
        return {(monday + timedelta(days=6 - n)).isoformat() for n in range(size)}

    whole = [monday.isoformat() for monday in mondays if window(monday, 7) <= days]
    assert list(partitions.trino_weekly(both).get_partition_keys()) == whole
    known = [monday for monday in whole if window(date.fromisoformat(monday), needed) <= days]
    assert list(partitions.trino_known_weekly(both, needed).get_partition_keys()) == known


def test_what_needs_44_days_reads_them_and_the_rest_of_the_week_they_begin_in():
    unset = Settings.from_environment({})
    daily, weekly = partitions.trino_daily(unset), partitions.trino_known_weekly(unset, 44)
    mapping = partitions.days_up_to_week_end(44)
    days, missing = mapped(mapping, weekly, daily, "2025-07-28")
    assert (days[0], days[-1], len(days), missing) == ("2025-06-16", "2025-08-03", 49, [])
    days, missing = mapped(mapping, weekly, daily, "2025-07-14")
    assert (days[0], days[-1], len(days), missing) == ("2025-06-02", "2025-07-20", 49, [])
    late = replace(unset, trino_start=date(2025, 6, 7))
    daily, weekly = partitions.trino_daily(late), partitions.trino_known_weekly(late, 44)
    days, missing = mapped(mapping, weekly, daily, "2025-07-14")
    assert (days[0], days[-1], len(days), missing) == ("2025-06-07", "2025-07-20", 44, [])


def test_a_late_day_points_at_every_week_that_reads_it():
    unset = Settings.from_environment({})
    daily, weekly = partitions.trino_daily(unset), partitions.trino_known_weekly(unset, 44)
    for day in daily.get_partition_keys():
        weeks = partitions.days_up_to_week_end(44).get_downstream_partitions_for_partitions(
            daily.subset_with_partition_keys([day]), daily, weekly
        )
        reading = {
            key
            for key in weekly.get_partition_keys()
            if 0 <= (date.fromisoformat(key) + timedelta(days=6) - date.fromisoformat(day)).days < 44
        }
        assert reading <= set(weeks.get_partition_keys())


@pytest.mark.parametrize("make", [lambda: partitions.trino_known_weekly(trino("2025-06-02"), 6),
                                  lambda: partitions.days_up_to_week_end(0)])  # fmt: skip
def test_too_few_days_are_refused(make):
    with pytest.raises(ValueError, match=r"a week alone has 7|1 day or more"):
        make()
