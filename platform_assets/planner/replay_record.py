"""What a replay of planners is recorded as beyond what every replay is: its columns, its checks, the code that decides it.

What does not belong here: scoring rows (`planner.replay`), the verdict (`planner.judgement`), the record (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_assets.core import replay_record, transform
from platform_assets.core.quality import Outcome
from platform_assets.planner import judgement, registration

# Whatever decides a plan or a score.
_SOURCES = (
    "replay.py", "replay_inputs.py", "replay_rows.py", "training_rows.py", "model_documents.py", "scoring.py", "metrics.py", "edit_distance.py", "kitchen.py", "targets.py", "validator.py",
    "policies.py", "baselines.py", "plans.py", "plan_documents.py", "catalogue.py", "prompt.py", "decoding.py", "constrained_answer.py",
    "possible_recipes.py", "key_values.py", "roomy_cache.py", "language_model.py",
)  # fmt: skip
CODE_VERSION = transform.code_version(*(Path(__file__).parent / name for name in _SOURCES))


class Recorded(replay_record.Recorded):
    """One finished replay of planners."""

    model = registration.MODEL
    columns = {
        "plan_alignment_score": judgement.ALIGNMENT, "constraint_respect_score": judgement.RESPECT,
        "edit_distance_score": judgement.EDITS, "meal_diversity_score": judgement.DIVERSITY,
        "leftovers_utility_score": judgement.LEFTOVERS, "offline_eval_score": judgement.OFFLINE,
    }  # fmt: skip
    clusters = "households"


def judge(summary: Mapping[str, Any], dataset_rows: int, scores: Path) -> list[Outcome]:
    """The checks of a replay."""
    excluded = sum(summary["excluded"].values())
    found = judgement.means(scores)["candidate"]
    reconciled = summary["rows"] + excluded == dataset_rows
    respect, raw = found[judgement.RESPECT], found[judgement.RAW_RESPECT]
    return [
        Outcome("rows_reconcile", reconciled, f"{summary['rows']:,} scored + {excluded:,} excluded of {dataset_rows:,} rows"),
        Outcome("constraint_respect", respect == 1.0, f"{respect:.2%} of the served plans keep every rule"),
        Outcome(
            "raw_violations", raw == 1.0,
            f"{1 - raw:.2%} of the proposed plans broke a rule; the validator made {found['interventions']:,.0f} changes",
            warning=True,
        ),
    ]  # fmt: skip
