"""The demo keeps to its calendar, and never writes into somebody's application."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from platform_assets.commands.demo import demo_calendar
from platform_assets.commands.setup import refuse_external_source
from platform_assets.core.settings import SettingError, Settings

SETTINGS = Settings.from_environment({"PLATFORM_HOME": "/nowhere"})


def test_the_demo_covers_nine_weeks_or_what_the_calendar_has_of_them() -> None:
    days, weeks = demo_calendar(SETTINGS)
    assert (days[0], days[-1], len(days), len(weeks)) == ("2026-01-02", "2026-03-05", 63, 9)
    days, weeks = demo_calendar(replace(SETTINGS, planner_end=date(2026, 1, 12)))
    assert (days[-1], weeks) == ("2026-01-11", ["2026-01-02"])


def test_simulated_rows_are_never_written_into_a_database_that_was_brought() -> None:
    refuse_external_source(SETTINGS, "the demo")
    with pytest.raises(SettingError, match="PLATFORM_SOURCE_URL"):
        refuse_external_source(replace(SETTINGS, source_url="postgresql://app"), "the demo")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PLATFORM_PLANNER_START", "soon"),
        ("PLATFORM_PLANNER_MINIMUM_ROWS", "-1"),
        ("PLATFORM_LAKE_SINGLE_WRITER", "yes"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        Settings.from_environment({name: value})
