"""The verdict on a query predictor by the days after it was trained: what of it decides; the rest is the same for every pipeline."""

from __future__ import annotations

from platform_assets.core import weekly_verdict
from platform_assets.core.registry import PolicyVersion
from platform_assets.core.weekly_verdict import Gate
from platform_assets.query_predictor import judgement, opened_model, registration, replay
from platform_assets.query_predictor.model_files import PREDICTION


class WeeklyVerdict(weekly_verdict.WeeklyVerdict):
    """Of query_predictor/replay_scores, by the product's requirements and the cost of mistakes (`query_predictor.judgement`)."""

    gate = Gate(
        registration.MODEL, replay.SCORES, judgement.judge, judgement.CODE_VERSION, "prediction", frozenset(PREDICTION)
    )

    def why_not_asked(self, version: PolicyVersion) -> str:
        """For the release that trained it, if for anything: the rule, version 0, needs no model."""
        if version.model_version is None:
            return ""
        folder = self.step.folder / "passed_over"
        return opened_model.of_another_release(
            registration.MODEL.fetch_model(self.step.tracking, version.model_version, folder)
        )
