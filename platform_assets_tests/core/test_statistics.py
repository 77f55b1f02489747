"""The paired cluster bootstrap: what it may not depend on, how often it errs, and the power that follows from it."""

from __future__ import annotations

import time
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from platform_assets.core.statistics import (
    SEED,
    PairedDifference,
    chance_of_passing,
    cluster_sums,
    clusters_needed,
    paired_difference,
)

VALUES = st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 6))
ROWS = st.lists(st.tuples(VALUES, st.sampled_from("abcdefgh")), min_size=2, max_size=60).filter(
    lambda rows: len({cluster for _, cluster in rows}) > 1
)


def compared(rows: list[tuple[float, str]]) -> PairedDifference:
    return paired_difference([value for value, _ in rows], [cluster for _, cluster in rows])


def households(rng: np.random.Generator, kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences with mean 0, and whose they are: 1 to 10 rows a household, correlated within it."""
    sizes = 1 + rng.poisson(3, count)
    owners = np.repeat(np.arange(count), sizes)

    def draw(size: int) -> np.ndarray:
        if kind == "even":
            return rng.normal(size=size)
        losses = 1 - rng.exponential(size=size)
        return losses if kind == "skew" else np.where(rng.random(size) < 0.1, losses - 1, 0) + 0.1

    return 0.7 * draw(count)[owners] + draw(len(owners)), owners


def test_the_bounds_are_those_of_a_bootstrap_written_out_household_by_household() -> None:
    rng = np.random.default_rng(3)
    values, owners = households(rng, "skew", 30)
    found = paired_difference(values, owners)
    groups = [values[owners == owner] for owner in np.unique(owners)]
    drawn = np.random.default_rng([SEED, 0]).integers(30, size=(2000, 30))
    mean, error = _mean_and_error(groups)
    studentised = []
    for draw in drawn:
        resampled, own_error = _mean_and_error([groups[i] for i in draw])
        studentised.append((resampled - mean) / max(own_error, error / 4))
    assert (found.estimate, found.standard_error) == pytest.approx((mean, error))
    assert found.lower == pytest.approx(mean - np.quantile(studentised, 0.95) * error)
    assert found.upper == pytest.approx(mean - np.quantile(studentised, 0.05) * error)
    assert found.interval == pytest.approx([mean - np.quantile(studentised, q) * error for q in (0.975, 0.025)])
    assert found.interval[0] < found.lower < mean < found.upper < found.interval[1]


def _mean_and_error(groups: list[np.ndarray]) -> tuple[float, float]:
    rows = np.concatenate(groups)
    mean = rows.mean()
    residuals = [float((group - mean).sum()) for group in groups]
    return mean, sqrt(len(groups) / (len(groups) - 1) * sum(each**2 for each in residuals)) / len(rows)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_same_rows_in_another_order_give_the_same_bits(rows: list[tuple[float, str]], random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert compared(shuffled) == compared(rows)


@given(ROWS)
def test_bounds_enclose_the_estimate_and_are_finite(rows: list[tuple[float, str]]) -> None:
    found = compared(rows)
    assert -np.inf < found.interval[0] <= found.estimate <= found.interval[1] < np.inf
    assert -np.inf < found.lower <= found.estimate <= found.upper < np.inf


@given(ROWS)
def test_sums_by_cluster_are_those_of_a_dictionary(rows: list[tuple[float, str]]) -> None:
    slow: dict[str, list[float]] = {}
    for value, cluster in rows:
        slow.setdefault(cluster, []).append(value)
    sums, sizes = cluster_sums(*zip(*rows, strict=True))
    assert sums.tolist() == pytest.approx([sum(slow[cluster]) for cluster in sorted(slow)], abs=1e-12)
    assert sizes.tolist() == [len(slow[cluster]) for cluster in sorted(slow)]


@given(ROWS, st.floats(-1, 1))
def test_a_shift_of_all_rows_shifts_the_bounds(rows: list[tuple[float, str]], shift: float) -> None:
    plain, moved = compared(rows), compared([(value + shift, cluster) for value, cluster in rows])
    for name in ("estimate", "lower", "upper"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name) + shift, abs=1e-9)


def test_no_difference_leaves_no_doubt_and_one_lost_household_leaves_some() -> None:
    owners = np.arange(350)
    tie = paired_difference(np.zeros(350), owners)
    assert (tie.lower, tie.upper, tie.standard_error) == (0, 0, 0)
    lost = paired_difference(np.where(owners == 0, -1.0, 0.0), owners)
    # The exact upper bound of a Poisson count of which one was seen is 4.74.
    assert 4 / 350 < -lost.lower < 6 / 350


@pytest.mark.parametrize(
    ("differences", "clusters", "options", "words"),
    [
        ([0.1, float("nan")], "ab", {}, "1 of 2 values are not finite"),
        ([0.1, float("inf")], "ab", {}, "not finite"),
        ([], "", {}, "no rows"),
        ([0.1, 0.2], "aa", {}, r"1 cluster\(s\)"),
        ([0.1, 0.2], "abc", {}, "one of each per row"),
        ([0.1, 0.2], "ab", {"draws": 500}, "500 draws are too few"),
        ([0.1, 0.2], "ab", {"alpha": 0.7}, "alpha is 0.7"),
    ],
)
def test_what_cannot_be_compared_is_refused(differences: list[float], clusters: str, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        paired_difference(differences, list(clusters), **options)


def test_many_clusters_are_resampled_in_pieces_that_do_not_show() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=4000)
    found = paired_difference(values, np.arange(4000))
    assert found.lower == pytest.approx(values.mean() - 1.645 * stats.sem(values), rel=0.05)


def test_five_thousand_rows_of_a_thousand_households_take_well_under_a_second() -> None:
    rng = np.random.default_rng(5)
    values, owners = rng.normal(size=5000), rng.integers(1000, size=5000).astype(str)
    started = time.process_time()
    paired_difference(values, owners)
    assert time.process_time() - started < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["even", "skew", "rare"])
@pytest.mark.parametrize("count", [100, 350])
def test_a_candidate_that_is_exactly_a_margin_worse_passes_in_three_to_eight_per_cent(kind: str, count: int) -> None:
    margin, tries = 0.02, 1000
    rng = np.random.default_rng(6)
    clustered = by_rows = 0
    for _ in range(tries):
        values, owners = households(rng, kind, count)
        differences = values - margin
        clustered += paired_difference(differences, owners).lower > -margin
        bound = differences.mean() - stats.t.ppf(0.95, len(differences) - 1) * stats.sem(differences)
        by_rows += bound > -margin
    assert 0.03 <= clustered / tries <= 0.08
    assert by_rows / tries > 0.1, "a t-test over rows takes a household's rows for independent"


def test_the_chance_of_an_equal_candidate_is_as_it_was_measured() -> None:
    chances = [chance_of_passing(0.02, 0.12, clusters) for clusters in (40, 250, 350)]
    assert chances == pytest.approx([0.27, 0.82, 0.92], abs=0.02)
    assert chance_of_passing(0.02, 0.12, 350, at_least_equal=True) == 0.5
    assert chance_of_passing(0.0, 0.12, 350) == pytest.approx(0.05)
    assert chance_of_passing(0.02, 0.0, 350, at_least_equal=True) == 1.0
    with pytest.raises(ValueError, match="must not be negative"):
        chance_of_passing(0.02, -1.0, 350)


def test_so_many_clusters_as_are_needed_give_the_chance_and_one_less_does_not() -> None:
    needed = clusters_needed(0.02, 0.12)
    assert needed is not None
    assert chance_of_passing(0.02, 0.12, needed) >= 0.8 > chance_of_passing(0.02, 0.12, needed - 1)
    assert clusters_needed(0.0, 0.12) is None
    assert clusters_needed(0.02, 0.0) == 2


def test_an_equal_candidate_passes_as_often_as_the_power_says() -> None:
    rng, tries = np.random.default_rng(7), 300
    passed = sum(paired_difference(rng.normal(0, 0.12, 150), np.arange(150)).lower > -0.02 for _ in range(tries))
    chance = chance_of_passing(0.02, 0.12, 150)
    assert passed / tries == pytest.approx(chance, abs=3 * sqrt(chance * (1 - chance) / tries))
