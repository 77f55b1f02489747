"""One week's query predictor: trained, compared with its own ONNX and with the served rows, and what else is asked of its scores.

A threshold may be chosen for what mistakes cost, as the training does, or for a recall that is certain on the validation days;
both are frozen before the test days. What becomes lines of a table is `benchmarks.query_predictor_quality`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.query_predictor_world import Week
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import evaluation, onnx_model, parity, requirements, trained_model, training
from platform_assets.query_predictor.model_files import EVALUATION
from platform_assets.query_predictor.requirements import Judgement
from platform_assets.query_predictor.routing import Queries, Routed
from platform_assets.query_predictor.sampling import split_days
from platform_assets.query_predictor.split_features import read_week
from platform_assets.query_predictor.threshold import Threshold, cost_curve
from platform_assets.query_predictor.zero_cost import ZeroCostCategories

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Shares:
    """The least share of test queries to route, best first, for a recall of .98: observed, and certain."""

    observed: float | None
    certified: float | None

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Shares:
        """Of the numbers of an evaluation."""
        return cls(numbers["routed_share_at_observed_recall"], numbers["routed_share_at_certified_recall"])


@dataclass(frozen=True)
class Run:
    """What one training says of its test days."""

    week: Week
    metrics: Mapping[str, Any]
    evaluation: dict[str, Any]
    """Of the test days, as evaluation.json has it."""
    judgement: Judgement
    parity: Outcome
    planted: Shares | None
    """Of a router that knows all that was planted, but the noise; None for a recording."""
    certain: Routed | None
    """Test queries by the threshold for a recall that is certain on the validation days; None: too few heavy ones there."""

    @property
    def name(self) -> str:
        """The log and its week."""
        return f"{self.week.log.name}, week {self.week.week}"

    def shares(self, ranker: str) -> Shares:
        """Of the model, or of a baseline."""
        found = self.evaluation["model"] if ranker == "model" else self.evaluation["baselines"][ranker]
        return Shares.of(found)


def run_week(week: Week, words: Sequence[str]) -> Run:
    """Train with further options of the program, then measure."""
    model = week.folder / "model"
    given = ["--features", week.features, "--zero_cost", week.zero_cost, "--output", model]
    metrics = training.train(trained_model.read_options([*map(str, given), "--no-plots", *words])).metrics
    queries, chances = _queries(week), week.planted_chances()
    return Run(
        week, metrics, json.loads((model / EVALUATION).read_text(encoding="utf-8"))["test"],
        trained_model.read_judgement(model), parity.check(week.log.engine, week.features, week.labelled),
        None if chances is None else Shares.of(evaluation.of_ranking(queries["test"], chances)),
        _by_certain_threshold(queries, _scores(week, onnx_model.OnnxModel(model / onnx_model.NAME))),
    )  # fmt: skip


def certain_threshold(queries: Queries, scores: Scores) -> Threshold | None:
    """The highest threshold of a clear cut with a certain recall of .98 on these queries; None: too few heavy ones, or too many free."""
    allowed = requirements.may_be_missed(queries.heavy)
    if allowed is None:
        return None
    reach, heavy = queries.reach, queries.is_heavy
    curve = cost_curve(scores[reach], heavy[reach], 1.0, 1.0)
    cuts = np.flatnonzero((curve.caught >= queries.heavy - allowed) & curve.is_clear)
    if not len(cuts):
        return None
    cut = int(cuts[0])
    missed, passed = queries.heavy - float(curve.caught[cut]), float(curve.false_positives[cut])
    return Threshold(
        float(curve.value(cut)), float(curve.cost[cut]), missed, passed, len(heavy), queries.heavy, 1.0, 1.0
    )


def _by_certain_threshold(queries: Mapping[str, Queries], scores: Mapping[str, Scores]) -> Routed | None:
    threshold = certain_threshold(queries["validation"], scores["validation"])
    return None if threshold is None else queries["test"].routed(threshold.routes(scores["test"]))


def _scores(week: Week, model: onnx_model.OnnxModel) -> dict[str, Scores]:
    """By split, of all rows."""
    return {
        name: np.concatenate([np.empty(0, np.float32), *(model.scores(dense) for _, dense in split.chunks())])
        for name, split in read_week(week.features).splits.items()
    }


def _queries(week: Week) -> dict[str, Queries]:
    """By split; those of the test days with the heavy ones that the zero-cost stage lets by and that are no row."""
    free = ZeroCostCategories.from_json(week.zero_cost.read_text(encoding="utf-8"))
    dropped = {"test": free.dropped_heavy_on(split_days(week.week).test, free.safe)}
    return {
        name: Queries(split.is_heavy, np.isin(split.category, sorted(free.safe)), dropped.get(name, 0))
        for name, split in read_week(week.features).splits.items()
    }
