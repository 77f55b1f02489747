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

import warnings
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from platform_assets.world_model import encoder_tables as tables
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import SEQUENCE, T2, T4, Indices
from platform_assets.world_model.tensor_cache import TensorCache

KNOWN_CUSTOMER = 128  # of a snapshot's 160: history and affinity


class Encoded(NamedTuple):
    """What a network is given."""

    dense: Tensor  # [B, 400] T1, T3, T5, T6
    sequence: Tensor  # [B, S, 320] T2, T4


class TensorEncoder(torch.nn.Module):
    """The encoder of a cache. On the CPU its tables are the memory-mapped files, and copies only where they are small."""

    snapshots: Tensor  # [K * (C + 1), 160]
    trust: Tensor  # [149, 1] by trips
    segments: Tensor  # [32 * 32, 64]
    items: Tensor  # [P + max_seq_len + 1, 320]
    times: Tensor  # [rows of four tables, 64]
    time_offsets: Tensor  # [4]
    prices: Tensor  # [W * P, 5]
    wave_scale: Tensor  # [24]
    wave_shift: Tensor  # [24]
    bump_of: Tensor  # [32] price or ratio
    bump_scale: Tensor  # [32]
    bump_shift: Tensor  # [32]
    velocity_of: Tensor  # [8]
    velocity_scale: Tensor  # [8]
    stores: Tensor  # [S + 1, 96]
    trips: Tensor  # [rows of four tasks, 48]
    trip_offsets: Tensor  # [4]

    def __init__(self, cache: TensorCache, max_seq_len: int = 50) -> None:
        super().__init__()
        snapshots, days = cache.table("customer_snapshots"), len(cache.weeks) * 7
        self.max_seq_len, self._tokens = max_seq_len, cache.tokens
        self._customers, self._days = snapshots.shape[1], days
        self._keep("snapshots", snapshots.reshape(-1, snapshots.shape[-1]))
        self._keep("trust", tables.trust_table())
        self._keep("segments", tables.segment_table())
        self._keep("items", tables.item_table(cache.table("product_embeddings"), max_seq_len))
        self._keep("times", tables.time_table(date.fromisoformat(cache.document["first_day"]), days))
        # Row 0 of the last table is that of NO_DAY, -1.
        self._keep("time_offsets", np.array([0, days, days + 8, days + 8 + 24 + 1]))
        self._keep("prices", tables.price_table(cache.table("prices")))
        for name, array in tables.price_codes().items():
            self._keep(name, array)
        self._keep("stores", cache.table("store_features"))
        self._keep("trips", tables.trip_table())
        self._keep("trip_offsets", tables.trip_starts() + 1)

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
            self.trip_context(indices)
            if with_trip
            else self.trips.new_zeros(len(indices.customer), sum(tables.TRIP_WIDTHS))
        )
        parts = (*self._customer(indices), self.temporal_context(indices), self.store_context(indices), trip)
        return torch.cat(parts, 1)

    def sequence(self, indices: Indices) -> Tensor:
        """[B, S, 320] T2, T4 side by side."""
        tokens = indices.tokens
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        weeks = indices.week.unsqueeze(1).expand_as(tokens)
        return self.encode_items(*(each.reshape(-1) for each in (tokens, positions, weeks))).view(
            *tokens.shape, SEQUENCE
        )

    def encode_items(self, tokens: Tensor, positions: Tensor, weeks: Tensor) -> Tensor:
        """[n, 320] T2, T4 of n items, of whichever baskets: token, position in the basket, week."""
        # The last row adds nothing: a PAD is at no position.
        positions = torch.where(tokens == layout.PAD, self.max_seq_len, positions).add_(self._tokens)
        # The table has room for T4 in its rows: what is summed need not be copied again.
        found = embedding_bag(torch.stack((tokens, positions), 1), self.items, mode="sum")
        found[:, T4] = self._prices(torch.add(tokens, weeks, alpha=self._tokens))
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
        return embedding_bag(rows, self.times, mode="sum")

    def price_features(self, indices: Indices) -> Tensor:
        """T4 [B, S, 64]."""
        return self.sequence(indices)[:, :, T4]

    def store_context(self, indices: Indices) -> Tensor:
        """T5 [B, 96]."""
        return self.stores.index_select(0, indices.store)

    def trip_context(self, indices: Indices) -> Tensor:
        """T6 [B, 48], from the labels: never beside the tasks that predict them."""
        rows = indices.labels.clamp(min=-1).add_(self.trip_offsets)
        return embedding_bag(rows, self.trips, mode="sum")

    def _customer(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Segment [B, 64]; history and affinity [B, 128]."""
        nobody = indices.customer == layout.NOBODY
        values = indices.segments.clamp(max=tables.SEGMENT_VALUES - 2)
        pair = torch.add(values[:, 1], values[:, 0], alpha=tables.SEGMENT_VALUES).masked_fill_(
            nobody, tables.SEGMENT_VALUES**2 - 1
        )
        known = torch.add(indices.customer, indices.snapshot, alpha=self._customers)
        vectors = self.snapshots.index_select(0, known)[:, :KNOWN_CUSTOMER]
        trust = self.trust[indices.trips.clamp(max=tables.LAST_TRIP)]
        return self.segments.index_select(0, pair), vectors * trust

    def _prices(self, places: Tensor) -> Tensor:
        """T4 [n, 64] of places in the price table."""
        found = self.prices.index_select(0, places)
        waves = torch.addcmul(self.wave_shift, found[:, :1], self.wave_scale).sin_()
        bumps = torch.addcmul(self.bump_shift, found.index_select(1, self.bump_of), self.bump_scale)
        # A triangle, max(0, 1 - |x|).
        bumps.abs_().clamp_(max=1).neg_().add_(1)
        velocity = found.index_select(1, self.velocity_of).mul_(self.velocity_scale).tanh_()
        return torch.cat((waves, bumps, velocity), 1).mul_(found[:, 4:])
