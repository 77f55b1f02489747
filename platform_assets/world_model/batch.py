"""A batch of baskets: the indices that travel, and the tensors T1 to T6 that are computed from them where they are needed.

Indices of 64 baskets are a few kilobytes, their tensors a megabyte: batches travel as indices, and one encoder
(`world_model.encoder`) on the device of the indices makes the tensors at their first use. Which baskets make a batch, and what
is hidden in it, does not belong here.

B baskets, S items of the longest, M hidden items of the basket with the most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from platform_assets.world_model import tensor_layout as layout

# What stands where a position or a target is none. Cross-entropy ignores the latter by default.
NO_POSITION, NO_TARGET = -1, -100
# A row that stands for no basket: a rank without a basket of its own computes one for nothing.
NO_ROW = -1

DENSE, SEQUENCE = 400, 320
T1, T3, T5, T6 = slice(0, 192), slice(192, 256), slice(256, 352), slice(352, 400)
T2, T4 = slice(0, 256), slice(256, 320)


class Indices(NamedTuple):
    """All of a batch that travels; every tensor is int64 but own_days.

    Days count from the first day of the first week, weeks from the first one. `rows` are the baskets' places in the split.
    """

    tokens: Tensor  # [B, S] as shown to a model: of hidden items MASK or another product; PAD at the end
    masked_positions: Tensor  # [B, M] NO_POSITION fills up
    masked_targets: Tensor  # [B, M] NO_TARGET fills up
    customer: Tensor  # [B]
    snapshot: Tensor  # [B] which of the customer's snapshots knows only weeks before
    store: Tensor  # [B]
    week: Tensor  # [B]
    day: Tensor  # [B]
    weekday: Tensor  # [B] 1 is Sunday
    hour: Tensor  # [B]
    trips: Tensor  # [B]
    days_since_previous: Tensor  # [B] NO_DAY: none before
    segments: Tensor  # [B, 2] as stored: 1 + the value's index, 0 unknown
    labels: Tensor  # [B, 4] class of each task, NO_TARGET unknown
    own_tokens: Tensor  # [sum] the customers' newest purchases before their baskets
    own_rows: Tensor  # [sum] the basket within the batch that each is of
    own_days: Tensor  # [sum] float32 days between a purchase and the basket
    rows: Tensor  # [B]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Indices:
        """The same on a device. Integers go in one piece: twenty small copies would take longer than the batch's training."""
        target = torch.device(device)
        if target.type == "cpu" or target == self.tokens.device:
            return Indices(*(tensor.to(target, non_blocking=non_blocking) for tensor in self))
        return self.packed_to(target, non_blocking)

    def packed_to(self, target: torch.device, non_blocking: bool = False) -> Indices:
        """The same on a device, always by two copies: one of all integers, one of own_days."""
        whole = [tensor for tensor in self if tensor.dtype == torch.int64]
        packed = torch.cat([tensor.reshape(-1) for tensor in whole]).to(target, non_blocking=non_blocking)
        days = self.own_days.to(target, non_blocking=non_blocking)
        parts = iter(packed.split([tensor.numel() for tensor in whole]))
        return Indices(*(days if tensor is self.own_days else next(parts).view(tensor.shape) for tensor in self))


class Encoder(Protocol):
    """What makes the tensors (`world_model.encoder.TensorEncoder`)."""

    def dense(self, indices: Indices, with_trip: bool) -> Tensor:
        """[B, 400] T1, T3, T5, T6; the last all zero without trip."""
        ...

    def sequence(self, indices: Indices) -> Tensor:
        """[B, S, 320] T2, T4."""
        ...

    def encode_items(self, tokens: Tensor, positions: Tensor, weeks: Tensor) -> Tensor:
        """[n, 320] T2, T4 of n items, of whichever baskets: token, position in the basket, week."""
        ...


class Computed(Protocol):
    """Tensors of batches that are computed at once (`world_model.together.Together`)."""

    def dense(self, place: int) -> Tensor:
        """[B, 400] T1, T3, T5, T6 of one of the batches."""
        ...

    def sequence(self, place: int) -> Tensor:
        """[B, S, 320] T2, T4 of one of the batches."""
        ...


@dataclass(frozen=True)
class Counts:
    """Of a whole batch over all ranks: baskets, hidden items with a target, and known labels by task."""

    baskets: int
    targets: int
    labels: tuple[int, ...]


class NextItems(NamedTuple):
    """What baskets hold in whole, where a model is asked for it: tokens, and the basket within the batch that each is of."""

    tokens: Tensor  # [sum]
    rows: Tensor  # [sum]


@dataclass(frozen=True, eq=False)
class WorldModelBatch:
    """Baskets as a model sees them. With auxiliary tasks on, T6 is withheld (all zero): it spells out their labels.

    `encoder_on` gives the encoder of a device. `next_items` is there where whole baskets are asked for, and is on the CPU.
    `together`: what computes the tensors along with other batches', and this batch's place there; none after a move.
    """

    indices: Indices
    encoder_on: Callable[[torch.device], Encoder]
    auxiliary: bool
    counts: Counts
    with_trip: bool = False
    next_items: NextItems | None = None
    together: tuple[Computed, int] | None = None

    def __len__(self) -> int:
        return len(self.indices.customer)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> WorldModelBatch:
        """The same on a device; its tensors are computed there."""
        indices = self.indices.to(device, non_blocking)
        return replace(self, indices=indices, together=self.together if indices.tokens.device.type == "cpu" else None)

    @property
    def global_baskets(self) -> int:
        """Baskets of the whole batch, over all ranks."""
        return self.counts.baskets

    @property
    def global_targets(self) -> int:
        """Hidden items of the whole batch, over all ranks."""
        return self.counts.targets

    @property
    def global_labels(self) -> tuple[int, ...]:
        """Known labels of the whole batch, over all ranks, by task as in the layout."""
        return self.counts.labels

    @property
    def attention_mask(self) -> Tensor:
        """[B, S] bool: True for an item, False for padding."""
        return self.indices.tokens != layout.PAD

    @property
    def masked_positions(self) -> Tensor:
        """[B, M] where items are hidden; NO_POSITION fills up."""
        return self.indices.masked_positions

    @property
    def masked_targets(self) -> Tensor:
        """[B, M] what is hidden there; NO_TARGET fills up."""
        return self.indices.masked_targets

    @property
    def auxiliary_labels(self) -> dict[str, Tensor]:
        """Task -> [B] class, NO_TARGET where unknown; no task when they are off."""
        return dict(zip(layout.LABELS, self.indices.labels.unbind(1), strict=True)) if self.auxiliary else {}

    @property
    def customer_context(self) -> Tensor:
        """T1 [B, 192]."""
        return self._dense[:, T1]

    @property
    def product_embeddings(self) -> Tensor:
        """T2 [B, S, 256]."""
        return self._sequence[:, :, T2]

    @property
    def temporal_context(self) -> Tensor:
        """T3 [B, 64]."""
        return self._dense[:, T3]

    @property
    def price_features(self) -> Tensor:
        """T4 [B, S, 64]."""
        return self._sequence[:, :, T4]

    @property
    def store_context(self) -> Tensor:
        """T5 [B, 96]."""
        return self._dense[:, T5]

    @property
    def trip_context(self) -> Tensor:
        """T6 [B, 48]."""
        return self._dense[:, T6]

    def get_dense_context(self) -> Tensor:
        """[B, 400] T1, T3, T5, T6 side by side."""
        return self._dense

    def get_sequence_features(self) -> Tensor:
        """[B, S, 320] T2, T4 side by side."""
        return self._sequence

    @cached_property
    def _dense(self) -> Tensor:
        if self.together:
            group, place = self.together
            return group.dense(place)
        return self._encoder.dense(self.indices, self.with_trip)

    @cached_property
    def _sequence(self) -> Tensor:
        if self.together:
            group, place = self.together
            return group.sequence(place)
        return self._encoder.sequence(self.indices)

    @property
    def _encoder(self) -> Encoder:
        return self.encoder_on(self.indices.tokens.device)
