"""The query log's part of the demo: it reads the recorded log, and says what was judged against what."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from platform_assets.commands import demo_queries
from platform_assets.core.policy_version import PolicyVersion, Status
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
    assert told == (
        "version 1 of query_router_policy, the model of week 2025-07-14, on the 14 days from 2025-07-14 to 2025-07-27, against "
        "version 0: inconclusive; thresholds: demo (200 rows / 20 templates)"
    )


def version(number: int, status: Status, week: str = "", outcome: str = "", reason: str = "") -> PolicyVersion:
    verdict = {"outcome": outcome, "reasons": [reason, "auc passes"]} if week else None
    defaults = {"policy": "model" if number else "rule"}
    evaluated = date.fromisoformat(week) if week else None
    return PolicyVersion(
        "id", "policy", "query_router_policy", number, None, None, defaults, status, evaluated, verdict
    )


def test_the_end_has_a_line_for_every_version_and_says_what_routes_now() -> None:
    first = version(1, "registered", "2025-07-21", "inconclusive", "recall is inconclusive: 42 of 149")
    second = version(2, "rejected", "2025-07-28", "fail", "recall fails: 8 of 36 missed")
    judged = {"2025-07-14": first, "2025-07-21": second, "2025-07-28": version(3, "registered")}
    *lines, where = demo_queries.outcome_lines(judged, version(0, "active"))
    assert lines == [
        "version 1 (week 2025-07-14), judged on 2025-07-21: inconclusive: recall is inconclusive: 42 of 149",
        "version 2 (week 2025-07-21), judged on 2025-07-28: rejected: recall fails: 8 of 36 missed",
        "version 3 (week 2025-07-28), not judged yet: its week is the log's last",
        "active: version 0, the rule",
    ]
    assert "make ui" in where
    for name in re.findall(r"docs/\S+\.md", where):
        assert (Path(__file__).parents[2] / name).is_file()


def test_the_end_tells_what_is_missing_and_what_was_promoted() -> None:
    promoted = version(1, "active", "2025-07-21", "pass", "cost passes")
    lines = list(demo_queries.outcome_lines({"2025-07-14": promoted, "2025-07-21": version(2, "registered"), "2025-07-28": None}, promoted))  # fmt: skip
    assert lines[:4] == [
        "version 1 (week 2025-07-14), judged on 2025-07-21: passed: cost passes",
        "version 2 (week 2025-07-21), not judged yet: its next week has no verdict",
        "week 2025-07-28: its model is no version",
        "active: version 1, the model",
    ]
    assert "active: none" in demo_queries.outcome_lines({"2025-07-14": None}, None)
