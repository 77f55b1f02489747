"""Two groups: the numbers of an established library, and intervals that may be looked at every day."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from platform_assets.core.two_samples import (
    Mean,
    chance_to_win,
    clustered_ratio,
    proportion,
    sample_ratio_mismatch,
    sequential_half_width,
    sequential_interval,
    t_interval,
)

A, B = proportion(600, 1000), proportion(640, 1000)


def test_the_numbers_are_those_of_gbstats() -> None:
    assert [round(each, 4) for each in t_interval(A, B)] == [-0.0025, 0.0825]
    assert [round(each, 4) for each in sequential_interval(A, B, tuned_to=5000)] == [-0.0278, 0.1078]
    assert round(chance_to_win(A, B), 3) == 0.967
    assert sample_ratio_mismatch([950, 150], [0.9, 0.1]) == pytest.approx(5.8e-5, abs=5e-7)


def test_shares_need_not_sum_to_one_and_a_fair_split_is_no_mismatch() -> None:
    assert sample_ratio_mismatch([950, 150], [9, 1]) == sample_ratio_mismatch([950, 150], [0.9, 0.1])
    assert sample_ratio_mismatch([500, 500], [1, 1]) == 1.0


def test_a_look_every_day_rarely_cries_wolf_where_plain_intervals_do() -> None:
    rng, looks, daily, tries = np.random.default_rng(1), 14, 100, 2000
    sums = np.cumsum(rng.normal(size=(2, tries, looks, daily)).sum(axis=3), axis=2)
    units = daily * np.arange(1, looks + 1)
    difference = (sums[1] - sums[0]) / units
    plain = 1.96 * np.sqrt(2 / units)
    # The variance of one unit's contribution to the difference, over the units of both groups.
    always = np.array([sequential_half_width(4.0, 2 * n, tuned_to=2800) for n in units.tolist()])
    assert np.mean((abs(difference) > plain).any(axis=1)) > 0.15
    assert np.mean((abs(difference) > always).any(axis=1)) < 0.03


def test_the_sequential_interval_is_narrowest_near_what_it_is_tuned_to() -> None:
    relative = {n: sequential_half_width(1.0, 5000, tuned_to=n) for n in (500, 5000, 50_000)}
    assert relative[5000] < min(relative[500], relative[50_000])


def test_a_ratio_over_households_varies_as_simulated() -> None:
    rng = np.random.default_rng(2)

    def sample() -> Mean:
        sizes = 1 + rng.poisson(3, 200)
        owners = np.repeat(np.arange(200), sizes)
        taste = rng.normal(0.5, 0.2, 200)
        served = rng.integers(1, 4, len(owners))
        return clustered_ratio(served * taste[owners] + rng.normal(0, 0.1, len(owners)), served, owners)

    found = [sample() for _ in range(800)]
    assert np.std([each.value for each in found]) == pytest.approx(
        sqrt(np.mean([each.squared_error for each in found])), rel=0.1
    )


def test_a_ratio_of_ones_is_the_mean_of_clusters_of_one() -> None:
    values = np.array([0.1, 0.4, 0.4, 0.9])
    found = clustered_ratio(values, np.ones(4), list("abcd"))
    assert found.value == pytest.approx(values.mean())
    assert found.variance == pytest.approx(values.var(ddof=1))


def test_groups_without_spread_have_no_doubt() -> None:
    never, always = proportion(0, 10), proportion(10, 10)
    assert t_interval(never, always) == (1.0, 1.0)
    assert [chance_to_win(never, each) for each in (never, always)] == [0.5, 1.0]
    assert chance_to_win(always, never) == 0.0


def test_what_makes_no_sense_is_refused() -> None:
    for broken in (lambda: proportion(3, 2), lambda: proportion(0, 0)):
        with pytest.raises(ValueError, match="no proportion"):
            broken()
    with pytest.raises(ValueError, match="above 0"):
        clustered_ratio([1.0, 1.0], [0.0, 0.0], ["a", "b"])
    with pytest.raises(ValueError, match="no interval"):
        sequential_half_width(1.0, 0)
    with pytest.raises(ValueError, match="a count and a positive share"):
        sample_ratio_mismatch([1, 2], [0.5])
