"""What the world model's gate compares and how much of it a candidate may lose; from replay scores to a verdict.

The baseline is the mixture of own frequency and item neighbours, tuned on the validation weeks. hit@10 of a hidden product must
be better than the mixture's, not merely as good: equal on every basket is no pass. The reciprocal rank and hits of the whole
next basket may each be .01 worse. Rows of one customer hang together; an anonymous basket stands alone. What does not belong
here: ranks (`world_model.evaluation`), records (`core.replay_record`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from platform_assets.core import comparison, gate, statistics, transform, verdict
from platform_assets.core.gate import Comparison, Metric, Thresholds, Verdict, decide

CANDIDATE, BASELINE = "candidate", "baseline"
RANK, SLICE = "rank", "slice_"
HIT_AT_1, HIT_AT_5, HIT_AT_10, RECIPROCAL_RANK = "hit_at_1", "hit_at_5", "hit_at_10", "reciprocal_rank"
NEXT_HIT_AT_10 = "next_basket_hit_at_10"
MORE_WEEKS = "judge on more baskets"
COLD = ("customer", "cold")
METRICS = (
    Metric(HIT_AT_10, 0.0, more_rows=MORE_WEEKS),
    Metric(RECIPROCAL_RANK, 0.01, more_rows=MORE_WEEKS),
    Metric(NEXT_HIT_AT_10, 0.01, more_rows=MORE_WEEKS),
)
CODE_VERSION = transform.code_version(
    Path(__file__), *(Path(str(module.__file__)) for module in (comparison, gate, statistics, verdict))
)


def thresholds(rows: int, customers: int) -> Thresholds:
    """The gate's thresholds; below the standard ones they are called demo, and every verdict says so."""
    standard = Thresholds()
    lowered = rows < standard.minimum_rows or customers < standard.minimum_clusters
    name = "demo" if lowered else standard.name
    return Thresholds(
        name=name, minimum_rows=rows, minimum_clusters=customers, must_not_fail=(COLD,), cluster="customer"
    )


def judge(scores: Path, candidate_id: str, baseline_id: str, limits: Thresholds, digests: Mapping[str, str]) -> Verdict:
    """The verdict over replay_scores.parquet. The ids are the policy versions'; rows that none of them chose need none.

    Raises ValueError for scores that lack a column, or that cannot be judged.
    """
    columns = _columns(scores)
    sides = {
        side: {metric.name: _numbers(columns, f"{side}_{metric.name}") for metric in METRICS}
        for side in (CANDIDATE, BASELINE)
    }
    compared = Comparison(
        row_ids=[str(each) for each in _column(columns, "basket_id").tolist()],
        clusters=_column(columns, "cluster").tolist(),
        candidate=sides[CANDIDATE],
        baseline=sides[BASELINE],
        slices={name.removeprefix(SLICE): each.tolist() for name, each in columns.items() if name.startswith(SLICE)},
    )
    return _better_means_better(decide(compared, METRICS, limits, digests))


def means(scores: Path) -> dict[str, dict[str, float]]:
    """Ranker -> metric -> mean over the baskets where it is defined; the candidate and the baseline first."""
    columns = _columns(scores)
    found: dict[str, dict[str, float]] = {}
    for ranker in dict.fromkeys((CANDIDATE, BASELINE, *rankers_of(columns))):
        prefix = f"{ranker}_"
        own = {name.removeprefix(prefix): each for name, each in columns.items() if name.startswith(prefix)}
        values = {**from_ranks(_numbers(own, RANK)), **{name: each for name, each in own.items() if name != RANK}}
        found[ranker] = {name: float(np.nanmean(each)) for name, each in values.items() if not _is_empty(each)}
    return found


def rankers_of(columns: Iterable[str]) -> list[str]:
    """Whose ranks are among the columns."""
    ranks = [name for name in columns if name.endswith(f"_{RANK}") and not name.endswith(f"_{RECIPROCAL_RANK}")]
    return [name.removesuffix(f"_{RANK}") for name in ranks]


def from_ranks(ranks: np.ndarray) -> dict[str, np.ndarray]:
    """Metric -> value of each row, from the rank of its hidden product."""
    hits = {name: (ranks <= cut).astype(np.float64) for name, cut in ((HIT_AT_1, 1), (HIT_AT_5, 5), (HIT_AT_10, 10))}
    return {**hits, RECIPROCAL_RANK: 1.0 / ranks}


def _better_means_better(found: Verdict) -> Verdict:
    """The gate lets a complete tie pass. A model that is the mixture on every basket is no reason to serve a model."""
    first = found.metrics[0]
    if first.bounds is None or not first.bounds.is_tie or first.status != "pass":
        return found
    reason = f"{first.metric.name} is inconclusive: the same as the baseline's on every basket, and it must be better"
    metrics = (replace(first, status="inconclusive", reason=reason), *found.metrics[1:])
    outcome = "inconclusive" if found.outcome == "pass" else found.outcome
    reasons = verdict.in_order(found.constraints, metrics, found.slices) + found.reasons[len(_counted(found)) :]
    return replace(found, outcome=outcome, metrics=metrics, reasons=reasons)


def _counted(found: Verdict) -> tuple[str, ...]:
    return verdict.in_order(found.constraints, found.metrics, found.slices)


def _columns(scores: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(scores)
    arrays = (column.to_numpy(zero_copy_only=False) for column in table.columns)
    return dict(zip(table.column_names, arrays, strict=True))


def _column(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in columns:
        raise ValueError(
            f"the scores have no column {name}: evaluate the model again (platform_assets.world_model.replay)"
        )
    return columns[name]


def _numbers(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.asarray(_column(columns, name), np.float64)


def _is_empty(values: Sequence[Any] | np.ndarray) -> bool:
    return bool(np.isnan(np.asarray(values, np.float64)).all())
