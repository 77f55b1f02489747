"""The query log's part of the demo: it reads the recorded log, and says what was judged against what."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.commands import demo_queries
from platform_assets.core.settings import SettingError, Settings


def settings(home: Path, **others: str) -> Settings:
    return Settings.from_environment({"PLATFORM_HOME": str(home), **others})


def test_a_log_of_somebodys_own_is_not_read_as_a_demo(tmp_path: Path) -> None:
    demo_queries.refuse_other_source(settings(tmp_path))
    with pytest.raises(SettingError, match="unset it"):
        demo_queries.refuse_other_source(settings(tmp_path, PLATFORM_TRINO_SOURCE=str(tmp_path / "log.parquet")))


def test_a_calendar_that_is_too_short_for_a_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="PLATFORM_TRINO_END be later"):
        demo_queries.run(settings(tmp_path, PLATFORM_TRINO_END="2025-07-21"))


def test_the_headline_names_both_versions_and_the_outcome() -> None:
    told = demo_queries.headline(
        "2025-07-21",
        {"candidate": {"version": 1}, "baseline": {"version": 0}},
        {"outcome": "inconclusive", "label": "thresholds: demo (200 rows / 20 templates)"},
    )
    assert told.startswith("14 days up to the Sunday of 2025-07-21: version 1 of query_router_policy")
    assert "against version 0: inconclusive; thresholds: demo" in told
