"""The verdict on a query predictor by the days after it was trained: what of it decides; the rest is the same for every pipeline."""

from __future__ import annotations

from platform_assets.core import weekly_verdict
from platform_assets.core.weekly_verdict import Gate
from platform_assets.query_predictor import judgement, registration, replay
from platform_assets.query_predictor.model_files import PREDICTION


class WeeklyVerdict(weekly_verdict.WeeklyVerdict):
    """Of query_predictor/replay_scores, by the product's requirements and the cost of mistakes (`query_predictor.judgement`)."""

    gate = Gate(
        registration.MODEL, replay.SCORES, judgement.judge, judgement.CODE_VERSION, "prediction", frozenset(PREDICTION)
    )
