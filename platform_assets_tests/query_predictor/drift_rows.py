"""Rows of features as the tests of their drift make them: all kinds of numbers, or one that matters and the others constant."""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor.feature_distance import Distance
from platform_assets.query_predictor.feature_drift import Drift
from platform_assets.query_predictor.features import BASE_NAMES, HISTORICAL_NAMES
from platform_assets.query_predictor.split_features import NUMBERS, SplitFeatures

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
