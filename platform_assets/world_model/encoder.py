"""T1 to T6 from a batch's indices, on whatever device they are: the tables of a tensor cache and a few large operations.

    T1 customer 192   segment 64 (seg_1 32, seg_2 32: one dimension a value, the first for unknown, the last for nobody).
                      history 96 . affinity 32, both scaled by 1 - alpha / 2: alpha is .8 below 5 trips, else max(.2, 1 / ln(n + 1))
    T2 product 256    vector + sinusoids of the position. MASK and UNK, which have no vector, are told apart in the last dimension
    T3 time 64        see `world_model.time_codes`
    T4 price 64       Fourier 24: sin, cos of f ln(actual), 12 f from 1/2 to 32, .
                      log 16: a triangle around each of 16 logarithms from ln .05 to ln 50 .
                      relative to category 16: the same of ln(actual / category average), -1.5 to 1.5 .
                      velocity 8: tanh(s v), tanh(s d), s = 1, 4, 16, 64, of v = ln(actual / prior) and d = ln(actual / base)
    T5 store 96       format 24 . region 24 . operational 32 . identity 16
    T6 trip 48        type 16 . focus 16 . sensitivity 8 . size 8: one dimension a class

Zero are T2 and T4 of PAD, T4 of whatever has no price (MASK has none: a price would betray what is hidden), history and
affinity of nobody, T6 of a label that is unknown. Arithmetic on prices is elementwise and float32: a matrix product under
automatic mixed precision would lose them.

Tables are buffers that no checkpoint holds: they belong to the cache. Wrapped in DistributedDataParallel the encoder would
send them to all ranks with every step: keep it beside the network. B baskets, S items, P tokens, W weeks.
"""

from __future__ import annotations

import math
import warnings
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model import time_codes
from platform_assets.world_model.batch import SEQUENCE, T2, T4, Indices
from platform_assets.world_model.tensor_cache import TensorCache

SEGMENT_VALUES = 32  # 0 unknown, the last one nobody; values that do not fit share the one before
KNOWN_CUSTOMER = 128  # of a snapshot's 160: history and affinity
# 1 / ln(n + 1) has fallen to .2 here.
LAST_TRIP = 148
# Items have no order: enough to tell two hidden ones apart, and not to drown the vectors, whose mean norm is 1.
POSITION_NORM = 0.25
FREQUENCIES = np.geomspace(0.5, 32, 12)
PRICE_CENTRES = np.linspace(np.log(0.05), np.log(50), 16)
RATIO_CENTRES = np.linspace(-1.5, 1.5, 16)
VELOCITY_SCALES = np.array([1, 4, 16, 64])
TRIP_WIDTHS = (16, 16, 8, 8)


class Encoded(NamedTuple):
    """What a network is given."""

    dense: Tensor  # [B, 400] T1, T3, T5, T6
    sequence: Tensor  # [B, S, 320] T2, T4


class TensorEncoder(torch.nn.Module):
    """The encoder of a cache. On the CPU its tables are the memory-mapped files, and copies only where they are small."""

    snapshots: Tensor  # [K * (C + 1), 160]
    trust: Tensor  # [149, 1] by trips
    segments: Tensor  # [32 * 32, 64]
    products: Tensor  # [P, 320]
    positions: Tensor  # [max_seq_len, 256]
    times: Tensor  # [rows of four tables, 64]
    time_offsets: Tensor  # [4]
    prices: Tensor  # [W * P, 5]
    wave_scale: Tensor  # [24]
    wave_shift: Tensor  # [24]
    bump_scale: Tensor  # [2, 16] of price and ratio
    bump_shift: Tensor  # [2, 16]
    velocity_scale: Tensor  # [4]
    stores: Tensor  # [S + 1, 96]
    trips: Tensor  # [rows of four tasks, 48]
    trip_offsets: Tensor  # [4]

    def __init__(self, cache: TensorCache, max_seq_len: int = 50) -> None:
        super().__init__()
        snapshots, days = cache.table("customer_snapshots"), len(cache.weeks) * 7
        self.max_seq_len, self._tokens = max_seq_len, cache.tokens
        self._customers, self._days = snapshots.shape[1], days
        self._keep("snapshots", snapshots.reshape(-1, snapshots.shape[-1]))
        self._keep("trust", _trust())
        self._keep("segments", _segment_table())
        self._keep("products", _product_table(cache.table("product_embeddings")))
        self._keep("positions", position_codes(max_seq_len))
        self._keep("times", _time_table(date.fromisoformat(cache.document["first_day"]), days))
        # Row 0 of the last table is that of NO_DAY, -1.
        self._keep("time_offsets", np.array([0, days, days + 8, days + 8 + 24 + 1]))
        self._keep("prices", _price_table(cache.table("prices")))
        for name, array in _price_codes().items():
            self._keep(name, array)
        self._keep("stores", cache.table("store_features"))
        self._keep("trips", _trip_table())
        self._keep("trip_offsets", _trip_starts() + 1)

    def _keep(self, name: str, array: NDArray[Any]) -> None:
        kept = array.astype(np.float32) if array.dtype == np.float64 else np.ascontiguousarray(array)
        with warnings.catch_warnings():
            # A read-only file: nothing here writes to it.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.register_buffer(name, torch.from_numpy(np.asarray(kept)), persistent=False)

    def encode(self, indices: Indices, with_trip: bool) -> Encoded:
        """All that a network is given; T6 is all zero unless `with_trip`."""
        return Encoded(self.dense(indices, with_trip), self.sequence(indices))

    def dense(self, indices: Indices, with_trip: bool) -> Tensor:
        """[B, 400] T1, T3, T5, T6 side by side."""
        trip = (
            self.trip_context(indices) if with_trip else self.trips.new_zeros(len(indices.customer), sum(TRIP_WIDTHS))
        )
        parts = (*self._customer(indices), self.temporal_context(indices), self.store_context(indices), trip)
        return torch.cat(parts, 1)

    def sequence(self, indices: Indices) -> Tensor:
        """[B, S, 320] T2, T4 side by side."""
        tokens = indices.tokens
        # The table has room for T4 in its rows: what is gathered need not be copied again.
        found = self.products.index_select(0, tokens.reshape(-1)).view(*tokens.shape, SEQUENCE)
        shown = (tokens != layout.PAD).unsqueeze(-1)
        found[:, :, T2].addcmul_(self.positions[: tokens.shape[1]], shown.to(found.dtype))
        self._write_prices(indices, found[:, :, T4])
        return found

    def customer_context(self, indices: Indices) -> Tensor:
        """T1 [B, 192]."""
        return torch.cat(self._customer(indices), 1)

    def product_embeddings(self, indices: Indices) -> Tensor:
        """T2 [B, S, 256]."""
        return self.sequence(indices)[:, :, T2]

    def temporal_context(self, indices: Indices) -> Tensor:
        """T3 [B, 64]."""
        since = indices.days_since_previous.clamp(max=self._days)
        rows = torch.stack((indices.day, indices.weekday, indices.hour, since), 1).add_(self.time_offsets)
        return torch.nn.functional.embedding_bag(rows, self.times, mode="sum")

    def price_features(self, indices: Indices) -> Tensor:
        """T4 [B, S, 64]."""
        return self.sequence(indices)[:, :, T4]

    def store_context(self, indices: Indices) -> Tensor:
        """T5 [B, 96]."""
        return self.stores.index_select(0, indices.store)

    def trip_context(self, indices: Indices) -> Tensor:
        """T6 [B, 48], from the labels: never beside the tasks that predict them."""
        rows = indices.labels.clamp(min=-1).add_(self.trip_offsets)
        return torch.nn.functional.embedding_bag(rows, self.trips, mode="sum")

    def _customer(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Segment [B, 64]; history and affinity [B, 128]."""
        nobody = indices.customer == layout.NOBODY
        values = indices.segments.clamp(max=SEGMENT_VALUES - 2)
        pair = torch.add(values[:, 1], values[:, 0], alpha=SEGMENT_VALUES).masked_fill_(nobody, SEGMENT_VALUES**2 - 1)
        known = torch.add(indices.customer, indices.snapshot, alpha=self._customers)
        vectors = self.snapshots.index_select(0, known)[:, :KNOWN_CUSTOMER]
        trust = self.trust[indices.trips.clamp(max=LAST_TRIP)]
        return self.segments.index_select(0, pair), vectors * trust

    def _write_prices(self, indices: Indices, codes: Tensor) -> None:
        """T4 into [B, S, 64]."""
        places = torch.add(indices.tokens, indices.week.unsqueeze(1), alpha=self._tokens)
        found = self.prices.index_select(0, places.reshape(-1)).view(*places.shape, 5)
        # Sine and tanh take twice as long on rows of a wider tensor: computed apart, written once.
        waves = torch.addcmul(self.wave_shift, found[:, :, :1], self.wave_scale).sin_()
        bumps = torch.addcmul(self.bump_shift, found[:, :, :2].unsqueeze(3), self.bump_scale)
        # A triangle upside down, -max(0, 1 - |x|), and back.
        bumps.abs_().sub_(1).clamp_(max=0).neg_()
        velocity = torch.mul(found[:, :, 2:4].unsqueeze(3), self.velocity_scale).tanh_()
        torch.mul(torch.cat((waves, bumps.flatten(2), velocity.flatten(2)), 2), found[:, :, 4:], out=codes)


def trust(trips: int) -> float:
    """How far a customer's vector counts after so many trips: 1 - alpha / 2."""
    alpha = 0.8 if trips < 5 else max(0.2, 1 / math.log(trips + 1))
    return 1 - alpha / 2


def position_codes(length: int) -> NDArray[np.float64]:
    """[length, 256] sines and cosines of the position, by Vaswani et al. 2017, of norm POSITION_NORM."""
    width = T2.stop
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], 2).reshape(length, width) * POSITION_NORM / math.sqrt(width / 2)


def _trust() -> NDArray[np.float64]:
    return np.array([[trust(trips)] for trips in range(LAST_TRIP + 1)])


def _segment_table() -> NDArray[np.float64]:
    """[32 * 32, 64], by the pair of values."""
    first, second = np.divmod(np.arange(SEGMENT_VALUES**2), SEGMENT_VALUES)
    one = np.eye(SEGMENT_VALUES)
    return np.hstack([one[first], one[second]])


def _product_table(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """[P, 320]: T2 without position, and room for T4."""
    table = np.zeros((len(vectors), SEQUENCE), np.float32)
    table[:, T2] = vectors
    table[layout.UNK, T2.stop - 1], table[layout.MASK, T2.stop - 1] = -1, 1
    return table


def _time_table(first: date, days: int) -> NDArray[np.float32]:
    """Rows by day, weekday, hour and recency, one table below the other."""
    tables = time_codes.day_table(first, days), time_codes.weekday_table(), time_codes.hour_table()
    return np.vstack([*tables, time_codes.recency_table(days)])


def _price_table(prices: NDArray[Any]) -> NDArray[np.float32]:
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


def _price_codes() -> dict[str, NDArray[np.float64]]:
    """Factors and summands before sine [24], triangle [2, 16] (price, ratio) and tanh [4]."""
    centres = np.stack([PRICE_CENTRES, RATIO_CENTRES])
    steps = centres[:, 1:2] - centres[:, :1]
    return {
        "wave_scale": np.concatenate([FREQUENCIES, FREQUENCIES]),
        "wave_shift": np.repeat([0, np.pi / 2], len(FREQUENCIES)),
        "bump_scale": np.ones_like(centres) / steps,
        "bump_shift": -centres / steps,
        "velocity_scale": VELOCITY_SCALES.astype(np.float64),
    }


def _trip_starts() -> NDArray[np.int64]:
    """Where each task's rows begin in the trip table; the first of them, all zero, is that of an unknown label."""
    return np.cumsum([0, *(1 + len(classes) for classes in layout.LABELS.values())])[:-1]


def _trip_table() -> NDArray[np.float64]:
    columns = np.cumsum([0, *TRIP_WIDTHS])
    table = np.zeros((sum(1 + len(classes) for classes in layout.LABELS.values()), columns[-1]))
    for row, column, classes in zip(_trip_starts(), columns[:-1], layout.LABELS.values(), strict=True):
        for number in range(len(classes)):
            table[row + 1 + number, column + number] = 1
    return table
