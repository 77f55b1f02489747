"""The requirements: exact bounds, every outcome with its reason, nothing certified by too few; routing counted end to end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from platform_assets.query_predictor.requirements import (
    heavy_needed,
    judge,
    may_be_missed,
    recall_lower_bound,
)
from platform_assets.query_predictor.routing import Queries, Routed, share_to_catch


def routed(heavy: int, missed: int, sent: int = 500, rows: int = 10_000, before: int = 0) -> Routed:
    return Routed(rows, sent, heavy, heavy - missed, before)


@pytest.mark.parametrize(("missed", "heavy"), [(0, 149), (1, 236), (2, 313), (3, 386), (4, 456)])
def test_so_many_heavy_queries_certify_a_recall(missed: int, heavy: int) -> None:
    assert heavy_needed(missed) == heavy
    assert recall_lower_bound(heavy - missed, heavy) >= 0.98 > recall_lower_bound(heavy - 1 - missed, heavy - 1)
    assert (may_be_missed(heavy), may_be_missed(heavy - 1)) == (missed, missed - 1 if missed else None)


@settings(max_examples=100, deadline=None)
@given(heavy=st.integers(1, 3000), data=st.data())
def test_the_bound_is_clopper_and_pearsons(heavy: int, data: st.DataObject) -> None:
    caught = data.draw(st.integers(0, heavy))
    expected = beta.ppf(0.05, caught, heavy - caught + 1) if caught else 0.0
    assert recall_lower_bound(caught, heavy) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("given_", "outcome", "reason"),
    [
        (routed(149, 0), "pass", "end_to_end_recall passes: 0 of 149 heavy test queries missed: recall 1.0000, surely above 0.98"),
        (routed(148, 0), "inconclusive", "it takes 149 or more to be certain"),
        (routed(100, 90), "fail", "90 of 100 heavy test queries missed: recall 0.1000"),
        (routed(42, 11), "fail", "recall 0.7381, surely above 0.6039 and below 0.8456; 0.98 is required"),
        (routed(42, 4), "fail", "4 of 42"),
        (routed(42, 3), "inconclusive", "3 of 42"),
        (routed(0, 0), "inconclusive", "nothing tells the recall"),
        (routed(200, 1), "inconclusive", "with 1 missed it takes 236"),
        (routed(200, 5), "fail", "0.98 is required: look at what was missed"),
        (routed(456, 4, before=3), "pass", "4 of 456 heavy test queries missed, 3 of them before the model"),
        (routed(456, 0, sent=2501), "fail", "2,501 of 10,000 test queries routed as heavy (25.01%), limit 25%"),
    ],
)  # fmt: skip
def test_recall_and_routed_share_decide_with_a_reason(given_: Routed, outcome: str, reason: str) -> None:
    found = judge(given_, 0.3, 0.99)
    assert found.outcome == outcome
    assert any(reason in each for each in found.reasons)


def test_the_templates_history_must_be_beaten_at_equal_recall() -> None:
    good = routed(200, 0, sent=300)
    assert judge(good, 0.030, 0.99).outcome == "pass"
    worse = judge(good, 0.029, 0.99)
    assert worse.outcome == "fail"
    assert worse.reasons[0] == (
        "beats_fingerprint fails: routes 3.00% where the templates' history routes 2.90% to catch the same 200"
    )
    assert judge(good, None, 0.99).outcome == "pass"


def test_routing_everything_has_recall_1_and_fails() -> None:
    everything = judge(routed(200, 0, sent=10_000), 1.0, 0.5)
    assert everything.outcome == "fail"
    assert everything.reasons[0].startswith("routed_share fails")


def test_f1_and_auc_warn_and_never_block() -> None:
    found = judge(routed(200, 0, sent=2000), 0.5, 0.5)
    assert found.outcome == "pass"
    assert [check.outcome().warning for check in found.checks] == [False, False, False, True, True]
    assert "auc warns: auc 0.5000, 0.90 or more is wanted" in found.reasons
    assert judge(routed(200, 0), 0.5, None).outcome == "pass"


def test_as_a_check_only_what_is_proven_is_in_the_way() -> None:
    outcomes = {name: judge(each, 0.5, 0.99).checks[0].outcome() for name, each in
                {"pass": routed(149, 0), "inconclusive": routed(10, 0), "fail": routed(200, 9)}.items()}  # fmt: skip
    assert {name: (each.passed, each.warning) for name, each in outcomes.items()} == {
        "pass": (True, False), "inconclusive": (False, True), "fail": (False, False),
    }  # fmt: skip


def test_what_the_zero_cost_stage_lets_by_is_missed() -> None:
    is_heavy = np.array([True, True, True, False, False])
    queries = Queries(is_heavy, np.array([True, False, False, False, True]), dropped_heavy=2)
    found = queries.routed(np.ones(5, bool))
    assert (found.sent, found.heavy, found.caught, found.missed, found.free_heavy) == (3, 5, 2, 3, 3)
    assert share_to_catch(queries, np.arange(5.0), 3) is None
    assert (found.recall, found.precision, found.share) == (0.4, 2 / 3, 0.6)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=12),
    wanted=st.integers(1, 12),
)
def test_equal_scores_are_counted_as_drawn_at_random(rows: list, wanted: int) -> None:
    """Against the mean over many random orders of the ties."""
    scores, is_heavy, is_free = (np.array(column) for column in zip(*rows, strict=True))
    queries = Queries(is_heavy, is_free)
    found = share_to_catch(queries, scores.astype(float), wanted)
    reach = np.flatnonzero(~is_free)
    if wanted > is_heavy[reach].sum():
        assert found is None
        return
    chance, sent = np.random.default_rng(0), []
    for _ in range(600):
        order = reach[np.lexsort((chance.random(len(reach)), -scores[reach]))]
        sent.append(int(np.searchsorted(np.cumsum(is_heavy[order]), wanted)) + 1)
    assert found == pytest.approx(np.mean(sent) / len(rows), abs=0.25 / len(rows))
