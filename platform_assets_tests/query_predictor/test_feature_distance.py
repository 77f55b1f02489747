"""Distances of single numbers against a slow oracle, what is taken for chance and for age, and what counts as no change."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from platform_assets.query_predictor import feature_distance, feature_drift
from platform_assets.query_predictor.feature_distance import LIMIT_PSI, OWN_FACTOR, Distance
from platform_assets.query_predictor.feature_drift import compare, judge
from platform_assets.query_predictor.features import HISTORICAL_NAMES
from platform_assets.query_predictor.split_features import NUMBERS, SplitFeatures
from platform_assets_tests.query_predictor.drift_rows import DAY, LAST, MOVED, distance, split, with_feature
from platform_assets_tests.query_predictor.slow_drift import (
    Row,
    slow_ends,
    slow_own,
    slow_psi,
    slow_rows,
    slow_shares,
)


def apart(
    old: NDArray[np.float64], new: NDArray[np.float64], weight: NDArray[np.float64], created: NDArray[np.datetime64]
) -> Distance:
    """Of a single number, as of each feature."""
    return feature_distance.distance("any", (old, new), (weight, np.ones(len(new))), feature_drift._weeks(created))


def columns(rows: list[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.datetime64]]:
    values, weights, days = zip(*rows, strict=True)
    return np.array(values, np.float64), np.array(weights, np.float64), LAST - np.array(days) * DAY


values = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32), st.sampled_from([nan, inf, -inf]))
weights = st.sampled_from([0.5, 1.0, 1.25, 4.0, 20.0])
some_rows = st.lists(st.tuples(values, weights, st.integers(0, 40)), min_size=1, max_size=60)
plain_rows = st.lists(st.tuples(values, st.just(1.0), st.just(0)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=200)
@example([(float(value), 1.0, 0) for value in range(10)], [(-0.5, 1.0, 0), (9.0, 1.0, 0), (9.5, 1.0, 0)])
@given(some_rows, plain_rows)
def test_distances_are_those_of_a_slow_oracle_with_weights_weeks_and_missing_values(
    before: list[Row], now: list[Row]
) -> None:
    (old, weight, created), (new, _, _) = columns(before), columns(now)
    found, ends = apart(old, new, weight, created), slow_ends(before)
    shares = slow_shares(before, ends), slow_shares(now, ends)
    assert found.psi == pytest.approx(slow_psi(before, now, ends), abs=1e-9)
    assert found.js == pytest.approx(jensenshannon(*shares, base=2), abs=1e-6)
    assert found.own == pytest.approx(slow_own(before, ends), abs=1e-9)
    cells = sum(1 for p, q in zip(*shares, strict=True) if p or q)
    quantile = stats.chi2.ppf(0.9999, cells - 1) if cells > 1 else 0.0
    assert found.noise == pytest.approx(quantile * (1 / slow_rows(before) + 1 / slow_rows(now)), rel=0.08)


@pytest.mark.parametrize("unit", [0.1, 0.3, 1 / 3])
def test_weights_say_the_same_in_any_unit(unit: float) -> None:
    """Sums of such weights are rounded: a decile must not end a row later by that."""
    before, now = np.arange(100.0), np.arange(0.0, 100, 3)
    expected, found = (apart(before, now, np.full(100, weight), np.full(100, LAST)) for weight in (1.0, unit))
    assert found.psi == pytest.approx(expected.psi, rel=1e-9)


@settings(deadline=None, max_examples=10)
@given(some_rows, st.lists(some_rows, min_size=1, max_size=3), st.sampled_from(["joins", "user_heavy_rate"]))
def test_a_features_distance_is_to_all_splits_together_each_row_by_its_weight(
    before: list[Row], parts: list[list[Row]], name: str
) -> None:
    def as_split(rows: list[Row]) -> SplitFeatures:
        found, weight, created = columns(rows)
        return replace(split(with_feature(name, found), weight), created=created)

    found = distance(compare(as_split(before), [as_split(rows) for rows in parts]), name)
    now, ends = [row for rows in parts for row in rows], slow_ends(before)
    assert found.psi == pytest.approx(slow_psi(before, now, ends), abs=1e-9)
    own = slow_own(before, ends) if name in HISTORICAL_NAMES else 0.0
    assert found.own == pytest.approx(own, abs=1e-9)


def test_history_counts_only_where_it_is_farther_off_than_the_reference_weeks_are_from_each_other() -> None:
    draw = np.random.default_rng(3)
    days = draw.integers(0, 28, 2_000)

    def told(level: float, spread: float) -> tuple[Distance, Distance]:
        """A number whose level is another one each week, as history and as a number of the text."""
        before, now = draw.normal(days // 7 * spread, 1), draw.normal(level, 1, 700)
        return tuple(
            distance(compare(split(with_feature(name, before), days=days), [split(with_feature(name, now))]), name)
            for name in ("user_heavy_rate", "joins")
        )  # type: ignore[return-value]

    history, text = told(level=-1, spread=1)
    assert history.psi == pytest.approx(text.psi)
    assert history.limit == OWN_FACTOR * history.own > history.psi > LIMIT_PSI
    assert (history.is_beyond, text.is_beyond) == (False, True)
    history, text = told(level=-1, spread=0)
    assert (history.is_beyond, text.is_beyond) == (True, True)
    assert told(level=30, spread=0.5)[0].is_beyond


@pytest.mark.parametrize("value", [0.0, 7.0, nan, inf, -inf])
@pytest.mark.parametrize("rows", [1, 300])
def test_features_that_never_change_or_are_never_known_have_not_drifted(value: float, rows: int) -> None:
    constant = np.full((rows, len(NUMBERS)), value)
    drift = compare(split(constant, days=np.arange(rows) % 28), [split(constant[:200])])
    assert {(each.psi, each.js, each.own, each.is_beyond) for each in drift.distances} == {(0.0, 0.0, 0.0, False)}
    assert judge(drift).passed


def test_a_constant_that_becomes_another_one_or_goes_missing_is_beyond_its_limit() -> None:
    before, now = np.zeros((500, len(NUMBERS))), np.zeros((500, len(NUMBERS)))
    now[:, MOVED[0]], now[:, MOVED[1]], now[:, MOVED[2]] = 1, -1, nan
    drift = compare(split(before), [split(now)])
    assert set(drift.beyond) == {NUMBERS[place] for place in MOVED[:3]}
    assert {each.js for each in drift.distances} == {0.0, 1.0}
