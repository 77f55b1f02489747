"""The checks of a replay, and the code that decides its scores. What does not belong here: the verdict (`judgement`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_assets.core import transform
from platform_assets.core.quality import Outcome, share_below
from platform_assets.query_predictor import feature_drift
from platform_assets.query_predictor.zero_cost import SHARE_LIMIT

# Every module of the program that decides a number of the scores or of the summary; a test compares them with what is imported.
SOURCES = (
    "replay.py", "replay_rows.py", "replay_history.py", "replay_sides.py", "replay_tables.py", "replay_summary.py", "replay_drift.py",
    "opened_model.py", "history.py", "history_snapshot.py", "history_values.py",
    "weekly_replay.py", "judgement.py", "evaluation.py", "requirements.py", "routing.py", "query_baselines.py",
    "ranking_metrics.py", "feature_drift.py", "feature_distance.py", "template_noise.py", "split_features.py", "features.py",
    "threshold.py", "zero_cost.py", "onnx_model.py",
    "sql_tokens.py", "text_terms.py", "features_document.py",
)  # fmt: skip
CODE_VERSION = transform.code_version(*(Path(__file__).parent / name for name in SOURCES))


def judge(summary: Mapping[str, Any], rows: Mapping[str, int]) -> list[Outcome]:
    """Whether every query of the sample's days was asked about, `rows` by label; and, as warnings, what has moved or was let by."""
    return [
        _reconcile(summary, rows),
        _score_drift(summary["score_drift"]),
        feature_drift.judge_document(summary["feature_drift"]),
        _misses(summary["candidate"]),
    ]


def _reconcile(summary: Mapping[str, Any], rows: Mapping[str, int]) -> Outcome:
    expected = sum(rows.values())
    reason = f"{summary['rows']:,} queries replayed, {summary['heavy']:,} heavy; the sample has {expected:,}, {rows['heavy']:,} heavy"
    return Outcome("rows_reconcile", (summary["rows"], summary["heavy"]) == (expected, rows["heavy"]), reason)


def _score_drift(drift: Mapping[str, Any]) -> Outcome:
    if not drift:
        return Outcome("score_drift", True, "no query reached the model: no scores to compare", warning=True)
    reason = f"PSI {drift['psi']:.3f} between the scores of the model's validation days and of the replayed ones, limit {drift['limit']:.3f}"
    return Outcome(
        "score_drift", not drift["is_beyond"], reason, {"psi": drift["psi"], "js": drift["js"]}, warning=True
    )


def _misses(told: Mapping[str, Any]) -> Outcome:
    """Of heavy queries, those that the zero-cost categories let by: the categories were chosen on other days."""
    return share_below(
        "zero_cost_misses", told["missed_before_the_model"], told["heavy"], SHARE_LIMIT,
        "heavy queries in the model's safe categories", warning=True,
    )  # fmt: skip
