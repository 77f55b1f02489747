"""The checks of an evaluation, and the code that decides its scores. What does not belong here: the verdict (`world_model.judgement`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_assets.core import transform
from platform_assets.core.quality import Outcome
from platform_assets.world_model import training_options

# Whatever decides a rank or a class besides what decides a training (`training_options.SOURCES`).
_SOURCES = (
    "replay.py", "replay_tables.py", "replay_summary.py", "judgement.py", "evaluation.py", "evaluation_questions.py",
    "baselines.py", "evidence.py", "ease.py", "weekly_replay.py",
)  # fmt: skip
CODE_VERSION = transform.code_version(*training_options.SOURCES, *(Path(__file__).parent / name for name in _SOURCES))
CANDIDATE, POPULARITY = "candidate", "popularity"
MODEL, LOOK_UP, MAJORITY = "model", "look_up", "majority"


def judge(summary: Mapping[str, Any]) -> list[Outcome]:
    """Whether every basket is accounted for; and, as warnings, whether the model beats what anybody would guess."""
    return [_reconcile(summary), _above_popularity(summary["rankers"]), _above_look_up(summary["auxiliary"])]


def _reconcile(summary: Mapping[str, Any]) -> Outcome:
    excluded = sum(summary["excluded"].values())
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(summary["excluded"].items()) if count)
    reason = f"{summary['rows']:,} scored + {excluded:,} excluded ({told or 'none'}) of {summary['baskets']:,} baskets"
    return Outcome("rows_reconcile", summary["rows"] + excluded == summary["baskets"], reason)


def _above_popularity(rankers: Mapping[str, Mapping[str, float]]) -> Outcome:
    found, guess = (rankers[name]["hit_at_10"] for name in (CANDIDATE, POPULARITY))
    reason = f"hit@10 {found:.4f}, by popularity {guess:.4f}"
    return Outcome("above_popularity", found > guess, reason, warning=True)


def _above_look_up(tasks: Mapping[str, Mapping[str, float]]) -> Outcome:
    """A model without heads has none to judge."""
    below, told = [], []
    for task, shares in tasks.items():
        if MODEL in shares:
            guess = max(shares[LOOK_UP], shares[MAJORITY])
            told.append(f"{task} {shares[MODEL]:.3f} ({guess:.3f})")
            below += [task] if shares[MODEL] <= guess else []
    reason = f"right by head (by look-up or majority): {', '.join(told) or 'no heads'}"
    return Outcome("auxiliary_above_look_up", not below, reason, {"below": ", ".join(below) or "none"}, warning=True)
