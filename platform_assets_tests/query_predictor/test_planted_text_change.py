"""Drift on generated logs of several seeds: none where the log stands still, and the planted change of texts where it is planted.

Logs are small and only numbers of texts and sessions are made; sizes and shares beyond these are in `feature_drift`.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from platform_assets.query_predictor.feature_drift import MOST_BEYOND, Drift, compare
from platform_assets.simulators.trino_cluster import Scenario
from platform_assets_tests.query_predictor.generated_splits import split_by_days

SEEDS = (7, 8, 9)
REFERENCE_DAYS = 28
# What the tool adds to each text: a comment, a WITH around it, names in quotes, a limit.
ADDED = {"quoted_identifiers", "row_limit", "ctes", "nested_with_depth", "comments", "comment_characters"}


@lru_cache
def drift(seed: int, share: float) -> Drift:
    """Of the fifth week from the four before it; the change is planted on its first day, in that share of the queries."""
    day = REFERENCE_DAYS if share else None
    scenario = Scenario(2_500, days=35, seed=seed, text_change_day=day, text_change_share=share)
    reference, week = split_by_days(scenario, REFERENCE_DAYS, REFERENCE_DAYS + 7)
    return compare(reference, [week])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_that_stands_still_moves_no_feature_of_texts_beyond_its_limit(seed: int) -> None:
    found = drift(seed, 0.0)
    assert (found.beyond, found.is_beyond_limit) == ((), False)
    assert max(each.psi / each.limit for each in found.distances) < 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_a_change_of_two_fifths_of_the_queries_is_beyond_the_limit_in_its_first_week(seed: int) -> None:
    found = drift(seed, 0.4)
    assert found.is_beyond_limit
    assert len(found.beyond) > 2 * MOST_BEYOND
    assert len(ADDED.intersection(found.beyond)) >= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_change_of_a_twentieth_of_the_queries_is_not(seed: int) -> None:
    assert not drift(seed, 0.05).is_beyond_limit
