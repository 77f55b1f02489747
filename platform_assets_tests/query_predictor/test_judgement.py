"""The query predictor's gate on made-up scores: the product's requirements, and a cost that is not worse; the worse of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.verdict_plots import verdict_plot
from platform_assets.core.verdict_text import comparison_lines
from platform_assets.query_predictor import judgement, requirements
from platform_assets.query_predictor.routing import share_to_catch

ROWS, TEMPLATES = 12_000, 600
LIMITS = judgement.thresholds(1000, 250, 100.0)
Change = Callable[[dict[str, Any]], None]


def with_decisions(columns: dict[str, Any], side: str, routed: Any) -> None:
    """What follows from which rows a side sends."""
    heavy = columns["is_heavy"]
    missed, false_alarm = heavy & ~routed, routed & ~heavy
    told = {"routed": routed, "missed": missed, "false_alarm": false_alarm, "cost": 100.0 * missed + false_alarm}
    columns |= {f"{side}_{name}": value for name, value in told.items()}


def scores(tmp_path: Path, change: Change = lambda columns: None, rows: int = ROWS) -> Path:
    """One query in twenty is heavy; the candidate sends all of these and one light in 190, the baseline half of everything and misses every third."""
    place = np.arange(rows)
    heavy, draw = place % 20 == 0, np.random.default_rng(3)
    columns: dict[str, Any] = {
        "query_id": [f"q{number}" for number in place], "cluster": [f"t{number % min(TEMPLATES, rows // 2)}" for number in place],
        "is_heavy": heavy, "slice_template": np.where(place % 3 == 0, "unseen", "seen"), "slice_week": np.where(place % 2 == 0, "a", "b"),
        "fingerprint_score": draw.random(rows), "rule_score": draw.random(rows),
    }  # fmt: skip
    for side in ("candidate", "baseline"):
        columns |= {f"{side}_is_free": np.zeros(rows, bool), f"{side}_dropped_heavy": np.zeros(rows, np.int64)}
    columns |= {"candidate_score": np.where(heavy, 0.9, 0.1), "baseline_score": draw.random(rows)}
    with_decisions(columns, "candidate", heavy | (place % 200 == 1))
    with_decisions(columns, "baseline", (place % 4 < 2) & (place % 60 != 0))
    change(columns)
    path = tmp_path / "replay_scores.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def judge(path: Path, limits: Any = LIMITS) -> Any:
    return judgement.judge(path, "v1", "v0", limits, {"query_predictor/features/2026-02-16": "d" * 32})


def status(verdict: Any) -> dict[str, str]:
    return {each.name: each.status for each in verdict.requirements}


def test_a_candidate_that_meets_the_requirements_and_costs_less_passes(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path))
    assert verdict.outcome == "pass", verdict.reasons
    assert verdict.digests == {"query_predictor/features/2026-02-16": "d" * 32}
    assert set(status(verdict).values()) == {"pass"}
    assert {(each.dimension, each.value) for each in verdict.slices} == {
        ("template", "seen"), ("template", "unseen"), ("week", "a"), ("week", "b"),
    }  # fmt: skip
    assert verdict.label == "thresholds: standard (1,000 rows / 250 templates)"


def test_a_missed_requirement_rejects_what_costs_less_than_the_active_version(tmp_path: Path) -> None:
    def misses(columns: dict[str, Any]) -> None:
        with_decisions(columns, "candidate", columns["is_heavy"] & (np.arange(ROWS) % 400 != 0))

    verdict = judge(scores(tmp_path, misses))
    assert (verdict.outcome, verdict.result("cost").status) == ("fail", "pass")
    assert status(verdict)["end_to_end_recall"] == "fail"
    assert verdict.reasons[0].startswith("end_to_end_recall fails: 30 of 600 heavy test queries missed")


def test_a_cost_above_the_active_versions_rejects_what_meets_the_requirements(tmp_path: Path) -> None:
    def cheaper_baseline(columns: dict[str, Any]) -> None:
        with_decisions(columns, "baseline", columns["is_heavy"])

    verdict = judge(scores(tmp_path, cheaper_baseline))
    assert set(status(verdict).values()) == {"pass"}
    assert (verdict.outcome, verdict.result("cost").status) == ("fail", "fail")
    assert verdict.reasons[0].startswith("cost fails: -0.0050 against the baseline")


def test_a_cost_within_a_twentieth_of_the_active_versions_is_no_reason(tmp_path: Path) -> None:
    def nearly(columns: dict[str, Any]) -> None:
        place = np.arange(ROWS)
        with_decisions(columns, "candidate", columns["is_heavy"] | (place % 20 == 1))
        with_decisions(columns, "baseline", columns["is_heavy"] | ((place % 20 == 1) & (place % 1000 != 1)))

    verdict = judge(scores(tmp_path, nearly))
    bounds = verdict.result("cost").bounds
    assert bounds.estimate < 0 < bounds.margin == pytest.approx(0.05 * bounds.baseline_mean)
    assert verdict.outcome == "pass"


def test_the_same_decisions_are_not_worse(tmp_path: Path) -> None:
    def same(columns: dict[str, Any]) -> None:
        with_decisions(columns, "baseline", columns["candidate_routed"])

    assert judge(scores(tmp_path, same)).outcome == "pass"


def test_few_heavy_queries_leave_it_undecided_however_cheap_the_candidate(tmp_path: Path) -> None:
    def few(columns: dict[str, Any]) -> None:
        columns["is_heavy"] = np.arange(ROWS) % 200 == 0
        for side in ("candidate", "baseline"):
            with_decisions(columns, side, columns[f"{side}_routed"])

    verdict = judge(scores(tmp_path, few))
    assert verdict.result("cost").status == "pass"
    assert (verdict.outcome, status(verdict)["end_to_end_recall"]) == ("inconclusive", "inconclusive")
    assert "it takes 149 or more to be certain of 0.98" in verdict.reasons[0]


def test_f1_and_auc_only_warn(tmp_path: Path) -> None:
    def unsure(columns: dict[str, Any]) -> None:
        columns["candidate_score"] = np.random.default_rng(1).random(ROWS)
        with_decisions(columns, "candidate", columns["is_heavy"] | (np.arange(ROWS) % 20 < 5))

    verdict = judge(scores(tmp_path, unsure))
    assert (verdict.outcome, status(verdict)["auc"], status(verdict)["f1"]) == ("pass", "fail", "fail")
    assert any(reason.startswith("auc warns: ") for reason in verdict.reasons)


def test_a_slice_in_which_much_more_is_missed_blocks(tmp_path: Path) -> None:
    def all_unseen_missed(columns: dict[str, Any]) -> None:
        place = np.arange(ROWS)
        columns["slice_template"] = np.where(place % 60 < 2, "unseen", "seen")
        with_decisions(columns, "baseline", columns["is_heavy"])
        with_decisions(columns, "candidate", columns["is_heavy"] & (columns["slice_template"] == "seen"))

    verdict = judge(scores(tmp_path, all_unseen_missed))
    assert {each.value for each in verdict.slices if each.blocks} >= {"unseen"}


@pytest.mark.parametrize("cost_fn", [5.0, 100.0, 400.0])
def test_a_slices_floor_is_half_a_percent_more_missed_whatever_a_miss_costs(tmp_path: Path, cost_fn: float) -> None:
    def misses(every: int) -> Change:
        def change(columns: dict[str, Any]) -> None:
            heavy = columns["is_heavy"]
            columns["slice_template"] = np.where(np.arange(ROWS) % 60 < 30, "unseen", "seen")
            unseen = heavy & (columns["slice_template"] == "unseen")
            with_decisions(columns, "baseline", heavy)
            with_decisions(columns, "candidate", heavy & ~(unseen & (np.arange(ROWS) % every == 0)))
            for side in ("candidate", "baseline"):
                columns[f"{side}_cost"] = cost_fn * columns[f"{side}_missed"]

        return change

    limits = judgement.thresholds(1000, 250, cost_fn)
    blocked = {}
    for name, every in (("few", 6000), ("many", 60)):
        verdict = judge(scores(tmp_path, misses(every)), limits)
        blocked[name] = {each.value for each in verdict.slices if each.blocks and each.dimension == "template"}
    assert blocked == {"few": set(), "many": {"unseen"}}


def test_few_templates_are_no_pass_unless_the_thresholds_say_demo(tmp_path: Path) -> None:
    path = scores(tmp_path, lambda columns: columns.update(cluster=[f"t{row % 60}" for row in range(ROWS)]))
    assert judge(path).outcome == "inconclusive"
    limits = judgement.thresholds(300, 50, 100.0)
    assert (limits.name, judge(path, limits).outcome) == ("demo", "pass")


def test_scores_without_a_column_are_an_error_that_names_it(tmp_path: Path) -> None:
    for name in ("candidate_cost", "fingerprint_score", "query_id"):
        with pytest.raises(ValueError, match=f"no column {name}: replay again"):
            judge(scores(tmp_path, lambda columns, name=name: columns.pop(name)))


def test_the_document_holds_the_requirements_and_is_shown_as_table_and_picture(tmp_path: Path) -> None:
    verdict = judge(scores(tmp_path))
    document = verdict.document()
    assert document["document_version"] == 3
    assert [each["name"] for each in document["requirements"]] == list(status(verdict))
    lines = list(comparison_lines(document))
    assert "| routed_share | 0.0550 | 0.2500 | pass |" in lines
    assert any(line.startswith("| auc | 1.0000 | 0.9000 | pass; does not block |") for line in lines)
    assert verdict_plot(verdict, "version 1").startswith(b"\x89PNG")


def test_means_are_of_each_side_and_leave_out_what_is_not_defined(tmp_path: Path) -> None:
    found = judgement.means(scores(tmp_path))
    assert list(found) == ["candidate", "baseline", "fingerprint", "rule"]
    assert found["candidate"]["minus_cost"] == -found["candidate"]["cost"] == pytest.approx(-0.005)
    assert (found["candidate"]["recall"], found["candidate"]["routed_share"]) == (1.0, pytest.approx(0.055))

    def nothing(columns: dict[str, Any]) -> None:
        columns["is_heavy"] = np.zeros(ROWS, bool)

    assert {"recall", "auc"}.isdisjoint(judgement.means(scores(tmp_path, nothing))["candidate"])


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30),
    st.integers(0, 3),
)
def test_requirements_are_judged_by_what_is_counted_one_by_one(rows: list[Any], dropped: int) -> None:
    heavy, free, sent, rank = (np.array(each) for each in zip(*rows, strict=True))
    routed = sent & ~free
    columns = {
        "is_heavy": heavy, "candidate_is_free": free, "candidate_routed": routed, "fingerprint_score": rank * 1.0,
        "candidate_score": rank * 1.0, "candidate_dropped_heavy": np.full(len(rows), dropped),
    }  # fmt: skip
    found = {check.name: check for check in judgement.requirements_of(columns, "candidate").checks}
    all_heavy = sum(each[0] for each in rows) + dropped
    caught = sum(is_heavy and is_sent and not is_free for is_heavy, is_free, is_sent, _ in rows)
    assert found["routed_share"].value == sum(is_sent and not is_free for _, is_free, is_sent, _ in rows) / len(rows)
    lower = requirements.recall_lower_bound(caught, all_heavy) if all_heavy else None
    assert found["end_to_end_recall"].value == lower
    expected = share_to_catch(judgement.queries_of(columns, "candidate"), rank * 1.0, caught)
    assert found["beats_fingerprint"].limit == expected or not caught
    pairs = [(a[3], b[3]) for a in rows for b in rows if a[0] and not b[0] and not a[1] and not b[1]]
    wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
    assert found["auc"].value == (pytest.approx(wins / len(pairs)) if pairs else None)
