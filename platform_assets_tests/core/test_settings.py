"""Settings from the environment: what is taken where nothing is said, and which values are refused."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from platform_assets.core.settings import SettingError, Settings
from platform_assets.simulators.trino_cluster import SAMPLE


def test_the_shipped_log_is_the_source_of_queries_unless_said_otherwise() -> None:
    unset = Settings.from_environment({})
    assert Path(unset.trino_source) == SAMPLE / "queries.parquet"
    assert Path(unset.trino_source).is_file()
    assert (unset.trino_start, unset.trino_end) == (date(2025, 6, 2), date(2025, 8, 4))
    assert unset.trino_thresholds == SAMPLE / "thresholds.json"
    assert json.loads(unset.trino_thresholds.read_text())["first_days"] == 30
    assert Settings.from_environment({"PLATFORM_TRINO_SOURCE": "", "PLATFORM_TRINO_END": ""}) == unset


def test_a_log_of_your_own_has_an_open_end_and_the_documented_thresholds() -> None:
    own = Settings.from_environment({"PLATFORM_TRINO_SOURCE": "postgresql://reader@trino/log/trino_queries"})
    assert (own.trino_source, own.trino_end) == ("postgresql://reader@trino/log/trino_queries", None)
    assert own.trino_thresholds is None


def test_a_shorter_calendar_of_the_shipped_log_keeps_its_end() -> None:
    later = Settings.from_environment({"PLATFORM_TRINO_START": "2025-06-09"})
    assert (later.trino_start, later.trino_end) == (date(2025, 6, 9), date(2025, 8, 4))
    ended = Settings.from_environment({"PLATFORM_TRINO_END": "2025-07-21"})
    assert (ended.trino_start, ended.trino_end) == (date(2025, 6, 2), date(2025, 7, 21))


@pytest.mark.parametrize("edge", ["START", "END"])
def test_a_date_that_is_none_is_named(edge: str) -> None:
    with pytest.raises(SettingError, match=f"PLATFORM_TRINO_{edge} is 'June'; write a date as YYYY-MM-DD"):
        Settings.from_environment({f"PLATFORM_TRINO_{edge}": "June"})
