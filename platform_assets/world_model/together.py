"""The tensors of neighbouring batches computed at once, on the CPU.

A batch of 64 baskets is so small that calling an operation takes longer than what it computes, and that every table has left
the processor's cache when the next batch needs it. Eight batches at once take half as long. A batch still computes its own
tensors where it was moved to a device, and all of them are computed only when the first is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from platform_assets.world_model.batch import SEQUENCE, Counts, Encoder, Indices, NextItems, WorldModelBatch

# More than these leave the processor's cache again before they are used. Places: of items, of full batches; their tensors take 33 MB.
MOST, MOST_PLACES = 8, 8 * 64 * 50
_CONTEXT = (
    "customer",
    "snapshot",
    "store",
    "day",
    "weekday",
    "hour",
    "trips",
    "days_since_previous",
    "segments",
    "labels",
)


Asked = tuple[Indices, Counts, NextItems | None]
EncoderOn = Callable[[torch.device], Encoder]


def batches(
    found: Iterable[Asked], encoder_on: EncoderOn, with_trip: bool, auxiliary: bool
) -> Iterator[WorldModelBatch]:
    """One after the other, each with its neighbours' computation."""
    for several in _neighbours(found):
        group = Together([indices for indices, _, _ in several], encoder_on, with_trip)
        for place, (indices, counts, items) in enumerate(several):
            yield WorldModelBatch(indices, encoder_on, auxiliary, counts, with_trip, items, (group, place))


def _neighbours(found: Iterable[Asked]) -> Iterator[list[Asked]]:
    """Runs of batches that are computed at once, in their order; a batch that is too large is one of its own."""
    several: list[Asked] = []
    places = 0
    for asked in found:
        size = asked[0].tokens.numel()
        if several and (len(several) == MOST or places + size > MOST_PLACES):
            yield several
            several, places = [], 0
        several.append(asked)
        places += size
    if several:
        yield several


class Together:
    """Batches whose tensors are views of one computation."""

    def __init__(self, batches: Sequence[Indices], encoder_on: EncoderOn, with_trip: bool) -> None:
        self.batches, self._encoder_on, self._with_trip = batches, encoder_on, with_trip

    def dense(self, place: int) -> Tensor:
        """[B, 400] T1, T3, T5, T6 of one of the batches."""
        return self._dense[place]

    def sequence(self, place: int) -> Tensor:
        """[B, S, 320] T2, T4 of one of the batches."""
        return self._sequence[place]

    @cached_property
    def _dense(self) -> Sequence[Tensor]:
        context = {name: torch.cat([getattr(batch, name) for batch in self.batches]) for name in _CONTEXT}
        found = self._encoder.dense(self.batches[0]._replace(**context), self._with_trip)
        return found.split([len(batch.customer) for batch in self.batches])

    @cached_property
    def _sequence(self) -> Sequence[Tensor]:
        shapes = [batch.tokens.shape for batch in self.batches]
        tokens = torch.cat([batch.tokens.reshape(-1) for batch in self.batches])
        positions = torch.cat([torch.arange(items).repeat(baskets) for baskets, items in shapes])
        weeks = torch.cat([batch.week.repeat_interleave(batch.tokens.shape[1]) for batch in self.batches])
        found = self._encoder.encode_items(tokens, positions, weeks)
        parts = found.split([baskets * items for baskets, items in shapes])
        return [part.view(*shape, SEQUENCE) for part, shape in zip(parts, shapes, strict=True)]

    @property
    def _encoder(self) -> Encoder:
        return self._encoder_on(torch.device("cpu"))
