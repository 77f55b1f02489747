"""Drift of the features: distances against a slow oracle, what chance makes of them, and what is said of a week beyond the limit."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from math import inf, nan

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import stats
from scipy.spatial.distance import jensenshannon

from platform_assets.query_predictor import feature_drift
from platform_assets.query_predictor.feature_drift import (
    LIMIT_PSI,
    MOST_BEYOND,
    OWN_FACTOR,
    Distance,
    Drift,
    compare,
    judge,
    plot,
    score_drift,
)
from platform_assets.query_predictor.features import BASE_NAMES, HISTORICAL_NAMES
from platform_assets.query_predictor.split_features import NUMBERS, SplitFeatures
from platform_assets_tests.query_predictor.slow_drift import (
    Row,
    slow_ends,
    slow_own,
    slow_psi,
    slow_rows,
    slow_shares,
)

LAST = np.datetime64("2026-02-22T12:00", "us")
DAY = np.timedelta64(1, "D")
# A change of how texts are written shows in so many numbers of the texts.
MOVED = [NUMBERS.index(name) for name in BASE_NAMES[:12]]
HISTORY = [NUMBERS.index(name) for name in HISTORICAL_NAMES]


def split(
    numbers: NDArray[np.floating], weight: NDArray[np.float64] | None = None, days: NDArray[np.int64] | None = None
) -> SplitFeatures:
    """Rows without terms; `days` before the last one, all within a week unless given."""
    rows = len(numbers)
    created = LAST - (np.zeros(rows, np.int64) if days is None else days) * DAY
    names, none = np.full(rows, "t"), np.zeros(0, np.float32)
    return SplitFeatures(
        "train", numbers.astype(np.float32), none, none.astype(np.int32), np.zeros(rows + 1, np.int64), 0,
        np.zeros(rows, bool), np.ones(rows) if weight is None else weight, names, names, created, np.ones(rows, bool),
    )  # fmt: skip


def queries(rows: int, seed: int) -> NDArray[np.float32]:
    """Numbers of all kinds: continuous, counts, mostly zero, switches; some are missing, some features are constant or absent."""
    draw = np.random.default_rng(seed)
    numbers = draw.normal(size=(rows, len(NUMBERS))).astype(np.float32)
    numbers[:, 1::5] = draw.poisson(1.5, numbers[:, 1::5].shape)
    numbers[:, 2::5] *= draw.random(numbers[:, 2::5].shape) < 0.2
    numbers[:, 3::5] = numbers[:, 3::5] > 1
    numbers[draw.random(numbers.shape) < 0.03] = nan
    numbers[:, 14], numbers[:, 19] = 7, nan
    return numbers


def with_feature(name: str, values: NDArray[np.floating]) -> NDArray[np.float32]:
    """All else constant."""
    numbers = np.zeros((len(values), len(NUMBERS)), np.float32)
    numbers[:, NUMBERS.index(name)] = values
    return numbers


def distance(drift: Drift, name: str) -> Distance:
    return next(each for each in drift.distances if each.name == name)


def apart(
    old: NDArray[np.float64], new: NDArray[np.float64], weight: NDArray[np.float64], created: NDArray[np.datetime64]
) -> Distance:
    """Of a single number, as of each feature."""
    return feature_drift._distance("any", (old, new), (weight, np.ones(len(new))), feature_drift._weeks(created))


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


def test_rows_drawn_anew_from_the_same_log_stay_below_the_limit() -> None:
    for seed in range(3):
        log_rows, draw = queries(6_000, seed), np.random.default_rng(seed)
        old, new = (draw.integers(0, len(log_rows), rows) for rows in (4_000, 1_000))
        drift = compare(split(log_rows[old], days=draw.integers(0, 30, 4_000)), [split(log_rows[new])])
        assert (drift.reference_rows, drift.current_rows) == (4_000, 1_000)
        assert [each.name for each in drift.distances] == list(NUMBERS)
        assert drift.beyond == ()
        assert not drift.is_beyond_limit


def test_few_rows_are_not_beyond_what_chance_makes_of_so_few() -> None:
    drift = compare(split(queries(60, 1)), [split(queries(40, 2))])
    assert max(each.psi for each in drift.distances) > LIMIT_PSI
    assert drift.beyond == ()


def test_a_change_of_two_fifths_of_the_queries_is_beyond_the_limit_and_its_features_are_named() -> None:
    now = queries(1_000, 2)
    now[:400, MOVED] += 3
    drift = compare(split(queries(3_000, 1)), [split(now[:500]), split(now[500:])])
    assert set(drift.beyond) == {NUMBERS[place] for place in MOVED}
    assert drift.is_beyond_limit
    psi = [distance(drift, name).psi for name in drift.beyond]
    assert psi == sorted(psi, reverse=True)


def test_what_is_missing_now_and_was_not_is_a_change() -> None:
    now = queries(1_000, 2)
    now[::2, MOVED] = nan
    assert set(compare(split(queries(3_000, 1)), [split(now)]).beyond) == {NUMBERS[place] for place in MOVED}


def test_a_week_with_as_many_features_as_may_move_is_not_beyond_the_limit() -> None:
    for moved in (MOST_BEYOND, MOST_BEYOND + 1):
        now = queries(1_000, 2)
        now[:, MOVED[:moved]] += 3
        drift = compare(split(queries(3_000, 1)), [split(now)])
        assert len(drift.beyond) == moved
        assert drift.is_beyond_limit == (moved > MOST_BEYOND)


def test_a_sampled_reference_stands_for_the_queries_that_it_was_drawn_from() -> None:
    """Of the light queries one in ten was kept; without weights each week would seem to have lost its heavy ones."""
    log_rows = queries(8_000, 1)
    is_heavy = np.arange(len(log_rows)) % 10 == 0
    log_rows[np.ix_(is_heavy, MOVED)] += 3
    kept = is_heavy | (np.arange(len(log_rows)) % 10 == 5)
    weight = np.where(is_heavy, 1.0, 8.0)[kept]
    now = split(log_rows[np.random.default_rng(2).integers(0, len(log_rows), 1_500)])
    assert compare(split(log_rows[kept], weight), [now]).beyond == ()
    assert compare(split(log_rows[kept]), [now]).is_beyond_limit


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


def test_the_outcome_warns_and_names_the_features_and_never_blocks() -> None:
    now = queries(1_000, 2)
    now[:, MOVED] += 3
    drift = compare(split(queries(3_000, 1)), [split(now)])
    moved = judge(drift)
    assert (moved.name, moved.passed, moved.warning) == ("feature_drift", False, True)
    assert moved.reason.startswith(f"12 of 95 features beyond their limits, {MOST_BEYOND} allowed: {drift.beyond[0]}, ")
    assert moved.reason.endswith(f", {drift.beyond[9]}, ...")
    still = judge(compare(split(queries(3_000, 1)), [split(queries(1_000, 2))]))
    assert (still.passed, still.warning) == (True, True)
    assert still.reason == f"0 of 95 features beyond their limits, {MOST_BEYOND} allowed: none"


def test_the_document_is_json_that_reads_back_as_it_was() -> None:
    now = queries(500, 2)
    now[:, MOVED] = 50
    for drift in (compare(split(queries(900, 1)), [split(now)]), compare(split(queries(9, 1)), [])):
        document = drift.document()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert document["beyond"] == list(drift.beyond)
        assert document["is_beyond_limit"] == drift.is_beyond_limit == bool(drift.distances)
        assert (document["reference_rows"], document["current_rows"]) == (drift.reference_rows, drift.current_rows)
        for each in drift.distances:
            assert (
                Distance(each.name, **{k: v for k, v in document["features"][each.name].items() if k != "limit"})
                == each
            )
            assert document["features"][each.name]["limit"] == each.limit


def test_without_rows_on_a_side_there_is_nothing_to_compare_and_that_is_said() -> None:
    some, none = split(queries(30, 1)), split(queries(0, 1))
    for reference, current, rows in ((some, [], "30 rows to compare with, 0 new ones"),
                                     (some, [none, none], "30 rows to compare with, 0 new ones"),
                                     (none, [some], "0 rows to compare with, 30 new ones")):  # fmt: skip
        drift = compare(reference, current)
        assert (drift.distances, drift.beyond, drift.is_beyond_limit) == ((), (), False)
        outcome = judge(drift)
        assert (outcome.passed, outcome.warning, outcome.reason) == (True, True, f"nothing to compare: {rows}")


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


def test_scores_that_move_are_beyond_their_limit_and_scores_drawn_anew_are_not() -> None:
    draw = np.random.default_rng(4)
    before, same, higher = draw.beta(1, 9, 3_000), draw.beta(1, 9, 1_000), draw.beta(3, 7, 1_000)
    assert (score_drift(before, same).name, score_drift(before, same).own) == ("score", 0.0)
    assert not score_drift(before, same).is_beyond
    assert score_drift(before, higher).is_beyond


def test_a_score_drift_without_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="no distance between 0 and 2 scores; give one or more of each"):
        score_drift(np.zeros(0), np.zeros(2))
    with pytest.raises(ValueError, match="no distance between 2 and 0 scores"):
        score_drift(np.zeros(2), np.zeros(0))


def test_the_picture_is_a_png_of_any_drift() -> None:
    now = queries(200, 2)
    now[:, MOVED] += 3
    for current in ([split(now)], []):
        png = plot(compare(split(queries(300, 1)), current), "features, $week$ of 2026-02-16")
        picture = Image.open(BytesIO(png))
        assert (picture.format, picture.width) == ("PNG", 900)
