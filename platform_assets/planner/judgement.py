"""What the planner's gate compares and how much of it a candidate may lose; from replay scores to a verdict.

Margins are those of the planner's design: alignment and edits .02, diversity and leftovers 5 % of the baseline, cost 10 %,
the combined score .01 and not below the baseline, raw violations one point. Alignment and edits are near duplicates and
together .70 of the combined score.

Alignment rewards the policy that logged: an accepted plan is its plan, edited. Rows that the baseline logged and did not draw at
random therefore judge neither of the two, nor the combined score; where too few others are left, they are anchored (reported). Cost is gated against
another model; the heuristic costs nothing, which says nothing about what a better plan may cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from platform_assets.core import comparison, gate, statistics, transform, verdict
from platform_assets.core.gate import Comparison, Metric, Thresholds, Verdict, decide

ALIGNMENT, EDITS, DIVERSITY, LEFTOVERS = "plan_alignment", "edit_distance_score", "meal_diversity", "leftovers_utility"
OFFLINE, RESPECT, RAW_RESPECT, COST = "offline_eval_score", "constraint_respect", "raw_constraint_respect", "tokens"
NOT_CHOSEN = "rows that the baseline did not choose"
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


def metrics(baseline_logged: bool, baseline_costs: bool) -> list[Metric]:
    """What is compared, and the margins."""
    subset = NOT_CHOSEN if baseline_logged else None
    return [
        Metric(OFFLINE, 0.01, at_least_equal=True, subset=subset),
        Metric(ALIGNMENT, 0.02, subset=subset),
        Metric(EDITS, 0.02, subset=subset),
        Metric(DIVERSITY, 0.05, margin_is_share=True),
        Metric(LEFTOVERS, 0.05, margin_is_share=True),
        Metric(RAW_RESPECT, 0.01),
        Metric(COST, 0.10, margin_is_share=True, higher_is_better=False, gated=baseline_costs),
    ]


def judge(scores: Path, baseline_id: str, limits: Thresholds, digests: Mapping[str, str]) -> Verdict:
    """The verdict over replay_scores.parquet; `baseline_id` is the baseline's id, by which rows name who logged them."""
    import pyarrow.parquet as pq

    columns = {name: column.to_numpy(zero_copy_only=False) for name, column in zip_columns(pq.read_table(scores))}
    compared = metrics(
        baseline_logged=bool((columns["logged_by"] == baseline_id).any()),
        baseline_costs=bool(columns[f"baseline_{COST}"].any()),
    )
    not_chosen = columns["randomised"].astype(bool) | (columns["logged_by"] != baseline_id)
    return decide(_comparison(columns, compared, not_chosen), compared, limits, digests)


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


def _comparison(columns: Mapping[str, np.ndarray], compared: Sequence[Metric], not_chosen: np.ndarray) -> Comparison:
    sides: dict[str, dict[str, np.ndarray]] = {"candidate": {}, "baseline": {}}
    for metric in compared:
        candidate, baseline = _defined(columns[f"candidate_{metric.name}"], columns[f"baseline_{metric.name}"])
        sides["candidate"][metric.name], sides["baseline"][metric.name] = candidate, baseline
    slices = {name.removeprefix(SLICE): values.tolist() for name, values in columns.items() if name.startswith(SLICE)}
    return Comparison(
        row_ids=columns["plan_id"].tolist(),
        clusters=columns["household_id"].tolist(),
        candidate=sides["candidate"],
        baseline=sides["baseline"],
        constraints={RESPECT: columns[f"candidate_{RESPECT}"]},
        slices=slices,
        subsets={NOT_CHOSEN: not_chosen.tolist()},
    )


def _defined(candidate: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sides' values with a number in every row.

    Where the row has none for either, the two are equal there. Where only the candidate has none (a single meal, say, has no
    diversity), it gets 0: to plan less must not be a way around a metric.
    """
    candidate, baseline = np.asarray(candidate, np.float64), np.asarray(baseline, np.float64)
    usual = float(np.nanmean(baseline)) if np.isfinite(baseline).any() else 0.0
    missing = ~np.isfinite(baseline)
    lost = ~np.isfinite(candidate) & ~missing
    candidate = np.where(lost, 0.0, np.where(missing, usual, candidate))
    return candidate, np.where(missing, usual, baseline)
