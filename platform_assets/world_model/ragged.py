"""Ragged arrays: stretches of unequal length in one flat array, handled all at once and without a loop.

A stretch begins at some place of the flat array and has a length. What the stretches are (baskets, a customer's purchases,
the rows of a batch) and what lies in them does not belong here.

n stretches, N places in all of them together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def offsets(lengths: NDArray[Any]) -> Integers:
    """[n+1] where each stretch begins that follows the one before it, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def owners(lengths: NDArray[Any]) -> Integers:
    """[N] the stretch that each place is in: 0 as often as the first one is long, then 1."""
    return np.repeat(np.arange(len(lengths)), lengths)


def places(begins: NDArray[Any], lengths: NDArray[Any]) -> Integers:
    """[N] begins[0], begins[0] + 1, ... for as many as its length says, then those of the next."""
    ends = np.cumsum(lengths, dtype=np.int64)
    found = np.repeat(begins - (ends - lengths), lengths)
    # In place: at the size of a window another array of places would not fit into a processor's cache.
    found += np.arange(len(found))
    return found
