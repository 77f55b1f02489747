"""Which rows make a batch, against the obvious."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.training.batches import epoch_batches, ordered_batches, rank_share

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=700)


@given(lengths, st.integers(1, 40), st.integers(0, 5), st.integers(0, 5))
def test_every_row_is_in_exactly_one_batch_of_an_epoch_and_all_batches_but_one_are_full(
    rows: list[int], size: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(rows, size, seed, epoch)
    assert Counter(int(row) for batch in batches for row in batch) == Counter(range(len(rows)))
    assert sum(len(batch) != size for batch in batches) == (len(rows) % size > 0)


@given(lengths, st.integers(1, 40), st.integers(1, 9))
def test_the_ranks_shares_make_up_the_batch_and_differ_by_one_row_at_most(
    rows: list[int], size: int, world_size: int
) -> None:
    for batch in epoch_batches(rows, size, 0, 0):
        shares = [rank_share(batch, rank, world_size) for rank in range(world_size)]
        assert sorted(np.concatenate(shares)) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(lengths, st.integers(1, 40))
def test_measuring_meets_every_row_once_in_an_order_that_never_changes(rows: list[int], size: int) -> None:
    batches = ordered_batches(rows, size)
    assert sorted(row for batch in batches for row in batch) == list(range(len(rows)))
    assert [rows[row] for batch in batches for row in batch] == sorted(rows, reverse=True)


@given(lengths, st.integers(1, 40), st.integers(0, 5))
def test_the_longest_row_comes_in_the_first_batch(rows: list[int], size: int, seed: int) -> None:
    assert max(rows[row] for row in epoch_batches(rows, size, seed, 0)[0]) == max(rows)


def test_an_epoch_has_an_order_of_its_own_and_always_the_same() -> None:
    rows = [7] * 200
    orders = [tuple(np.concatenate(epoch_batches(rows, 8, seed, epoch))) for seed in (0, 1) for epoch in (0, 1)]
    again = [tuple(np.concatenate(epoch_batches(rows, 8, seed, epoch))) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert orders == again


def test_rows_of_like_length_share_a_batch() -> None:
    rows = np.random.default_rng(0).integers(10, 200, 2_000)
    padding = sum(int((rows[batch].max() - rows[batch]).sum()) for batch in epoch_batches(rows.tolist(), 16, 0, 0))
    random = sum(int((part.max() - part).sum()) for part in np.split(rows, 125))
    assert padding < random / 5


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be 1 or more"):
        epoch_batches([1, 2], 0, 0, 0)
