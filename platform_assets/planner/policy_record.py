"""What a verdict is recorded as beside its document: tags of the model's version, a check, a refusal of samples.

What does not belong here: judging (`planner.judgement`), the registry's own rules (`core.registry`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date

from platform_assets.core.lake import Revision
from platform_assets.core.model_versions import STAGE
from platform_assets.core.policy_version import RecordedVerdict
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import Conflict, PolicyVersion
from platform_assets.core.tracking import Tracking
from platform_assets.core.verdict import Verdict
from platform_assets.planner import registration
from platform_assets.planner.plans import PlanError

STAGE_OF = {"registered": "training", "candidate": "candidate", "rejected": "archived"}


class SampleRefused(PlanError):
    """A replay of a sample was to be judged."""


def refuse_sample(scores: Revision) -> None:
    """Raises SampleRefused: whoever chooses the sample could choose the verdict."""
    if size := scores.lineage.details["summary"]["sample_size"]:
        raise SampleRefused(
            f"planner/replay_scores of {scores.address.partition} holds a sample of {size:,} rows: materialise it with "
            "sample_size 0 to judge it"
        )


def refuse_another(recorded: Iterable[RecordedVerdict], verdict: Verdict, week: date, replay_digest: str) -> None:
    """Raises Conflict when another verdict on the same replay is on record: the first one stands."""
    document = json.loads(json.dumps(verdict.document()))  # as Postgres gives it back
    for known in recorded:
        same_replay = (known.evaluated_week, known.replay_digest) == (week, replay_digest)
        if same_replay and known.document != document:
            raise Conflict(
                f"the replay {replay_digest} was judged {known.outcome} before, and would be {verdict.outcome} now "
                f"({verdict.label}): a verdict is not rewritten. With the thresholds and the code of then nothing changes; "
                "others judge the next replay"
            )


def tag(tracking: Tracking, version: PolicyVersion, verdict: Verdict) -> None:
    """Tell MLflow's version what became of it: `stage` by the status that counts now, and the newest verdict's outcome.

    A version that serves, or served, keeps the stage it has.
    """
    tags = {"verdict": verdict.outcome, "verdict_thresholds": verdict.label, "verdict_reason": verdict.reasons[0][:500]}
    if version.status in STAGE_OF:
        tags[STAGE] = STAGE_OF[version.status]
    registration.versions(tracking).set_tags(version.model_version or "", tags)


def judge(verdict: Verdict) -> Outcome:
    """The verdict as a check that warns: a rejected model is a result."""
    reason = f"{verdict.outcome} ({verdict.label}): {verdict.reasons[0]}"
    return Outcome("better_than_baseline", verdict.outcome == "pass", reason, warning=True)
