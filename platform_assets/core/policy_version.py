"""A policy version, a replay and a verdict as values, and whether MLflow tells the same story of the versions.

What does not belong here: Postgres (`core.registry`), MLflow (`core.tracking`), judging (`core.gate`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from math import isfinite
from typing import Any, Literal

Status = Literal["registered", "candidate", "rejected", "active", "deprecated", "archived"]
STATUS_AFTER: Mapping[str, Status] = {"pass": "candidate", "fail": "rejected", "inconclusive": "registered"}
IS_BETTER: Mapping[str, bool | None] = {"pass": True, "fail": False, "inconclusive": None}
# The replay's aggregates that have a column of their own.
SCORE_COLUMNS = (
    "plan_alignment_score", "constraint_respect_score", "edit_distance_score", "meal_diversity_score",
    "leftovers_utility_score", "offline_eval_score",
)  # fmt: skip
# What the tag `stage` of a model version says while its policy version has a status.
STAGE_OF: Mapping[Status, str] = {
    "registered": "training",
    "candidate": "candidate",
    "rejected": "archived",
    "active": "production",
    "deprecated": "archived",
    "archived": "archived",
}


@dataclass(frozen=True)
class PolicyVersion:
    """A row of exp.policy_versions. `verdict` is the one that `status` rests on, of `evaluated_week`."""

    id: str
    policy_id: str
    policy: str
    version: int
    model_name: str | None
    model_version: str | None
    config_defaults: Mapping[str, Any]
    status: Status
    evaluated_week: date | None
    verdict: Mapping[str, Any] | None


@dataclass(frozen=True)
class ReplayResult:
    """One replay of a version against a baseline on a dataset: its means over the rows, or why it failed.

    `replay_digest` is that of the published rows of scores. `scores` may hold any metric; those named in SCORE_COLUMNS
    get into their columns too.
    """

    policy_version_id: str
    baseline_version_id: str | None
    dataset_version: str
    dataset_digest: str | None
    replay_digest: str | None = None
    mlflow_run_id: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    rows: int | None = None
    households: int | None = None
    error_message: str | None = None

    def __post_init__(self) -> None:
        if (self.replay_digest is None) == (self.error_message is None):
            raise ValueError("a replay has either the digest of its scores or the message of its failure")
        broken = sorted(name for name, value in self.scores.items() if not isfinite(value))
        if broken:
            raise ValueError(
                f"scores {', '.join(broken)} are not finite; record a failed replay by its message instead"
            )

    @property
    def status(self) -> Literal["completed", "failed"]:
        """What became of it."""
        return "failed" if self.replay_digest is None else "completed"


@dataclass(frozen=True)
class RecordedVerdict:
    """A row of exp.policy_verdicts."""

    evaluated_week: date
    replay_digest: str
    outcome: Literal["pass", "fail", "inconclusive"]
    document: Mapping[str, Any]


def is_settled_by_verdicts(status: Status) -> bool:
    """Whether verdicts may still move a version; what serves, or served, is moved by promotion and rollback alone."""
    return status in STATUS_AFTER.values()


def rests_on(version: PolicyVersion, outcome: str, evaluated_week: date) -> bool:
    """Whether a verdict that is new becomes the one that the version's status rests on.

    The newest decides, in both directions: a candidate that fails on a later week, or on the same one replayed anew with late
    data, is a candidate no more, and one that was rejected may pass so. An older week than the one that the status rests on
    decides nothing, and an inconclusive verdict takes nothing back.
    """
    is_older = version.evaluated_week is not None and evaluated_week < version.evaluated_week
    decides = outcome != "inconclusive" or version.status == "registered"
    return is_settled_by_verdicts(version.status) and decides and not is_older


def document_digest(document: Mapping[str, Any]) -> str:
    """A verdict's identity: the same for the same content, whatever the order of its keys."""
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def differences(versions: Iterable[PolicyVersion], mlflow_versions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Sentences on what the rows and MLflow's registered versions (version -> tags) do not agree on; empty when in step."""
    rows = {each.model_version: each for each in versions if each.model_version is not None}
    found: list[str] = []
    for version in sorted({*rows, *mlflow_versions}, key=lambda text: (len(text), text)):
        if version not in rows:
            found.append(f"MLflow has version {version}, but no policy version names it: run the training asset again")
        elif version not in mlflow_versions:
            row = rows[version]
            found.append(f"{_named(row)} names {row.model_name} {version}, which MLflow does not have: was it deleted?")
        else:
            found += _tag_differences(rows[version], mlflow_versions[version])
    return found


def _tag_differences(row: PolicyVersion, tags: Mapping[str, str]) -> Iterator[str]:
    for name, wanted in (("policy_id", row.policy_id), ("policy_version_id", row.id)):
        if tags.get(name, wanted) != wanted:
            yield f"{_named(row)} has the {name} {wanted}, but MLflow's tag says {tags[name]}"
    # A version that was killed between its registration and its first tag is in step: a re-run sets the tag.
    stage = tags.get("stage", "training")
    if stage != STAGE_OF[row.status]:
        yield f"{_named(row)} is {row.status}, but MLflow's tag stage says {stage}: run the policy version's asset again"


def _named(row: PolicyVersion) -> str:
    return f"{row.policy} version {row.version}"
