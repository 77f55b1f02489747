"""What the planner's gate compares and how much of it a candidate may lose; from replay scores to a verdict.

Margins are those of the planner's design: alignment and edits .02, diversity and leftovers 5 % of the baseline, cost 10 %,
the combined score .01 and not below the baseline, raw violations one point. Alignment and edits are near duplicates and
together .70 of the combined score.

Alignment rewards the policy that logged: an accepted plan is its plan, edited. Rows that either of the two logged and did not draw
at random therefore judge neither alignment and edits nor the combined score. Where too few others are left, alignment and edits
are left to an online experiment, unless even those show a loss; the combined score must be at least equal, and without it there
is no pass. A metric is judged on the rows where the baseline has a value. Cost is gated against another model; the heuristic
costs nothing, which says nothing about what a better plan may cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from platform_assets.core import comparison, gate, statistics, transform, verdict
from platform_assets.core.gate import Comparison, Metric, Thresholds, Verdict, decide

ALIGNMENT, EDITS, DIVERSITY, LEFTOVERS = "plan_alignment", "edit_distance_score", "meal_diversity", "leftovers_utility"
OFFLINE, RESPECT, RAW_RESPECT, COST = "offline_eval_score", "constraint_respect", "raw_constraint_respect", "tokens"
NOT_CHOSEN = "rows that neither policy chose"
MORE_WEEKS = "judge on more weeks"
MORE_NOT_CHOSEN = f"log more plans at random, or {MORE_WEEKS}"
UNSEEN = ("household", "unseen")
REPORTED = ("slot_match", "added_hit", "removed_avoided", "edit_prediction_error", "raw_offline_eval_score")
SLICE = "slice_"
CODE_VERSION = transform.code_version(
    Path(__file__), *(Path(str(module.__file__)) for module in (comparison, gate, statistics, verdict))
)


def thresholds(rows: int, households: int) -> Thresholds:
    """The gate's thresholds; below the standard ones they are called demo, and every verdict says so."""
    standard = Thresholds()
    lowered = rows < standard.minimum_rows or households < standard.minimum_clusters
    name = "demo" if lowered else standard.name
    return Thresholds(name=name, minimum_rows=rows, minimum_clusters=households, must_not_fail=(UNSEEN,))


def metrics(either_chose: bool, baseline_costs: bool) -> list[Metric]:
    """What is compared, and the margins; `either_chose`: some rows' answers are the candidate's or the baseline's own."""
    subset, more = (NOT_CHOSEN, MORE_NOT_CHOSEN) if either_chose else (None, MORE_WEEKS)
    return [
        Metric(OFFLINE, 0.01, at_least_equal=True, subset=subset, more_rows=more),
        Metric(ALIGNMENT, 0.02, subset=subset, may_be_anchored=either_chose, more_rows=more),
        Metric(EDITS, 0.02, subset=subset, may_be_anchored=either_chose, more_rows=more),
        Metric(DIVERSITY, 0.05, margin_is_share=True, more_rows=MORE_WEEKS),
        Metric(LEFTOVERS, 0.05, margin_is_share=True, more_rows=MORE_WEEKS),
        Metric(RAW_RESPECT, 0.01, more_rows=MORE_WEEKS),
        Metric(COST, 0.10, margin_is_share=True, higher_is_better=False, gated=baseline_costs, more_rows=MORE_WEEKS),
    ]


def judge(scores: Path, candidate_id: str, baseline_id: str, limits: Thresholds, digests: Mapping[str, str]) -> Verdict:
    """The verdict over replay_scores.parquet; the ids are the policy versions', by which rows name who logged them."""
    import pyarrow.parquet as pq

    columns = {name: column.to_numpy(zero_copy_only=False) for name, column in zip_columns(pq.read_table(scores))}
    logged = (columns["logged_by"] == candidate_id) | (columns["logged_by"] == baseline_id)
    not_chosen = columns["randomised"].astype(bool) | ~logged
    compared = metrics(not not_chosen.all(), bool(columns[f"baseline_{COST}"].any()))
    judged, subsets = _where_defined(compared, columns, {NOT_CHOSEN: not_chosen})
    return decide(_comparison(columns, judged, subsets), judged, limits, digests)


def zip_columns(table: Any) -> list[tuple[str, Any]]:
    """(name, column) of an Arrow table."""
    return list(zip(table.column_names, table.columns, strict=True))


def means(scores: Path, sides: Sequence[str] = ("candidate", "baseline")) -> dict[str, dict[str, float]]:
    """Side -> metric -> mean over the rows where it is defined; what people read first."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(scores)
    named = (OFFLINE, ALIGNMENT, EDITS, DIVERSITY, LEFTOVERS, RESPECT, RAW_RESPECT, COST, "passes", *REPORTED)
    found: dict[str, dict[str, float]] = {}
    for side in sides:
        values = {name: pc.mean(table[f"{side}_{name}"]).as_py() for name in named}  # pyright: ignore
        found[side] = {name: float(value) for name, value in values.items() if value is not None}
        rules = [name for name in table.column_names if name.startswith(f"{side}_interventions_")]
        found[side]["interventions"] = float(sum(pc.sum(table[name]).as_py() or 0 for name in rules))  # pyright: ignore
    return found


def _where_defined(
    compared: Iterable[Metric], columns: Mapping[str, np.ndarray], subsets: Mapping[str, np.ndarray]
) -> tuple[list[Metric], dict[str, np.ndarray]]:
    """The metrics, each on the rows where the baseline has a value, and all subsets; what is defined everywhere stays as it is.

    On the others there is nothing to compare with, and a tie there would thin out what is lost elsewhere.
    """
    judged, found = [], dict(subsets)
    for metric in compared:
        is_defined = ~np.isnan(_numbers(columns[f"baseline_{metric.name}"]))
        if not is_defined.all():
            rows, inside = (f"{metric.subset},", found[metric.subset]) if metric.subset else ("rows", True)
            name = f"{rows} where the baseline has {metric.name}"
            found[name], metric = is_defined & inside, replace(metric, subset=name)
        judged.append(metric)
    return judged, found


def _comparison(
    columns: Mapping[str, np.ndarray], compared: Sequence[Metric], subsets: Mapping[str, np.ndarray]
) -> Comparison:
    baseline = {metric.name: _numbers(columns[f"baseline_{metric.name}"]) for metric in compared}
    candidate = {metric.name: _candidates(metric, columns, baseline[metric.name]) for metric in compared}
    slices = {name.removeprefix(SLICE): values.tolist() for name, values in columns.items() if name.startswith(SLICE)}
    return Comparison(
        row_ids=columns["plan_id"].tolist(),
        clusters=columns["household_id"].tolist(),
        candidate=candidate,
        baseline=baseline,
        constraints={RESPECT: columns[f"candidate_{RESPECT}"]},
        slices=slices,
        subsets={name: inside.tolist() for name, inside in subsets.items()},
    )


def _candidates(metric: Metric, columns: Mapping[str, np.ndarray], baseline: np.ndarray) -> np.ndarray:
    """The candidate's values.

    Where it alone has none (a single meal, say, has no diversity), it gets 0: to plan less must not be a way around a metric.
    Where less is better 0 would be the best there is, and the gate refuses what is undefined.
    """
    candidate = _numbers(columns[f"candidate_{metric.name}"])
    lost = np.isnan(candidate) & ~np.isnan(baseline) & metric.higher_is_better
    return np.where(lost, 0.0, candidate)


def _numbers(column: np.ndarray) -> np.ndarray:
    return np.asarray(column, np.float64)
