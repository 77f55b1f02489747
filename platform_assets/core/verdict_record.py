"""What a verdict is recorded as: its document, tags of the model's version, a check; and which replays may be judged.

What does not belong here: judging (a pipeline's business, by `core.gate`), the registry's own rules (`core.registry`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any

from platform_assets.core.compared import PASSED_OVER, reason_of
from platform_assets.core.model_versions import STAGE
from platform_assets.core.policy_version import STAGE_OF, RecordedVerdict, is_settled_by_verdicts
from platform_assets.core.quality import Outcome
from platform_assets.core.registry import Conflict, PolicyVersion
from platform_assets.core.verdict import Verdict


class OtherBaseline(ValueError):
    """A replay against another version than the active one was to be judged."""


class NotAsServed(ValueError):
    """A replay that ran otherwise than its versions are served was to be judged."""


def require_baseline(
    versions: Iterable[PolicyVersion],
    compared: Mapping[str, Any],
    policy: str,
    replayed_by: str,
    bar: int | None = None,
) -> None:
    """Raises OtherBaseline unless a replay compared with the version `bar`, or with the active one where that is None.

    Whoever chooses the baseline could choose the verdict; and a version that was promoted since the replay is the one to beat.
    Of several active ones that is the newest; where it could not be asked, version 0 stands in for it (`core.compared`), and no
    other. `replayed_by` is the asset that is to be materialised again then.
    """
    if bar is not None:
        if compared["baseline"]["version"] != bar or compared["candidate"]["version"] == bar:
            raise OtherBaseline(
                f"the replay compared version {compared['candidate']['version']} with {compared['baseline']['version']}, "
                f"{policy} is compared with version {bar}: materialise {replayed_by} of this week again"
            )
        return
    active = [each for each in versions if each.status == "active"]
    if not active:
        raise OtherBaseline(f"{policy} has no active version to compare with: was its version 0 deleted?")
    passed_over = compared.get(PASSED_OVER)
    is_wanted = (passed_over or compared["baseline"])["id"] == active[-1].id
    is_stand_in = compared["baseline"]["version"] == 0
    if not is_wanted or (passed_over and not is_stand_in) or compared["candidate"]["id"] == active[-1].id:
        raise OtherBaseline(
            f"the replay compared version {compared['candidate']['version']} with {compared['baseline']['version']}, the "
            f"active one is {active[-1].version}: materialise {replayed_by} of this week again"
        )


def require_not_asked(why_not: Mapping[int, str], replayed_by: str) -> None:
    """Raises OtherBaseline for a version that was passed over and can be asked; `why_not` by the version's number."""
    if can_be_asked := sorted(version for version, reason in why_not.items() if not reason):
        raise OtherBaseline(
            f"the replay passed over version {can_be_asked[0]}, which can be asked here: materialise {replayed_by} of this week again"
        )


def require_as_served(
    versions: Iterable[PolicyVersion], compared: Mapping[str, Any], group: str, deciding: Collection[str]
) -> None:
    """Raises NotAsServed unless both sides of a replay ran as their versions are served: what is judged is what serves.

    `group` names the settings, in the versions' defaults and per side in the replay's summary; those of `deciding` decide an
    answer.
    """
    defaults = {each.id: each.config_defaults.get(group, {}) for each in versions}
    for name, replayed in compared["summary"].get(group, {}).items():
        served = defaults.get(compared[name]["id"], {})
        for setting in sorted(set(deciding) & replayed.keys() & served.keys()):
            if replayed[setting] != served[setting]:
                raise NotAsServed(
                    f"the {name}, version {compared[name]['version']}, was replayed with {setting} {replayed[setting]!r} and is "
                    f"served with {served[setting]!r}: replay it where it can be loaded as it is served"
                )


def on_record(recorded: Iterable[RecordedVerdict], week: date, replay_digest: str) -> RecordedVerdict | None:
    """The verdict that was reached on the same replay before."""
    same = (each for each in recorded if (each.evaluated_week, each.replay_digest) == (week, replay_digest))
    return next(same, None)


def settle(known: RecordedVerdict | None, verdict: Verdict) -> Mapping[str, Any]:
    """The document that stands: the one on record, or the new one. Raises Conflict when they do not say the same.

    The digests of what the scores were made from are no part of what is said: inputs that were published again and gave the
    same scores change nothing.
    """
    document = json.loads(json.dumps(verdict.document()))  # as Postgres gives it back
    if known is None:
        return document
    if {**known.document, "digests": {}} != {**document, "digests": {}}:
        raise Conflict(
            f"the replay {known.replay_digest} was judged {known.outcome} before, and would be {verdict.outcome} now "
            f"({verdict.label}): a verdict is not rewritten. With the thresholds and the code of then nothing changes; "
            "others judge the next replay"
        )
    return known.document


def tags(version: PolicyVersion) -> dict[str, str]:
    """The status as `stage`, and the verdict that it rests on: no other, or the two would contradict each other.

    A version that serves, or served, keeps the stage it has.
    """
    found = {STAGE: STAGE_OF[version.status]} if is_settled_by_verdicts(version.status) else {}
    if version.verdict is None or version.evaluated_week is None:
        return found
    return found | {
        "verdict": version.verdict["outcome"],
        "verdict_thresholds": version.verdict["label"],
        "verdict_reason": version.verdict["reasons"][0][:500],
        "evaluated_week": version.evaluated_week.isoformat(),
    }


def judge(verdict: Verdict, compared: Mapping[str, Any]) -> Outcome:
    """The verdict as a check that warns: a rejected model is a result."""
    told = "; ".join(filter(None, (verdict.reasons[0], reason_of(compared))))
    reason = f"{verdict.outcome} ({verdict.label}): {told}"
    return Outcome("better_than_baseline", verdict.outcome == "pass", reason, warning=True)
