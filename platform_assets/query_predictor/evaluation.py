"""What a model, its frozen threshold and the baselines do on one split, end to end: all of it, and by seen and unseen template.

The headline is the least routed share at a recall that is certain to be .98 on these days; the cut for it is found on the same days
for the model and for the baselines alike, which compares them, and is no promise: that is the frozen threshold's part. What does
not belong here: what is required (`requirements`), cross-validation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import query_baselines, ranking_metrics, requirements
from platform_assets.query_predictor.requirements import Judgement, may_be_missed, recall_lower_bound
from platform_assets.query_predictor.routing import Queries, Routed, share_to_catch
from platform_assets.query_predictor.split_features import SplitFeatures
from platform_assets.query_predictor.threshold import Threshold
from platform_assets.query_predictor.zero_cost import ZeroCostCategories

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """One split's numbers, as JSON values."""

    model: Numbers
    by_template: dict[str, dict[str, Any]]
    """seen | unseen -> the model's numbers, and each baseline's."""
    baselines: dict[str, Numbers]
    routed: Routed
    fingerprint_share: float | None
    """Routed share of the fingerprint's history at the model's recall."""

    def document(self) -> dict[str, Any]:
        """For evaluation.json."""
        return {"model": self.model, "by_template": self.by_template, "baselines": self.baselines}

    def metrics(self, prefix: str) -> dict[str, float]:
        """Flat and without what is not defined, for metrics.json."""
        found = dict(self.model)
        for name, numbers in self.baselines.items():
            found |= {f"{name}_{key}": value for key, value in numbers.items()}
        for name, numbers in self.by_template.items():
            found |= {f"{name}_templates_{key}": value for key, value in numbers["model"].items()}
        return {f"{prefix}_{key}": value for key, value in found.items() if value is not None}

    def judge(self) -> Judgement:
        """Against the requirements."""
        return requirements.judge(self.routed, self.fingerprint_share, self.model["auc"])


def evaluate(
    split: SplitFeatures,
    scores: NDArray[np.float32],
    threshold: Threshold,
    zero_cost: ZeroCostCategories,
    dropped_heavy: int = 0,
) -> Evaluation:
    """Of float32 scores [R], as ONNX gives them. `dropped_heavy`: heavy queries that the zero-cost stage lets by, not among the rows."""
    queries = Queries(split.is_heavy, split.is_of(zero_cost.safe), dropped_heavy)
    routes = threshold.routes(scores)
    routed = queries.routed(routes)
    ranks = {name: rank(split) for name, rank in query_baselines.BASELINES.items()}
    parts = {"seen": split.seen_template, "unseen": ~split.seen_template}
    follows = query_baselines.follows_rule(split)
    return Evaluation(
        model=_of_model(queries, scores, routed),
        by_template={name: _of_part(queries, scores, routes, ranks, chosen) for name, chosen in parts.items()},
        baselines={
            name: {
                **of_ranking(queries, each), "routed_share_at_models_recall": share_to_catch(queries, each, routed.caught),
                **(of_routing(queries.routed(follows)) if name == "rule" else {}),
            }
            for name, each in ranks.items()
        },
        routed=routed,
        fingerprint_share=share_to_catch(queries, ranks["fingerprint"], routed.caught),
    )  # fmt: skip


def _of_part(
    queries: Queries,
    scores: NDArray[np.float32],
    routes: NDArray[np.bool_],
    ranks: dict[str, NDArray[np.float64]],
    chosen: NDArray[np.bool_],
) -> dict[str, Any]:
    """Numbers of some rows, for the model and at its recall on them for each baseline."""
    part, routed = queries.part(chosen), queries.part(chosen).routed(routes[chosen])
    found: dict[str, Any] = {"model": _of_model(part, scores[chosen], routed)}
    for name, rank in ranks.items():
        share = share_to_catch(part, rank[chosen], routed.caught)
        found[name] = {**of_ranking(part, rank[chosen]), "routed_share_at_models_recall": share}
    return found


def _of_model(queries: Queries, scores: NDArray[np.float32], routed: Routed) -> Numbers:
    reach, heavy = queries.reach, queries.is_heavy
    losses = {
        "log_loss": ranking_metrics.log_loss(scores[reach], heavy[reach]),
        "calibration_error": _error(queries, scores),
    }
    return {**of_routing(routed), **of_ranking(queries, scores), **ranking_metrics.finite(losses)}


def of_routing(routed: Routed) -> Numbers:
    """Of a decision: counts, recall, precision, F1, routed share."""
    return {
        "rows": routed.rows, "heavy": routed.heavy, "missed": routed.missed, "missed_before_the_model": routed.free_heavy,
        "recall": routed.recall, "recall_lower_bound": recall_lower_bound(routed.caught, routed.heavy),
        "precision": routed.precision, "f1": routed.f1, "routed_share": routed.share,
    }  # fmt: skip


def of_ranking(queries: Queries, scores: NDArray[np.floating]) -> Numbers:
    """Of queries that reach a score; shares are of all rows."""
    reach, heavy = queries.reach, queries.is_heavy
    allowed = may_be_missed(queries.heavy)
    certain = None if allowed is None else share_to_catch(queries, scores, queries.heavy - allowed)
    observed = (
        share_to_catch(queries, scores, math.ceil(requirements.RECALL * queries.heavy)) if queries.heavy else None
    )
    ranked = {
        "auc": ranking_metrics.auc(scores[reach], heavy[reach]),
        "average_precision": ranking_metrics.average_precision(scores[reach], heavy[reach]),
    }
    return {
        **ranking_metrics.finite(ranked),
        "routed_share_at_certified_recall": certain,
        "routed_share_at_observed_recall": observed,
    }


def _error(queries: Queries, scores: NDArray[np.float32]) -> float:
    """Expected calibration error: mean distance of score and heavy share over ten bins of equally many rows."""
    bins = ranking_metrics.calibration(scores[queries.reach], queries.is_heavy[queries.reach])
    rows = sum(each["rows"] for each in bins)
    return sum(abs(each["score"] - each["heavy_share"]) * each["rows"] for each in bins) / rows if rows else math.nan
