"""Drift of the features: how many may move, of which kind, and what is said of a week beyond the limit."""

from __future__ import annotations

import json
from io import BytesIO
from math import nan

import numpy as np
import pytest
from PIL import Image

from platform_assets.query_predictor.feature_distance import LIMIT_PSI, Distance
from platform_assets.query_predictor.feature_drift import (
    MOST_BEYOND,
    MOST_HISTORY_BEYOND,
    compare,
    judge,
    judge_document,
    plot,
    score_drift,
)
from platform_assets.query_predictor.split_features import NUMBERS
from platform_assets_tests.query_predictor.drift_rows import HISTORY, MOVED, distance, queries, split


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


@pytest.mark.parametrize(("places", "most"), [(MOVED, MOST_BEYOND), (HISTORY, MOST_HISTORY_BEYOND)])
def test_a_week_with_as_many_features_as_may_move_is_not_beyond_the_limit(places: list[int], most: int) -> None:
    for moved in (most, most + 1):
        now = queries(1_000, 2)
        now[:, places[:moved]] += 3
        drift = compare(split(queries(3_000, 1)), [split(now)])
        assert len(drift.beyond) == moved
        assert drift.is_beyond_limit == (moved > most)


def test_features_of_history_that_moved_do_not_add_to_those_of_texts() -> None:
    now = queries(1_000, 2)
    now[:, MOVED[:MOST_BEYOND] + HISTORY[:MOST_HISTORY_BEYOND]] += 3
    drift = compare(split(queries(3_000, 1)), [split(now)])
    assert set(drift.beyond_of_history) == {NUMBERS[place] for place in HISTORY[:MOST_HISTORY_BEYOND]}
    assert len(drift.beyond) == MOST_BEYOND + MOST_HISTORY_BEYOND
    assert not drift.is_beyond_limit
    assert judge(drift).passed


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


def test_the_outcome_warns_and_names_the_features_and_never_blocks() -> None:
    now = queries(1_000, 2)
    now[:, [*MOVED, HISTORY[0]]] += 3
    drift = compare(split(queries(3_000, 1)), [split(now)])
    moved = judge(drift)
    assert (moved.name, moved.passed, moved.warning) == ("feature_drift", False, True)
    said = f"12 features of texts and sessions beyond their limits, {MOST_BEYOND} allowed, and 1 of history, {MOST_HISTORY_BEYOND} allowed: "
    assert moved.reason.startswith(f"{said}{drift.beyond[0]}, ")
    assert moved.reason.endswith(f", {drift.beyond[9]}, ...")
    assert moved.metadata == {
        "beyond_of_texts": 12, "allowed_of_texts": MOST_BEYOND, "beyond_of_history": 1, "allowed_of_history": MOST_HISTORY_BEYOND,
    }  # fmt: skip
    still = judge(compare(split(queries(3_000, 1)), [split(queries(1_000, 2))]))
    assert (still.passed, still.warning) == (True, True)
    assert still.reason.endswith(f", and 0 of history, {MOST_HISTORY_BEYOND} allowed: none")


def test_the_document_is_json_that_reads_back_as_it_was() -> None:
    now = queries(500, 2)
    now[:, MOVED] = 50
    for drift in (compare(split(queries(900, 1)), [split(now)]), compare(split(queries(9, 1)), [])):
        document = drift.document()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert document["beyond"] == list(drift.beyond)
        assert document["beyond_of_history"] == list(drift.beyond_of_history)
        assert (document["most_beyond"], document["most_history_beyond"]) == (MOST_BEYOND, MOST_HISTORY_BEYOND)
        assert document["is_beyond_limit"] == drift.is_beyond_limit == bool(drift.distances)
        assert (document["reference_rows"], document["current_rows"]) == (drift.reference_rows, drift.current_rows)
        told = {name: value for name, value in document.items() if name != "features"}
        assert not drift.distances or judge_document(told) == judge(drift)
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
