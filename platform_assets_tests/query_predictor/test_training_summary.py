"""The summary table of a training: a baseline at the model's recall as a slow count has it, and what is not defined."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from platform_assets.query_predictor.training_summary import table


def cells(metrics: dict[str, float], column: str) -> dict[str, str]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(metrics).splitlines()]
    return {row[0]: row[rows[0].index(column)] for row in rows[2:]}


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_a_baselines_precision_and_f1_are_those_of_what_it_routes_for_the_same_recall(
    ranked: list[bool], data: st.DataObject
) -> None:
    heavy, caught = sum(ranked), data.draw(st.integers(0, sum(ranked)))
    # Whether each query is heavy, the highest rank first: the shortest beginning that holds as many.
    sent = next(length for length in range(len(ranked) + 1) if sum(ranked[:length]) >= caught)
    metrics = {
        "test_rows": len(ranked), "test_heavy": heavy, "test_missed": heavy - caught,
        "test_rule_routed_share_at_models_recall": sent / len(ranked),
    }  # fmt: skip
    found = cells(metrics, "rule at the same recall")
    hits = [1 for is_heavy in ranked[:sent] if is_heavy]
    assert found["precision"] == (f"{len(hits) / sent:.4f}" if sent else "")
    wrong = sent - len(hits) + heavy - len(hits)
    f1 = f"{len(hits) / (len(hits) + wrong / 2):.4f}" if sent + heavy else ""
    assert found["F1"] == f1
    assert (found["queries"], found["missed"]) == (str(len(ranked)), str(heavy - caught))


def test_a_baseline_that_never_catches_as_many_says_so_and_keeps_what_it_ranks() -> None:
    metrics = {"test_rows": 1200, "test_heavy": 9, "test_missed": 0, "test_recall": 1.0, "test_fingerprint_auc": 0.75}
    found = cells(metrics, "fingerprint at the same recall")
    assert found["routed share"] == "never catches as many"
    assert found["AUC"] == "0.7500"
    assert {found[name] for name in ("recall, end to end", "precision", "F1", "heavy")} == {""}


def test_what_is_not_defined_is_empty_and_counts_are_no_fractions() -> None:
    found = cells({"test_rows": 1200, "test_unseen_templates_rows": 0, "test_heavy": 0, "test_missed": 0}, "all")
    assert (found["queries"], found["heavy"], found["recall, end to end"], found["AUC"]) == ("1,200", "0", "", "")
    assert cells({"test_unseen_templates_rows": 0}, "unseen templates")["queries"] == "0"
