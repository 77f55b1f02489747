"""Tables of the encoder: what a row of T1, T3, T5 or T6 is composed of, and the numbers before sine, triangle and tanh of T4.

Made once from a tensor cache, in numpy. What the parts of a tensor mean is told by `world_model.encoder`, which looks rows up.

P tokens, W weeks, S the longest sequence.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model import time_codes
from platform_assets.world_model.batch import SEQUENCE, T2

SEGMENT_VALUES = 32  # 0 unknown, the last one nobody; values that do not fit share the one before
# 1 / ln(n + 1) has fallen to .2 here.
LAST_TRIP = 148
# Items have no order: enough to tell two hidden ones apart, and not to drown the vectors, whose mean norm is 1.
POSITION_NORM = 0.25
FREQUENCIES = np.geomspace(0.5, 32, 12)
PRICE_CENTRES = np.linspace(np.log(0.05), np.log(50), 16)
RATIO_CENTRES = np.linspace(-1.5, 1.5, 16)
VELOCITY_SCALES = np.array([1, 4, 16, 64])
TRIP_WIDTHS = (16, 16, 8, 8)


def trust(trips: int) -> float:
    """How far a customer's vector counts after so many trips: 1 - alpha / 2."""
    alpha = 0.8 if trips < 5 else max(0.2, 1 / math.log(trips + 1))
    return 1 - alpha / 2


def position_codes(length: int) -> NDArray[np.float64]:
    """[length, 256] sines and cosines of the position, by Vaswani et al. 2017, of norm POSITION_NORM."""
    width = T2.stop
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], 2).reshape(length, width) * POSITION_NORM / math.sqrt(width / 2)


def trust_table() -> NDArray[np.float64]:
    return np.array([[trust(trips)] for trips in range(LAST_TRIP + 1)])


def segment_table() -> NDArray[np.float64]:
    """[32 * 32, 64], by the pair of values."""
    first, second = np.divmod(np.arange(SEGMENT_VALUES**2), SEGMENT_VALUES)
    one = np.eye(SEGMENT_VALUES)
    return np.hstack([one[first], one[second]])


def item_table(vectors: NDArray[Any], max_seq_len: int) -> NDArray[np.float32]:
    """[P + S + 1, 320]: T2 by token; below it what a position adds to it, and a row that adds nothing. T4 has room."""
    tokens = len(vectors)
    table = np.zeros((tokens + max_seq_len + 1, SEQUENCE), np.float32)
    table[:tokens, T2] = vectors
    table[layout.UNK, T2.stop - 1], table[layout.MASK, T2.stop - 1] = -1, 1
    table[tokens:-1, T2] = position_codes(max_seq_len)
    return table


def time_table(first: date, days: int) -> NDArray[np.float32]:
    """Rows by day, weekday, hour and recency, one table below the other."""
    tables = time_codes.day_table(first, days), time_codes.weekday_table(), time_codes.hour_table()
    return np.vstack([*tables, time_codes.recency_table(days)])


def price_table(prices: NDArray[Any]) -> NDArray[np.float32]:
    """[W * P, 5]: ln actual; ln of actual over category average, prior, base; whether there is a price. Zero where unknown."""
    actual, prior, base, category = np.moveaxis(prices.reshape(-1, len(layout.PRICES)).astype(np.float64), 1, 0)
    known = actual > 0
    table = np.zeros((len(actual), 5), np.float32)
    table[:, 0] = np.log(np.where(known, actual, 1))
    for column, other in enumerate((category, prior, base), 1):
        both = known & (other > 0)
        table[:, column] = np.log(np.where(both, actual, 1) / np.where(both, other, 1))
    table[:, 4] = known
    return table


def price_codes() -> dict[str, NDArray[Any]]:
    """Factors and summands before sine [24], triangle [32] and tanh [8]; of the latter two also which scalar each is of."""
    centres = np.concatenate([PRICE_CENTRES, RATIO_CENTRES])
    steps = np.repeat([PRICE_CENTRES[1] - PRICE_CENTRES[0], RATIO_CENTRES[1] - RATIO_CENTRES[0]], 16)
    return {
        "wave_scale": np.concatenate([FREQUENCIES, FREQUENCIES]),
        "wave_shift": np.repeat([0, np.pi / 2], len(FREQUENCIES)),
        "bump_of": np.repeat([0, 1], 16),
        "bump_scale": 1 / steps,
        "bump_shift": -centres / steps,
        "velocity_of": np.repeat([2, 3], len(VELOCITY_SCALES)),
        "velocity_scale": np.tile(VELOCITY_SCALES, 2).astype(np.float64),
    }


def trip_starts() -> NDArray[np.int64]:
    """Where each task's rows begin in the trip table; the first of them, all zero, is that of an unknown label."""
    return np.cumsum([0, *(1 + len(classes) for classes in layout.LABELS.values())])[:-1]


def trip_table() -> NDArray[np.float64]:
    columns = np.cumsum([0, *TRIP_WIDTHS])
    table = np.zeros((sum(1 + len(classes) for classes in layout.LABELS.values()), columns[-1]))
    for row, column, classes in zip(trip_starts(), columns[:-1], layout.LABELS.values(), strict=True):
        for number in range(len(classes)):
            table[row + 1 + number, column + number] = 1
    return table
