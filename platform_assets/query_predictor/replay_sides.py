"""How each of the two policies decides the rows of a replay: a model as it is served, or the rule that routes without one.

A model's scores are those of its ONNX in float32, one thread, of its own vocabulary and history, behind its own zero-cost categories.
The rule stands alone: nothing is routed before it. Heavy queries that are no row have no text to ask about: a model lets those of its
safe categories by, and the rule is held to let the candidate's by. It routes long texts and many joins, and these are statements such
as DESCRIBE; so both recalls are of the same heavy queries, and neither side gains by them. What does not belong here: where rows come
from (`replay_rows`), what the decisions are worth (`judgement`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import query_baselines
from platform_assets.query_predictor.opened_model import OpenedModel
from platform_assets.query_predictor.replay_rows import ReplayError, ReplayRows
from platform_assets.query_predictor.routing import Queries
from platform_assets.query_predictor.zero_cost import ZeroCostCategories

RULE, MODEL = "rule", "model"


@dataclass(frozen=True)
class Side:
    """Decisions on R rows. `scores` [R] rank queries; `routed` [R] is what is sent as heavy in the end."""

    policy: str
    scores: NDArray[np.float64]
    routed: NDArray[np.bool_]
    queries: Queries
    prediction: dict[str, Any]
    """How an answer is computed, as its version's defaults say it; nothing of the rule."""


def of_model(opened: OpenedModel, rows: ReplayRows, place: int, counted: ZeroCostCategories) -> Side:
    """`counted` are the log's counts of the week: of them those heavy queries that are no row, and that the model's safe categories
    let by. Raises ReplayError for a model that was made with days that are replayed."""
    _require_unseen(opened, rows)
    safe = opened.zero_cost.safe
    queries = Queries(rows.features.is_heavy, rows.features.is_of(safe), counted.dropped_heavy_on(rows.days, safe))
    scores = opened.model.scores_in_parts(rows.asked(place))
    routed = opened.threshold.routes(scores) & queries.reach
    return Side(MODEL, scores.astype(np.float64), routed, queries, opened.prediction)


def of_rule(rows: ReplayRows, dropped_heavy: int) -> Side:
    """The rule as version 0 of the policy has it; `dropped_heavy` are the candidate's."""
    queries = Queries(rows.features.is_heavy, np.zeros(len(rows), bool), dropped_heavy)
    return Side(RULE, query_baselines.rule(rows.features), query_baselines.follows_rule(rows.features), queries, {})


def require_its_features(opened: OpenedModel, folder: Path, digest: str) -> None:
    """Raises ReplayError unless a model was trained on these features: seen templates and drift are told by them."""
    if opened.config["features_digest"] != digest:
        raise ReplayError(
            f"the model of {opened.week} was trained on features with digest {opened.config['features_digest'][:12]}, and {folder} "
            f"has {digest[:12]}: name the features of the model's own week as --model_features, or train it again"
        )


def _require_unseen(opened: OpenedModel, rows: ReplayRows) -> None:
    first = rows.days[0]
    if opened.week > first:
        raise ReplayError(
            f"the model of {opened.week} was grown, stopped or given its threshold on days from {first} on, which are replayed here: "
            f"replay the week after {opened.week}, or a later one"
        )
