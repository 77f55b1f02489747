"""The verdict on a world model by its own test weeks: what of it decides; the rest is the same for every pipeline."""

from __future__ import annotations

from platform_assets.core import weekly_verdict
from platform_assets.core.weekly_verdict import Gate
from platform_assets.world_model import judgement, registration, replay


class WeeklyVerdict(weekly_verdict.WeeklyVerdict):
    """Of world_model/replay_scores, by the world model's metrics and margins (`world_model.judgement`)."""

    gate = Gate(registration.MODEL, replay.SCORES, judgement.judge, judgement.CODE_VERSION, "prediction", frozenset())
