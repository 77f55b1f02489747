"""The checks of a replay, each of which can fail, and what its code version covers."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from platform_assets.core import verdict_plots
from platform_assets.core.tracking import DatasetReference
from platform_assets.query_predictor import replay, replay_checks
from platform_assets.query_predictor.weekly_replay import Recorded
from platform_assets.query_predictor.weekly_verdict import WeeklyVerdict
from platform_assets_tests.imported_sources import deciding_sources

ROWS = {"light": 960, "heavy": 40}
SUMMARY = {
    "rows": 1000, "heavy": 40, "candidate": {"heavy": 40, "missed_before_the_model": 0},
    "score_drift": {"psi": 0.1, "js": 0.2, "limit": 0.25, "is_beyond": False},
    "feature_drift": {"beyond": ["joins"], "is_beyond_limit": False, "most_beyond": 2, "beyond_of_history": [], "most_history_beyond": 6},
}  # fmt: skip


def failed(**changes: Any) -> dict[str, Any]:
    return {each.name: each for each in replay_checks.judge({**SUMMARY, **changes}, ROWS) if not each.passed}


def test_a_replay_of_all_queries_that_moved_little_passes_every_check() -> None:
    assert failed() == {}
    assert [each.name for each in replay_checks.judge(SUMMARY, ROWS)] == [
        "rows_reconcile", "score_drift", "feature_drift", "zero_cost_misses",
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"rows": 999}, {"heavy": 39}, {"rows": 1001}])
def test_a_query_that_was_not_replayed_or_has_another_label_fails(change: dict[str, int]) -> None:
    found = failed(**change)["rows_reconcile"]
    assert "the sample has 1,000, 40 heavy" in found.reason
    assert not found.warning


def test_scores_beyond_their_limit_warn() -> None:
    found = failed(score_drift={**SUMMARY["score_drift"], "psi": 0.31, "is_beyond": True})["score_drift"]
    assert found.warning
    assert found.reason.startswith("PSI 0.310 between the scores")
    assert failed(score_drift={}) == {}


def test_features_beyond_their_limits_warn_and_are_named() -> None:
    names = ["joins", "tables", "user_mean_cpu", "characters", "words"]
    told = {**SUMMARY["feature_drift"], "beyond": names, "is_beyond_limit": True, "beyond_of_history": names[2:3]}
    found = failed(feature_drift=told)["feature_drift"]
    assert found.warning
    assert found.reason.startswith(
        "4 features of texts and sessions beyond their limits, 2 allowed, and 1 of history, 6 allowed: joins, "
    )


def test_heavy_queries_in_safe_categories_warn_when_they_are_surely_more_than_allowed() -> None:
    found = failed(candidate={"heavy": 400, "missed_before_the_model": 8})["zero_cost_misses"]
    assert found.warning
    assert "heavy queries in the model's safe categories: 8 of 400" in found.reason
    assert failed(candidate={"heavy": 400, "missed_before_the_model": 1}) == {}
    assert failed(candidate={"heavy": 0, "missed_before_the_model": 0}) == {}


# What draws, reads the folder's form, or holds constants of others that are in it themselves.
_APART = {
    "replay_figures",
    "model_plots",
    "model_files",
    "feature_drift_plot",
    "categories",
    "configuration",
    "documented_keys",
    "sampling",
}
DECIDES_NOTHING = {"query_predictor": _APART}


def test_the_code_version_covers_every_module_that_decides_a_score() -> None:
    here = Path(replay.__file__).parent
    covered = {here / name for name in replay_checks.SOURCES}
    assert deciding_sources(Path(replay.__file__), DECIDES_NOTHING) == covered - {here / "weekly_replay.py"}


def test_what_decides_an_answer_is_compared_with_what_is_served() -> None:
    gate = WeeklyVerdict.gate
    assert set(gate.deciding) == {"threshold", "columns", "trees", "week", "fingerprint"}
    assert (gate.settings, gate.scores, gate.model.policy) == ("prediction", replay.SCORES, "query_router_policy")
    # The bar is the active version: whoever was promoted since is the one to beat.
    assert gate.model.bar is None


def test_the_picture_names_the_days_that_were_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    titles = []
    monkeypatch.setattr(verdict_plots, "means_plot", lambda named, title: titles.append(title) or b"")
    compared: Any = SimpleNamespace(candidate=SimpleNamespace(version=2), baseline=SimpleNamespace(version=1))
    means, week = {"candidate": {"cost": 1.0}, "baseline": {"cost": 2.0}}, date(2026, 2, 16)
    read = DatasetReference("query_predictor/features/2026-02-16", "d" * 32, "somewhere", 10)
    recorded = Recorded(compared, week.isoformat(), read, "e" * 32, means, {"rows": 10, "templates": 2})
    assert set(recorded.pictures()) == {"replay.png"}
    assert titles == ["Replay of the 14 days from 2026-02-09 to 2026-02-22, means over the same rows"]
