"""One evaluated week's verdict on a planner: what of the planner decides it; the rest is the same for every pipeline."""

from __future__ import annotations

from platform_assets.core import weekly_verdict
from platform_assets.core.weekly_verdict import Gate
from platform_assets.planner import judgement, registration, replay

DECIDES_PLANS = frozenset({"dtype", "quantization", "max_meals"})


class WeeklyVerdict(weekly_verdict.WeeklyVerdict):
    """Of planner/replay_scores, by the planner's metrics and margins (`planner.judgement`)."""

    gate = Gate(registration.MODEL, replay.SCORES, judgement.judge, judgement.CODE_VERSION, "decoding", DECIDES_PLANS)
