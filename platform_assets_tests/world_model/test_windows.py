"""The order of an epoch, window by window, against counting by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.world_model.windows import Windows, cut


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 120), st.integers(0, 3))
def test_windows_and_length_in_closed_form(baskets: int, batch_size: int, window: int, epoch: int) -> None:
    """Every basket is in one window; all batches but one are full; and there are as many as were said."""
    windows = Windows(baskets, batch_size, window)
    order, sizes, seen = windows.order(0, epoch), [], []
    for number in range(len(windows)):
        rows = order.rows(number)
        found = cut(
            rows, np.ones(len(rows), np.int64), batch_size, True, np.random.default_rng(0), np.random.default_rng(1)
        )
        assert sorted(found.rows) == sorted(rows)
        sizes += np.diff(found.bounds).tolist()
        seen += rows.tolist()
    assert sorted(seen) == list(range(baskets))
    assert len(sizes) == windows.batches
    assert sum(size != batch_size for size in sizes) <= 1
