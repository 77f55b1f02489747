"""T1 to T6 basket by basket and item by item, in plain Python, from the documented getters: slow, obvious, and the judge."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model.batch import Indices
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.tensor_layout import LABELS, MASK, NOBODY, PAD, UNK

# England's bank holidays, as they were announced: not by the rule that is under test.
HOLIDAYS = [
    *["2005-12-26", "2005-12-27"],
    *["2006-01-02", "2006-04-14", "2006-04-17", "2006-05-01", "2006-05-29", "2006-08-28", "2006-12-25", "2006-12-26"],
    *["2007-01-01", "2007-04-06", "2007-04-09", "2007-05-07", "2007-05-28", "2007-08-27", "2007-12-25", "2007-12-26"],
    *["2008-01-01", "2008-03-21", "2008-03-24", "2008-05-05", "2008-05-26", "2008-08-25", "2008-12-25", "2008-12-26"],
]
EASTERS = ["2006-04-16", "2007-04-08", "2008-03-23", "2009-04-12"]
FISCAL_YEARS = ["2006-02-27", "2007-02-26", "2008-02-25"]


def customer_context(cache: TensorCache, indices: Indices, row: int) -> list[float]:
    customer, trips = int(indices.customer[row]), int(indices.trips[row])
    vector: list[float] = []
    for segment in range(2):
        one_hot = [0.0] * 32
        stored = int(indices.segments[row, segment])
        one_hot[31 if customer == NOBODY else min(stored, 30)] = 1.0
        vector += one_hot
    alpha = 0.8 if trips < 5 else max(0.2, 1 / math.log(trips + 1))
    newest, _ = cache.get_customer_embeddings_batch([customer], week=int(indices.week[row]))
    return vector + [float(value) * (1 - alpha / 2) for value in newest[0][:128]]


def product_embedding(cache: TensorCache, token: int, position: int) -> list[float]:
    if token == PAD:
        return [0.0] * 256
    vector = [float(value) for value in cache.get_product_embeddings_batch([token])[0]]
    vector[-1] += {UNK: -1.0, MASK: 1.0}.get(token, 0.0)
    for pair in range(128):
        angle = position / 10_000 ** (2 * pair / 256)
        vector[2 * pair] += math.sin(angle) * 0.25 / math.sqrt(128)
        vector[2 * pair + 1] += math.cos(angle) * 0.25 / math.sqrt(128)
    return vector


def temporal_context(cache: TensorCache, indices: Indices, row: int) -> list[float]:
    number, since = int(indices.day[row]), int(indices.days_since_previous[row])
    day = date.fromisoformat(cache.document["first_day"]) + timedelta(days=number)
    year = max(each for each in map(date.fromisoformat, FISCAL_YEARS) if each <= day)
    weekday = [float(int(indices.weekday[row]) == each) for each in range(1, 8)]
    recency = [0.0] * 8
    if since >= 0:
        faded = [math.exp(-since / days) for days in (1, 3, 7, 14, 28, 91)]
        recency = [1.0, math.log(1 + since) / math.log(366), *faded]
    return [
        *_waves([(day - year).days // 7 * h / 52 for h in range(1, 9)]),
        *weekday, weekday[0] + weekday[6],
        *_waves([int(indices.hour[row]) * h / 24 for h in range(1, 5)]),
        *_holiday(day),
        *_waves([day.timetuple().tm_yday * h / 365.2425 for h in range(1, 5)]),
        *_waves([number / 365.2425 / years for years in (2, 4, 8, 16)]),
        *recency,
    ]  # fmt: skip


def price_features(cache: TensorCache, token: int, week: int) -> list[float]:
    actual, prior, base, category = (float(value) for value in cache.get_prices_batch([token], week)[0])
    if actual <= 0:
        return [0.0] * 64
    logarithm = math.log(actual)
    relative, velocity, deviation = (
        math.log(actual / other) if other > 0 else 0.0 for other in (category, prior, base)
    )
    frequencies = [0.5 * 64 ** (k / 11) for k in range(12)]
    low, high = math.log(0.05), math.log(50)
    return [
        *(math.sin(f * logarithm) for f in frequencies),
        *(math.cos(f * logarithm) for f in frequencies),
        *_triangles(logarithm, low, high),
        *_triangles(relative, -1.5, 1.5),
        *(math.tanh(s * velocity) for s in (1, 4, 16, 64)),
        *(math.tanh(s * deviation) for s in (1, 4, 16, 64)),
    ]


def store_context(cache: TensorCache, indices: Indices, row: int) -> list[float]:
    return cache.get_store_embeddings_batch([int(indices.store[row])])[0].tolist()


def trip_context(indices: Indices, row: int) -> list[float]:
    vector: list[float] = []
    for task, (classes, width) in enumerate(zip(LABELS.values(), (16, 16, 8, 8), strict=True)):
        label = int(indices.labels[row, task])
        assert label < len(classes)
        vector += [float(each == label) for each in range(width)]
    return vector


def dense(cache: TensorCache, indices: Indices, with_trip: bool) -> NDArray[np.float64]:
    rows = [
        customer_context(cache, indices, row)
        + temporal_context(cache, indices, row)
        + store_context(cache, indices, row)
        + (trip_context(indices, row) if with_trip else [0.0] * 48)
        for row in range(len(indices.customer))
    ]
    return np.array(rows)


def sequence(cache: TensorCache, indices: Indices) -> NDArray[np.float64]:
    baskets = []
    for row in range(len(indices.customer)):
        week = int(indices.week[row])
        tokens = [int(token) for token in indices.tokens[row]]
        baskets.append(
            [
                product_embedding(cache, token, place) + price_features(cache, token, week)
                for place, token in enumerate(tokens)
            ]
        )
    return np.array(baskets)


def _triangles(value: float, low: float, high: float) -> list[float]:
    step = (high - low) / 15
    return [max(0.0, 1 - abs(value - (low + k * step)) / step) for k in range(16)]


def _waves(turns: list[float]) -> list[float]:
    angles = [2 * math.pi * turn for turn in turns]
    return [*map(math.sin, angles), *map(math.cos, angles)]


def _holiday(day: date) -> list[float]:
    known = [date.fromisoformat(each) for each in HOLIDAYS]
    until = min((each - day).days for each in known if each >= day)
    since = min((day - each).days for each in known if each <= day)
    christmas = min((date(year, 12, 25) - day).days for year in range(2006, 2010) if date(year, 12, 25) >= day)
    easter = min((each - day).days for each in map(date.fromisoformat, EASTERS) if each >= day)
    return [
        float(until == 0), math.exp(-until / 3), math.exp(-until / 14), math.exp(-since / 3), math.exp(-since / 14),
        math.exp(-min(until, since)), math.exp(-christmas / 14), math.exp(-easter / 14),
    ]  # fmt: skip
