"""What the query predictor's gate demands: the product's requirements, and a cost that is not worse than the active version's.

The requirements (`requirements`) are judged on the replayed days with the frozen threshold, whatever the active version does. The
cost of a query is what its mistake costs, 100 for a missed heavy one and 1 for a false alarm where nothing else is configured, and
its part of what is let by beside the rows; it may be a twentieth above the active version's. Queries of one template hang together.
The verdict is the worse of both. From replay scores alone; what does not belong here: scores (`replay_sides`), records
(`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platform_assets.core import comparison, gate, statistics, transform, verdict
from platform_assets.core.gate import Comparison, Metric, Thresholds, Verdict, decide
from platform_assets.query_predictor import evaluation, ranking_metrics, requirements, routing, zero_cost
from platform_assets.query_predictor.requirements import Judgement
from platform_assets.query_predictor.routing import Queries, Routed, share_to_catch

CANDIDATE, BASELINE, FINGERPRINT, RULE = "candidate", "baseline", "fingerprint", "rule"
COST, MINUS_COST, SLICE = "cost", "minus_cost", "slice_"
METRICS = (
    Metric(COST, 0.05, margin_is_share=True, higher_is_better=False, more_rows="replay a week with more queries"),
    *(Metric(name, 0.0, higher_is_better=False, gated=False) for name in ("missed", "false_alarm", "routed")),
)
# Half a percent more of all queries missed: among four slices an equal candidate's noise hardly ever proves that.
SLICE_MISSED = 0.005
Columns = Mapping[str, NDArray]
_SOURCES = (comparison, gate, statistics, verdict, evaluation, ranking_metrics, requirements, routing, zero_cost)
CODE_VERSION = transform.code_version(Path(__file__), *(Path(str(module.__file__)) for module in _SOURCES))


def thresholds(rows: int, templates: int, cost_fn: float) -> Thresholds:
    """The gate's thresholds; below the standard ones they are called demo, and every verdict says so.

    `cost_fn` is what a missed query costs in the scores: the floor of a slice is in their unit.
    """
    standard = Thresholds()
    lowered = rows < standard.minimum_rows or templates < standard.minimum_clusters
    name = "demo" if lowered else standard.name
    return Thresholds(
        name=name,
        minimum_rows=rows,
        minimum_clusters=templates,
        slice_floor=-SLICE_MISSED * cost_fn,
        cluster="template",
    )


def judge(scores: Path, candidate_id: str, baseline_id: str, limits: Thresholds, digests: Mapping[str, str]) -> Verdict:
    """The verdict over replay_scores.parquet. The ids are the policy versions'; rows that none of them chose need none.

    Raises ValueError for scores that lack a column, or that cannot be judged.
    """
    columns = read(scores)
    sides = {side: {metric.name: number(columns, side, metric.name) for metric in METRICS} for side in (CANDIDATE, BASELINE)}  # fmt: skip
    compared = Comparison(
        row_ids=column(columns, "query_id").tolist(),
        clusters=column(columns, "cluster").tolist(),
        candidate=sides[CANDIDATE],
        baseline=sides[BASELINE],
        slices={name.removeprefix(SLICE): each.tolist() for name, each in columns.items() if name.startswith(SLICE)},
    )
    return decide(compared, METRICS, limits, digests, requirements_of(columns, CANDIDATE).checks)


def requirements_of(columns: Columns, side: str) -> Judgement:
    """What one side does on all rows, against the product's requirements."""
    queries, routed = queries_of(columns, side), routed_of(columns, side)
    share = share_to_catch(queries, column(columns, f"{FINGERPRINT}_score"), routed.caught)
    reach, scores = queries.reach, number(columns, side, "score")
    auc = ranking_metrics.finite({"auc": ranking_metrics.auc(scores[reach], queries.is_heavy[reach])})
    return requirements.judge(routed, share, auc["auc"])


def queries_of(columns: Columns, side: str) -> Queries:
    """The rows, and what lies beside them, as one side meets them."""
    dropped = column(columns, f"{side}_dropped_heavy")
    free = column(columns, f"{side}_is_free").astype(bool)
    return Queries(column(columns, "is_heavy").astype(bool), free, int(dropped[0]) if len(dropped) else 0)


def routed_of(columns: Columns, side: str) -> Routed:
    """What comes of one side's decisions."""
    return queries_of(columns, side).routed(column(columns, f"{side}_routed").astype(bool))


def means(scores: Path) -> dict[str, dict[str, float]]:
    """Policy -> metric -> value over the rows; the candidate and the baseline first. What is not defined is left out.

    `minus_cost` is the negative mean cost of a query: the one number by which a version is told from another.
    """
    columns = read(scores)
    found: dict[str, dict[str, float | None]] = {}
    for side in (CANDIDATE, BASELINE):
        told = {**evaluation.of_routing(routed_of(columns, side)), **ranking_of(columns, side, side)}
        cost = float(number(columns, side, COST).mean())
        shown = ("recall", "precision", "f1", "auc", "routed_share", "routed_share_at_observed_recall")
        found[side] = {COST: cost, MINUS_COST: -cost, **{name: told[name] for name in shown}}
    for side in (FINGERPRINT, RULE):
        told = ranking_of(columns, side, CANDIDATE)
        found[side] = {name: told[name] for name in ("auc", "routed_share_at_observed_recall")}
    return {side: {name: value for name, value in told.items() if value is not None} for side, told in found.items()}


def ranking_of(columns: Columns, ranked_by: str, behind: str) -> evaluation.Numbers:
    """What one ranking is worth behind the zero-cost categories of a side."""
    return evaluation.of_ranking(queries_of(columns, behind), number(columns, ranked_by, "score"))


def read(scores: Path) -> dict[str, NDArray]:
    """The columns of replay_scores.parquet."""
    import pyarrow.parquet as pq

    table = pq.read_table(scores)
    arrays = (each.to_numpy(zero_copy_only=False) for each in table.columns)
    return dict(zip(table.column_names, arrays, strict=True))


def column(columns: Columns, name: str) -> NDArray:
    """Raises ValueError naming one that is missing."""
    if name not in columns:
        raise ValueError(f"the scores have no column {name}: replay again (platform_assets.query_predictor.replay)")
    return columns[name]


def number(columns: Columns, side: str, name: str) -> NDArray[np.float64]:
    """One side's column."""
    return np.asarray(column(columns, f"{side}_{name}"), np.float64)
