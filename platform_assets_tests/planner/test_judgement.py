"""The planner's gate on made-up replay scores: what passes, what is rejected, and for which reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core import verdict_record, verdict_text
from platform_assets.core.policy_version import STAGE_OF, PolicyVersion, Status
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
    return judgement.judge(path, "v1", baseline, limits, {"planner/dataset/2026-01-09": "d" * 32})


def randomised(share: float, change: Change = lambda columns: None) -> Change:
    """So much of the rows was drawn at random."""

    def changed(columns: dict[str, Any]) -> None:
        rows = len(columns["plan_id"])
        columns["randomised"] = (np.random.default_rng(1).permutation(rows) < share * rows).tolist()
        change(columns)

    return changed


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


def shifted(names: Sequence[str], where: Callable[[np.ndarray], np.ndarray], by: float) -> Change:
    """The candidate's metrics change by so much on the rows that were drawn at random, or on the others."""

    def change(columns: dict[str, Any]) -> None:
        there = where(np.asarray(columns["randomised"], dtype=bool))
        for name in names:
            columns[f"candidate_{name}"] = columns[f"candidate_{name}"] + np.where(there, by, 0.0)

    return change


ANCHORABLE = (OFFLINE, ALIGNMENT, EDITS)


@pytest.mark.parametrize("logged_by", ["v0", "v1"])
@pytest.mark.parametrize("by", [-0.3, 0.3])
def test_rows_that_either_of_the_two_chose_judge_neither_alignment_nor_the_combined_score(
    tmp_path: Path, logged_by: str, by: float
) -> None:
    def compare(where: Callable[[np.ndarray], np.ndarray]) -> Any:
        change = randomised(0.7, shifted(ANCHORABLE, where, by))
        return judge(scores(tmp_path, change, logged_by))

    chosen = compare(np.logical_not)
    assert {chosen.result(name).status for name in ANCHORABLE} == {"pass"}
    assert chosen.outcome == "pass"
    assert {chosen.result(name).bounds.rows for name in ANCHORABLE} == {1050}
    assert compare(lambda drawn: drawn).outcome == ("fail" if by < 0 else "pass")


def test_a_candidate_that_wins_only_on_the_rows_it_logged_itself_does_not_pass(tmp_path: Path) -> None:
    def its_own(columns: dict[str, Any]) -> None:
        columns["logged_by"] = ["v1" if number % 4 else "v9" for number in range(4000)]
        own = np.array(columns["logged_by"]) == "v1"
        for name in ANCHORABLE:
            columns[f"candidate_{name}"] = columns[f"candidate_{name}"] + np.where(own, 0.3, -0.1)

    verdict = judge(scores(tmp_path, randomised(0.0, its_own), rows=4000))
    assert {verdict.result(name).status for name in ANCHORABLE} == {"fail"}
    assert verdict.result(OFFLINE).all_rows.estimate > 0.15


@pytest.mark.parametrize("rows", [ROWS, 2400])
def test_a_loss_on_the_few_rows_that_neither_chose_fails(tmp_path: Path, rows: int) -> None:
    change = randomised(0.4, shifted(ANCHORABLE, lambda drawn: drawn, -0.3))
    verdict = judge(scores(tmp_path, change, logged_by="v0", rows=rows))
    assert {verdict.result(name).status for name in ANCHORABLE} == {"fail"}
    assert verdict.outcome == "fail"


def test_without_enough_rows_that_neither_chose_nothing_passes_and_the_reason_says_what_helps(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path, randomised(0.4), logged_by="v0"))
    assert [verdict.result(name).status for name in ANCHORABLE] == ["inconclusive", "anchored", "anchored"]
    assert verdict.outcome == "inconclusive"
    assert verdict.reasons[0].startswith(OFFLINE)
    assert verdict.reasons[0].endswith(
        "; rows that neither policy chose: 600 rows / 333 households, the minimum is 1,000 rows / 250 households: log more"
        " plans at random, or judge on more weeks"
    )
    enough = judge(scores(tmp_path, randomised(0.4), logged_by="v0", rows=2500))
    assert enough.outcome == "pass"
    nothing = judge(scores(tmp_path, randomised(0.0), logged_by="v0", rows=2500))
    assert nothing.outcome == "inconclusive"
    assert "rows that neither policy chose: 0 rows / 0 households" in nothing.reasons[0]


def test_the_table_shows_a_metric_without_rows_of_its_own_on_all_rows_and_says_so(tmp_path: Path) -> None:
    nothing = judge(scores(tmp_path, randomised(0.0), logged_by="v0"))
    lines = "\n".join(verdict_text.comparison_lines(nothing.document()))
    for name, status in ((OFFLINE, "inconclusive"), (ALIGNMENT, "anchored")):
        assert re.search(rf"\| {name} \|.*\| {status}; shown on all rows \|", lines)
    assert re.search(rf"\| {DIVERSITY} \|.*\| pass \|", lines)


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
    def only_the_candidates(columns: dict[str, Any]) -> None:
        columns[f"candidate_{DIVERSITY}"][:700] = np.nan

    verdict = judge(scores(tmp_path, only_the_candidates))
    assert verdict.outcome == "fail"
    assert verdict.reasons[0].startswith(DIVERSITY)

    def costs_nothing(columns: dict[str, Any]) -> None:
        columns[f"candidate_{COST}"] = np.where(np.arange(ROWS) == 7, np.nan, 50)

    with pytest.raises(ValueError, match="the candidate's tokens is not finite on 1 of 1,500 rows"):
        judge(scores(tmp_path, costs_nothing))


def undefined(name: str, rows: int, sides: Sequence[str] = ("candidate", "baseline")) -> Change:
    """The first so many rows have no value of a metric."""

    def change(columns: dict[str, Any]) -> None:
        for side in sides:
            columns[f"{side}_{name}"][:rows] = np.nan

    return change


@pytest.mark.parametrize("sides", [("candidate", "baseline"), ("baseline",)])
def test_a_loss_is_not_thinned_out_by_rows_where_the_baseline_has_no_value(
    tmp_path: Path, sides: Sequence[str]
) -> None:
    def worse(columns: dict[str, Any]) -> None:
        columns[f"candidate_{LEFTOVERS}"] = columns[f"candidate_{LEFTOVERS}"] - 0.04
        undefined(LEFTOVERS, 1400, sides)(columns)

    result = judge(scores(tmp_path, worse, rows=2800)).result(LEFTOVERS)
    assert result.status == "fail"
    assert result.metric.subset == f"rows where the baseline has {LEFTOVERS}"
    assert (result.bounds.rows, result.all_rows) == (1400, None)
    assert result.bounds.estimate == pytest.approx(-0.035, abs=0.003)
    assert judge(scores(tmp_path, undefined(LEFTOVERS, 400, sides))).outcome == "pass"


@pytest.mark.parametrize(("rows", "left"), [(700, "800 rows / 400"), (ROWS, "0 rows / 0")])
def test_a_metric_that_the_baseline_has_on_too_few_rows_is_open(tmp_path: Path, rows: int, left: str) -> None:
    verdict = judge(scores(tmp_path, undefined(DIVERSITY, rows)))
    assert verdict.outcome == "inconclusive"
    wanted = (
        f"; rows where the baseline has {DIVERSITY}: {left} households, the minimum is 1,000 rows / 250 households: "
    )
    assert wanted + "judge on more weeks" in verdict.reasons[0]


def test_both_kinds_of_rows_that_do_not_judge_are_left_out(tmp_path: Path) -> None:
    change = randomised(0.8, undefined(EDITS, 1000))
    verdict = judge(scores(tmp_path, change, logged_by="v0", rows=2500))
    result = verdict.result(EDITS)
    assert result.metric.subset == f"rows that neither policy chose, where the baseline has {EDITS}"
    assert 1100 < result.bounds.rows < 1300
    assert verdict.outcome == "pass"


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


def version(status: Status, document: Any = None) -> PolicyVersion:
    week = date(2026, 1, 9) if document else None
    return PolicyVersion("id", "policy", "planner_policy", 1, "planner_model", "1", {}, status, week, document)


def test_mlflow_is_told_the_status_and_the_verdict_that_it_rests_on(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path))
    expected = {
        "verdict": "pass", "verdict_thresholds": verdict.label, "verdict_reason": verdict.reasons[0],
        "evaluated_week": "2026-01-09",
    }  # fmt: skip
    judged = version("candidate", verdict.document())
    assert verdict_record.tags(judged) == {"stage": "candidate", **expected}
    assert verdict_record.tags(version("active", verdict.document())) == expected, "promotion's business"
    assert verdict_record.tags(version("active")) == {}
    assert verdict_record.tags(version("registered")) == {"stage": STAGE_OF["registered"]}
