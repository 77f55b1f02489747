"""Drawing from a discrete distribution with one look-up: a table in which each outcome fills slots by its weight.

A random slot costs a few nanoseconds whatever the number of outcomes; a search in the cumulated weights costs twenty
times as much. The price: probabilities are multiples of 1 / slots. The rounding starts at a random offset, so that an
outcome too rare for a slot still gets its share over many tables.
"""

from __future__ import annotations

import numpy as np

PRODUCT_SLOT_BITS = 16
PRODUCT_SLOTS = 1 << PRODUCT_SLOT_BITS


def slot_table(weights: np.ndarray, slots: int, offset: float = 0.5) -> np.ndarray:
    """(slots,) outcomes: outcome i fills floor or ceil of slots * weights[i] / sum of them. `offset` is in [0, 1)."""
    edges = np.cumsum(weights, dtype=np.float64)
    edges = np.floor(edges * (slots / edges[-1]) + offset).astype(np.int64)
    edges[-1] = slots
    counts = np.diff(np.minimum(edges, slots), prepend=0)
    return np.repeat(np.arange(len(weights), dtype=np.min_scalar_type(len(weights) - 1)), counts)


def slot_tables(weights: np.ndarray, slots: int, offset: float = 0.5) -> np.ndarray:
    """One table after the other, flat, as uint16: row r of the (R, outcomes) weights fills slots r * slots onwards."""
    tables = np.empty((len(weights), slots), np.uint16)
    for row, row_weights in enumerate(weights):
        tables[row] = slot_table(row_weights, slots, offset)
    return tables.ravel()


def apportion(total: int, weights: np.ndarray, least: int | np.ndarray = 0) -> np.ndarray:
    """Whole counts that sum to `total`: `least` for everyone, the rest by weight, largest remainders first."""
    floor = np.broadcast_to(np.asarray(least), weights.shape).astype(np.int64)
    exact = (total - floor.sum()) * weights / weights.sum()
    counts = floor + exact.astype(np.int64)
    short = total - counts.sum()
    counts[np.argsort(-(exact % 1), kind="stable")[:short]] += 1
    return counts
