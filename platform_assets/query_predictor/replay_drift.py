"""How far the replayed days have moved from those that a model knows: its features, and the scores it gives.

Features are compared with the train days that it was grown on; scores with those of its validation days, on which its threshold was
chosen and nothing was grown. What does not belong here: distances and limits (`feature_drift`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import feature_drift, replay_figures
from platform_assets.query_predictor.feature_drift import Distance, Drift
from platform_assets.query_predictor.opened_model import OpenedModel
from platform_assets.query_predictor.replay_rows import SPLITS
from platform_assets.query_predictor.replay_sides import Side
from platform_assets.query_predictor.split_features import WeekFeatures


@dataclass(frozen=True)
class Moved:
    """Both distances, and the scores that were compared."""

    features: Drift
    score: Distance | None
    """None where one of the two has no query that reaches the model."""
    before: NDArray[np.floating]
    now: NDArray[np.floating]

    def document(self) -> dict[str, Any]:
        """For the summary; single features are a table of their own."""
        told = {name: value for name, value in self.features.document().items() if name != "features"}
        score = {} if self.score is None else {
            "name": self.score.name, "psi": self.score.psi, "js": self.score.js, "noise": self.score.noise,
            "limit": self.score.limit, "is_beyond": self.score.is_beyond,
            "reference_rows": len(self.before), "current_rows": len(self.now),
        }  # fmt: skip
        return {"feature_drift": told, "score_drift": score}

    def pictures(self, name: str) -> dict[str, bytes]:
        """File name -> PNG."""
        found = {"feature_drift.png": feature_drift.plot(self.features, f"features, {name}")}
        if self.score is not None:
            found["score_drift.png"] = replay_figures.score_drift(self.before, self.now, self.score, f"scores, {name}")
        return found


def measure(candidate: OpenedModel, trained_on: WeekFeatures, week: WeekFeatures, side: Side) -> Moved:
    """`side` are the candidate's decisions on the rows of `week`."""
    held = trained_on.splits["validation"]
    held = held.part(~held.is_of(candidate.zero_cost.safe))
    before = candidate.model.scores_in_parts(dense for _, dense in held.chunks())
    now = side.scores[side.queries.reach].astype(np.float32)
    score = feature_drift.score_drift(before, now) if len(before) and len(now) else None
    drift = feature_drift.compare(trained_on.splits["train"], [week.splits[name] for name in SPLITS])
    return Moved(drift, score, before, now)
