"""A week's drift against the trailing weeks: which columns are judged, and the Outcome.

The distances are `core.drift`'s and the verdict `core.drift_verdict`'s; here stands what the planner's columns mean. A
profile is compared with a profile: no data is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from platform_assets.core.drift import ColumnDrift, compare
from platform_assets.core.drift_verdict import Thresholds, judge, worst
from platform_assets.core.profile import Profile, combine
from platform_assets.core.quality import Outcome

# Identifiers and instants are new every week by their nature; which policy and which experiment run is decided by people,
# and every roll-out would fail as drift.
IGNORED = (
    "input.household.id", "metadata.event_id", "metadata.plan_id", "metadata.timestamp", "metadata.accepted_at",
    "metadata.policy_version_id", "metadata.experiment_id", "metadata.variant_id",
)  # fmt: skip
# Grow with the calendar until the look-back is full: during that time a change says nothing about the world.
HISTORY = ("input.previous_plan*", "input.recent_plans*")
THRESHOLDS = Thresholds()
PICTURE = "drift.png"


def judge_week(
    trailing: Sequence[Profile], current: Profile, name: str, warming_up: bool
) -> tuple[Outcome, dict[str, bytes]]:
    """The drift check of a week, and its picture. Without trailing weeks there is nothing to compare with: it passes."""
    if not trailing:
        return Outcome("drift", True, "no earlier week to compare with"), {}
    reference = combine(trailing)
    drifts = compare(reference, current)
    ignored = (*IGNORED, *HISTORY) if warming_up else IGNORED
    verdict = judge(drifts, THRESHOLDS, ignored)
    reason = "; ".join(verdict.reasons[:5]) or f"like the {len(trailing)} week(s) before"
    if warming_up:
        reason += " (plan histories are still filling and are not judged)"
    metadata = {"level": verdict.level, "trailing_weeks": len(trailing), "reference_rows": reference.rows}
    outcome = Outcome("drift", verdict.level == "ok", reason, metadata, warning=verdict.level == "warn")
    return outcome, _picture(drifts, name, ignored)


def _picture(drifts: Sequence[ColumnDrift], name: str, ignored: Sequence[str]) -> dict[str, bytes]:
    from platform_assets.core.plots import drift_plot

    shown = worst(drifts, THRESHOLDS, ignored)
    return {PICTURE: drift_plot(shown, THRESHOLDS, f"Drift of {name} against the trailing weeks")} if shown else {}
