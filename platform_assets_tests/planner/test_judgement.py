"""The planner's gate on made-up replay scores: what passes, what is rejected, and for which reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.planner import judgement
from platform_assets.planner.judgement import (
    ALIGNMENT,
    COST,
    DIVERSITY,
    EDITS,
    LEFTOVERS,
    OFFLINE,
    RAW_RESPECT,
    RESPECT,
)

LIMITS = judgement.thresholds(1000, 250)
ROWS, HOUSEHOLDS = 1500, 400
Change = Callable[[dict[str, Any]], None]


def scores(tmp_path: Path, change: Change = lambda columns: None, logged_by: str = "v9", rows: int = ROWS) -> Path:
    """Two equal policies with noise of their own, then changed."""
    draw = np.random.default_rng(5)
    columns: dict[str, Any] = {
        "plan_id": [f"p{number}" for number in range(rows)],
        "household_id": [f"h{number % min(HOUSEHOLDS, rows // 2)}" for number in range(rows)],
        "logged_by": [logged_by] * rows,
        "randomised": [number % 10 == 0 for number in range(rows)],
        "slice_household": ["unseen" if number % 2 else "seen" for number in range(rows)],
    }
    for name in (OFFLINE, ALIGNMENT, EDITS, DIVERSITY, LEFTOVERS):
        level = draw.uniform(0.3, 0.6, rows)
        for side in ("candidate", "baseline"):
            columns[f"{side}_{name}"] = level + draw.normal(0, 0.02, rows)
        columns[f"candidate_{name}"] += 0.005
    for side in ("candidate", "baseline"):
        columns |= {
            f"{side}_{RESPECT}": np.ones(rows),
            f"{side}_{RAW_RESPECT}": np.ones(rows),
            f"{side}_{COST}": np.full(rows, 50),
        }
    change(columns)
    path = tmp_path / "replay_scores.parquet"
    pq.write_table(pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}), path)
    return path


def judge(path: Path, baseline: str = "v0", limits: Any = LIMITS) -> Any:
    return judgement.judge(path, baseline, limits, {"planner/dataset/2026-01-09": "d" * 32})


def test_a_candidate_as_good_as_the_baseline_passes(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path))
    assert verdict.outcome == "pass", verdict.reasons
    assert verdict.digests == {"planner/dataset/2026-01-09": "d" * 32}


@pytest.mark.parametrize(
    ("name", "loss"),
    [(OFFLINE, 0.1), (ALIGNMENT, 0.1), (EDITS, 0.1), (DIVERSITY, 0.2), (LEFTOVERS, 0.2), (RAW_RESPECT, 0.1)],
)
def test_a_regression_of_any_metric_is_rejected_for_that_reason(tmp_path: Path, name: str, loss: float) -> None:
    def worse(columns: dict[str, Any]) -> None:
        columns[f"candidate_{name}"] = columns[f"candidate_{name}"] - loss

    verdict = judge(scores(tmp_path, worse))
    assert verdict.outcome == "fail"
    assert verdict.reasons[0].startswith(name)


def test_one_served_plan_that_breaks_a_rule_rejects_the_candidate(tmp_path: Path) -> None:
    def one(columns: dict[str, Any]) -> None:
        columns[f"candidate_{RESPECT}"][7] = 0.0

    verdict = judge(scores(tmp_path, one))
    assert verdict.outcome == "fail"
    assert "p7" in verdict.reasons[0]


def test_rows_that_the_baseline_chose_judge_neither_alignment_nor_the_combined_score(tmp_path: Path) -> None:
    def copies(columns: dict[str, Any]) -> None:
        for name in (ALIGNMENT, OFFLINE):
            columns[f"candidate_{name}"] = columns[f"baseline_{name}"] - 0.3

    verdict = judge(scores(tmp_path, copies, logged_by="v0"))
    assert {verdict.result(name).status for name in (ALIGNMENT, OFFLINE, EDITS)} == {"anchored"}
    assert verdict.outcome == "pass"
    assert judge(scores(tmp_path, copies, logged_by="v1")).outcome == "fail"


def test_rows_of_other_policies_judge_beside_one_row_of_the_baselines(tmp_path: Path) -> None:
    def one_row_and_worse(columns: dict[str, Any]) -> None:
        columns["logged_by"][0] = "v0"
        columns[f"candidate_{ALIGNMENT}"] = columns[f"candidate_{ALIGNMENT}"] - 0.3

    verdict = judge(scores(tmp_path, one_row_and_worse))
    assert verdict.result(ALIGNMENT).status == "fail"
    assert verdict.result(ALIGNMENT).bounds.rows >= ROWS - 1


def test_cost_counts_against_another_model_and_not_against_the_heuristic(tmp_path: Path) -> None:
    def dearer(columns: dict[str, Any]) -> None:
        columns[f"candidate_{COST}"] = np.full(ROWS, 80)

    def free_baseline(columns: dict[str, Any]) -> None:
        columns[f"baseline_{COST}"] = np.zeros(ROWS)

    assert judge(scores(tmp_path, dearer)).reasons[0].startswith(COST)
    assert judge(scores(tmp_path, free_baseline)).outcome == "pass"


def test_few_rows_are_inconclusive_and_the_demos_thresholds_say_so(tmp_path: Path) -> None:
    path = scores(tmp_path, rows=300)
    assert judge(path).outcome == "inconclusive"
    verdict = judge(path, limits=judgement.thresholds(200, 150))
    assert verdict.outcome == "pass"
    assert "demo (200 rows / 150 households)" in verdict.label


def test_an_undefined_score_is_no_way_around_a_metric(tmp_path: Path) -> None:
    def undefined_for_both(columns: dict[str, Any]) -> None:
        for side in ("candidate", "baseline"):
            columns[f"{side}_{DIVERSITY}"][:700] = np.nan

    def only_the_candidates(columns: dict[str, Any]) -> None:
        columns[f"candidate_{DIVERSITY}"][:700] = np.nan

    assert judge(scores(tmp_path, undefined_for_both)).outcome == "pass"
    verdict = judge(scores(tmp_path, only_the_candidates))
    assert verdict.outcome == "fail"
    assert verdict.reasons[0].startswith(DIVERSITY)


def test_households_the_model_never_saw_must_not_fail(tmp_path: Path) -> None:
    def worse_for_strangers(columns: dict[str, Any]) -> None:
        strangers = np.array(columns["slice_household"]) == "unseen"
        columns[f"candidate_{LEFTOVERS}"] = columns[f"candidate_{LEFTOVERS}"] + np.where(strangers, -0.045, 0.06)

    verdict = judge(scores(tmp_path, worse_for_strangers))
    assert verdict.result(LEFTOVERS).status == "pass"
    assert verdict.outcome == "fail"
    assert "household=unseen" in verdict.reasons[0]


def test_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    path = scores(tmp_path)
    assert judge(path).to_json() == judge(path).to_json()
