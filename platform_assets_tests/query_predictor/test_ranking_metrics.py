"""Numbers of a ranking, against scikit-learn's: ties, weights, a class that is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from platform_assets.query_predictor import ranking_metrics as ours

ROWS = st.lists(
    st.tuples(st.sampled_from([0.05, 0.2, 0.5, 0.7, 0.95]), st.booleans(), st.sampled_from([0.5, 1.0, 4.0])),
    min_size=2, max_size=60,
).filter(lambda rows: len({heavy for _, heavy, _ in rows}) == 2)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_rankings_are_measured_as_scikit_learn_does(rows: list) -> None:
    scores, is_heavy, weights = (np.array(column) for column in zip(*rows, strict=True))
    for ours_, theirs_ in (
        (ours.auc, theirs.roc_auc_score), (ours.average_precision, theirs.average_precision_score),
    ):  # fmt: skip
        assert ours_(scores, is_heavy, weights) == pytest.approx(
            theirs_(is_heavy, scores, sample_weight=weights), abs=1e-12
        )
    assert ours.log_loss(scores, is_heavy, weights) == pytest.approx(
        theirs.log_loss(is_heavy, scores, sample_weight=weights)
    )
    routed = scores >= 0.5
    found = ours.of_routing(routed, is_heavy)
    if routed.any():
        assert found["precision"] == pytest.approx(theirs.precision_score(is_heavy, routed))
    assert found["recall"] == pytest.approx(theirs.recall_score(is_heavy, routed))
    assert found["f1"] == pytest.approx(theirs.f1_score(is_heavy, routed))


def test_what_is_not_defined_is_no_number() -> None:
    scores, light = np.array([0.1, 0.2]), np.zeros(2, bool)
    assert math.isnan(ours.auc(scores, light))
    assert math.isnan(ours.average_precision(scores, light))
    assert math.isnan(ours.auc(scores[:0], light[:0]))
    assert math.isnan(ours.log_loss(scores[:0], light[:0]))
    assert math.isnan(ours.of_routing(light, light)["recall"])
    assert ours.finite({"a": math.nan, "b": 1.0}) == {"a": None, "b": 1.0}


def test_calibration_bins_hold_all_rows_and_their_means() -> None:
    chance = np.random.default_rng(0)
    scores = chance.random(1003)
    is_heavy = chance.random(1003) < scores
    bins = ours.calibration(scores, is_heavy)
    assert sum(each["rows"] for each in bins) == 1003
    assert all(abs(each["score"] - each["heavy_share"]) < 0.2 for each in bins)
    assert sum(each["heavy_share"] * each["rows"] for each in bins) == pytest.approx(is_heavy.sum())
    [one] = ours.calibration(np.array([0.5, 0.5]), np.array([True, False]), np.array([3.0, 1.0]), bins=1)
    assert one["heavy_share"] == 0.75
