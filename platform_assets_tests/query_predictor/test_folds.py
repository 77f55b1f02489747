"""Folds: no template on both sides, classes as even as scikit-learn makes them, the same for any order of rows; days for time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from platform_assets.query_predictor.folds import grouped_folds, time_fold

ROWS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=120)


def deviation(is_heavy: np.ndarray, fold_of: np.ndarray, folds: int) -> float:
    """Mean over both classes of how uneven their shares are over the folds: what scikit-learn minimises."""
    counts = np.array([[(is_heavy[fold_of == fold] == kind).sum() for kind in (0, 1)] for fold in range(folds)])
    return float((counts / np.maximum(counts.sum(0), 1)).std(axis=0).mean())


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, folds=st.integers(2, 5), seed=st.integers(0, 3))
def test_every_row_has_one_fold_and_a_template_is_never_in_two(rows: list, folds: int, seed: int) -> None:
    groups = np.array([f"t{group}" for group, _ in rows])
    is_heavy = np.array([heavy for _, heavy in rows])
    if len(set(groups)) < folds:
        with pytest.raises(ValueError, match="templates cannot make"):
            grouped_folds(is_heavy, groups, folds, seed)
        return
    fold_of = grouped_folds(is_heavy, groups, folds, seed)
    assert set(fold_of) <= set(range(folds))
    assert all(len(set(fold_of[groups == group])) == 1 for group in set(groups))
    order = np.random.default_rng(seed).permutation(len(rows))
    assert (grouped_folds(is_heavy[order], groups[order], folds, seed) == fold_of[order]).all()


@pytest.mark.parametrize("seed", range(6))
def test_classes_are_about_as_even_as_scikit_learns(seed: int) -> None:
    chance = np.random.default_rng(seed)
    # Few large templates and many small ones, heavy queries in some of them.
    groups = np.minimum(chance.zipf(1.5, 3000), 300)
    is_heavy = chance.random(3000) < (groups % 7 == 0) * 0.5 + 0.02
    theirs = np.empty(3000, np.int64)
    for fold, (_, held) in enumerate(StratifiedGroupKFold(5).split(np.zeros(3000), is_heavy, groups)):
        theirs[held] = fold
    ours = grouped_folds(is_heavy, groups, 5)
    assert deviation(is_heavy, ours, 5) <= deviation(is_heavy, theirs, 5) + 0.02


def test_another_seed_makes_other_folds_of_equal_templates() -> None:
    groups, is_heavy = np.arange(60), np.zeros(60, bool)
    found = [tuple(grouped_folds(is_heavy, groups, 3, seed)) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert sorted(np.bincount(found[0])) == [20, 20, 20]


def test_the_time_fold_is_whole_days_at_the_end() -> None:
    hours = np.datetime64("2026-01-01T00") + np.arange(0, 30 * 24, 5).astype("timedelta64[h]")
    held = time_fold(hours.astype("datetime64[us]"))
    assert hours[held].min() >= np.datetime64("2026-01-25")
    assert hours[~held].max() < np.datetime64("2026-01-25")
    assert not time_fold(hours[:3]).any(), "of one day nothing is later"
    assert not time_fold(hours[:0]).any()
