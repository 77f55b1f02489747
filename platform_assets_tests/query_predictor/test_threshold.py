"""The threshold: the cheapest of all, by brute force; ties, one class, neighbours without a float between them; frozen to the bit."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor.threshold import NAME, Threshold, choose, cost_curve

# Few different values make ties, and all of float32 makes neighbours.
SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, width=32))
ROWS = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=30)
COSTS = st.sampled_from([0.5, 1.0, 3.0, 100.0])


def arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in rows], np.float32), np.array([heavy for _, heavy in rows])


def cost_at(scores: np.ndarray, is_heavy: np.ndarray, value: float, cost_fn: float, cost_fp: float) -> float:
    routes = scores >= np.float32(value)
    return cost_fn * int((is_heavy & ~routes).sum()) + cost_fp * int((routes & ~is_heavy).sum())


def clear_cuts(scores: np.ndarray) -> list[float]:
    """The lowest score that is routed, of every routing that rounding cannot blur; 2: none is."""
    falling = sorted(set(scores.tolist()), reverse=True)
    clear = [low for high, low in itertools.pairwise(falling) if high - low > 5e-5 * high]
    return [2.0, *(falling[falling.index(low) - 1] for low in clear), falling[-1]]


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, cost_fn=COSTS, cost_fp=COSTS)
def test_no_clear_threshold_is_cheaper_than_the_chosen_one(rows: list, cost_fn: float, cost_fp: float) -> None:
    scores, is_heavy = arrays(rows)
    found = choose(scores, is_heavy, cost_fn, cost_fp)
    every = clear_cuts(scores)
    least = min(cost_at(scores, is_heavy, value, cost_fn, cost_fp) for value in every)
    assert found.cost == pytest.approx(least)
    assert cost_at(scores, is_heavy, found.value, cost_fn, cost_fp) == pytest.approx(least)
    routes = found.routes(scores)
    assert (found.false_negatives, found.false_positives) == ((is_heavy & ~routes).sum(), (routes & ~is_heavy).sum())
    assert float(np.float32(found.value)) == found.value
    # Of equally cheap ones none misses fewer.
    cheap = [value for value in every if cost_at(scores, is_heavy, value, cost_fn, cost_fp) == pytest.approx(least)]
    assert found.false_negatives == min((is_heavy & (scores < np.float32(value))).sum() for value in cheap)


def test_scores_that_only_rounding_parts_are_never_parted() -> None:
    near = np.float32(0.001) + np.arange(-3, 4) * np.spacing(np.float32(0.001))
    scores = np.concatenate([near, [0.9, 0.1]]).astype(np.float32)
    is_heavy = np.array([False, False, False, True, False, True, False, True, False])
    assert (scores > 0.00099).all()
    assert choose(scores, is_heavy, 2, 1).value > 0.05, "parting them would cost less"
    routed = choose(scores, is_heavy, 100, 1)
    assert routed.routes(scores).all()
    assert routed.value == pytest.approx(0.0005, rel=1e-3)


@settings(max_examples=200, deadline=None)
@given(rows=ROWS)
def test_every_cut_parts_exactly_the_rows_that_it_counts(rows: list) -> None:
    scores, is_heavy = arrays(rows)
    curve = cost_curve(scores, is_heavy, 100, 1)
    for cut in range(len(curve.cost)):
        routes = scores >= curve.value(cut)
        assert (routes & is_heavy).sum() == curve.caught[cut]
        assert (routes & ~is_heavy).sum() == curve.false_positives[cut]


def test_it_lies_midway_between_neighbours() -> None:
    scores, is_heavy = arrays([(0.9, True), (0.75, True), (0.25, False), (0.1, False)])
    assert choose(scores, is_heavy, 100, 1).value == 0.5


def test_neighbours_without_a_float_between_them_are_parted_by_the_upper_one() -> None:
    above = np.nextafter(np.float32(0.25), np.float32(1))
    curve = cost_curve(np.array([above, 0.25], np.float32), np.array([True, False]), 100, 1)
    assert curve.value(1) == above


def test_with_one_class_everything_or_nothing_is_routed() -> None:
    scores = np.array([0.2, 0.2, 1.0], np.float32)
    nothing = choose(scores, np.zeros(3, bool), 100, 1)
    assert (nothing.cost, nothing.routes(scores).any()) == (0, False)
    everything = choose(scores, np.ones(3, bool), 100, 1)
    assert (everything.cost, everything.routes(scores).all(), everything.value > 0) == (0, True, True)


def test_weights_count_as_so_many_rows() -> None:
    scores, is_heavy = arrays([(0.9, False), (0.6, True), (0.6, False), (0.2, False)])
    weights = np.array([2.0, 1.0, 3.0, 1.0])
    repeated = np.repeat(np.arange(4), weights.astype(int))
    weighed = cost_curve(scores, is_heavy, 5, 1, weights)
    assert weighed.cost.tolist() == cost_curve(scores[repeated], is_heavy[repeated], 5, 1).cost.tolist()


@pytest.mark.parametrize("wrong", [np.array([0.5]), np.array([1.5], np.float32), np.array([np.nan], np.float32)])
def test_what_is_no_float32_probability_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores must be"):
        choose(wrong, np.array([True]), 100, 1)


def test_without_rows_there_is_no_threshold() -> None:
    with pytest.raises(ValueError, match="bring validation days"):
        choose(np.empty(0, np.float32), np.empty(0, bool), 100, 1)


@settings(max_examples=50, deadline=None)
@given(value=st.floats(0, 1, width=32))
def test_it_is_read_back_to_the_bit(value: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("frozen")
    frozen = Threshold(value, 1.0, 0.0, 1.0, 10, 2, 100.0, 1.0)
    frozen.write(folder)
    assert Threshold.read(folder) == frozen


def test_a_file_that_holds_no_float32_is_refused(tmp_path: Path) -> None:
    Threshold(0.1, 1.0, 0.0, 1.0, 10, 2, 100.0, 1.0).write(tmp_path)
    with pytest.raises(ValueError, match="which is no float32"):
        Threshold.read(tmp_path)
    for text in ("", "{}", '{"value": 0.5}'):
        (tmp_path / NAME).write_text(text)
        with pytest.raises(ValueError, match="take it from the model's folder"):
            Threshold.read(tmp_path)


def test_a_million_rows_take_one_sort() -> None:
    chance = np.random.default_rng(0)
    scores, is_heavy = chance.random(1_000_000, np.float32), chance.random(1_000_000) < 0.02
    found = choose(scores, is_heavy, 100, 1)
    nearby = itertools.chain([found.value], np.linspace(0, 1, 7))
    assert all(found.cost <= cost_at(scores, is_heavy, value, 100, 1) for value in nearby)
