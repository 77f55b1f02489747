"""A part of a window made ready: everything its batches need lies in flat arrays, of which a batch is a slice.

Arithmetic is done once for hundreds of batches: hundreds of times fewer calls, and nothing is computed between two batches but
where they begin. Which baskets these are and in what order (`world_model.windows`), and which items are hidden
(`world_model.masking`), is handed in. n baskets of the part, B and S of a batch, M its most hidden items of a basket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from platform_assets.world_model import ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_POSITION, NO_ROW, NO_TARGET, Counts, Indices, NextItems
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache
from platform_assets.world_model.windows import Cut

Integers = NDArray[np.int64]
_FIELDS = ("customer", "store", "week", "day", "weekday", "hour", "trips", "days_since_previous")


class Hidden(NamedTuple):
    """Flat places of hidden items, rising, and the tokens shown there."""

    places: Integers
    shown: Integers


# (tokens, offsets, basket ids) -> what is hidden of them.
Hide = Callable[[NDArray[Any], Integers, Integers], Hidden]


def hide_nothing(tokens: NDArray[Any], offsets: Integers, basket_ids: Integers) -> Hidden:
    """Every item stays visible."""
    return Hidden(np.zeros(0, np.int64), np.zeros(0, np.int64))


class Histories:
    """Where the newest purchases of a customer before a basket lie: at most `newest` of them, 0 for none at all."""

    def __init__(self, cache: TensorCache, newest: int) -> None:
        self.newest = newest
        self._offsets = np.asarray(cache.table("customer_offsets"))
        self._tokens, self._days = (np.asarray(cache.table(name)) for name in ("purchases", "purchase_days"))

    def ranges(self, arrays: SplitArrays, rows: Integers) -> tuple[Integers, Integers]:
        """Begin and end of each basket's, as places among all purchases."""
        customers, prior = arrays.customer[rows], arrays.prior_purchases[rows].astype(np.int64)
        ends = self._offsets[customers] + prior
        return ends - np.minimum(prior, self.newest), ends

    def read(self, begins: Integers, ends: Integers, days: Integers) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, baskets within the batch, and days before the basket's, oldest first."""
        lengths = ends - begins
        places, rows = ragged.places(begins, lengths), ragged.owners(lengths)
        before = (days[rows] - self._days[places]).astype(np.float32)
        return torch.from_numpy(self._tokens[places].astype(np.int64)), torch.from_numpy(rows), torch.from_numpy(before)


@dataclass(frozen=True, eq=False)
class Padded:
    """Flat rows of a width that each batch has its own of; batch i begins at `starts[i]`."""

    values: tuple[Tensor, ...]
    starts: list[int]
    widths: list[int]

    def batch(self, number: int, rows: int) -> list[Tensor]:
        """[rows, width] of each of the values."""
        start, width = self.starts[number], self.widths[number]
        return [values[start : start + rows * width].view(rows, width) for values in self.values]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Prepared batches. `items`, `offsets`: whole baskets, kept only where a next basket is asked for."""

    bounds: list[int]
    tokens: Padded
    masked: Padded
    fields: Tensor  # [10, n]
    segments: Tensor  # [n, 2]
    labels: Tensor  # [n, 4]
    targets: list[int]
    known_labels: list[list[int]]
    histories: Histories | None = None
    purchases: tuple[Integers, Integers] | None = None
    whole: tuple[Tensor, Integers] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def counts(self, number: int) -> Counts:
        """Of a whole batch."""
        size = self.bounds[number + 1] - self.bounds[number]
        return Counts(size, self.targets[number], tuple(self.known_labels[number]))

    def indices(self, number: int, rank: int = 0, ranks: int = 1) -> Indices:
        """A rank's share of a batch. Of a batch smaller than the number of ranks some have none: theirs is NO_ROW, asked for nothing."""
        begin, end = self.bounds[number : number + 2]
        (tokens,) = self.tokens.batch(number, end - begin)
        positions, targets = self.masked.batch(number, end - begin)
        batch = slice(begin, end)
        fields, segments, labels = self.fields[:, batch], self.segments[batch], self.labels[batch]
        share = slice(0, end - begin)
        if ranks > 1:
            share = slice(rank, None, ranks) if rank < end - begin else slice(0, 1)
            tokens, positions, targets = tokens[share], positions[share], targets[share]
            fields, segments, labels = fields[:, share], segments[share], labels[share]
        customer, store, week, day, weekday, hour, trips, since, snapshot, rows = fields.unbind(0)
        found = Indices(
            tokens, positions, targets, customer, snapshot, store, week, day, weekday, hour, trips, since, segments, labels,
            *self._own(batch, share, day), rows,
        )  # fmt: skip
        return found if rank < end - begin else _asked_for_nothing(found)

    def next_items(self, number: int) -> NextItems | None:
        """All items of a batch's baskets, where they were kept."""
        if self.whole is None:
            return None
        items, offsets = self.whole
        edges = offsets[self.bounds[number] : self.bounds[number + 1] + 1]
        rows = torch.from_numpy(ragged.owners(np.diff(edges)))
        return NextItems(items[edges[0] : edges[-1]], rows)

    def _own(self, batch: slice, share: slice, day: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.histories is None or self.purchases is None:
            return _NOTHING
        begins, ends = (each[batch][share] for each in self.purchases)
        return self.histories.read(begins, ends, day.numpy())


_NOTHING = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0)


def prepare(
    arrays: SplitArrays, found: Cut, hide: Hide, longest: int, histories: Histories | None = None, next_basket: bool = False
) -> Prepared:  # fmt: skip
    """The batches of a cut, with at most `longest` items of a basket; for a next basket a single MASK is shown of each."""
    rows, bounds = found
    begins = arrays.offsets[rows]
    whole = arrays.offsets[rows + 1] - begins
    lengths = np.minimum(whole, longest)
    kept = _items(arrays, begins, whole) if next_basket else None
    if next_basket:
        lengths = np.ones_like(lengths)
        tokens, masked, targets = _one_mask(bounds)
    else:
        tokens, masked, targets = _shown(arrays, rows, bounds, begins, lengths, hide)
    labels = arrays.labels[rows].astype(np.int64) - 1
    return Prepared(
        bounds.tolist(),
        tokens,
        masked,
        _fields(arrays, rows),
        torch.from_numpy(arrays.segments[rows].astype(np.int64)),
        torch.from_numpy(np.where(labels < 0, NO_TARGET, labels)),
        targets.tolist(),
        _sums(labels >= 0, bounds).tolist(),
        histories if histories and histories.newest else None,
        histories.ranges(arrays, rows) if histories and histories.newest else None,
        kept,
    )


def _shown(
    arrays: SplitArrays, rows: Integers, bounds: Integers, begins: Integers, lengths: Integers, hide: Hide
) -> tuple[Padded, Padded, Integers]:
    """Tokens as shown; positions and targets of the hidden; and how many of these a batch has."""
    offsets = ragged.offsets(lengths)
    items = arrays.items[ragged.places(begins, lengths)]
    hidden, shown = hide(items, offsets, arrays.basket_id[rows])
    visible = items.astype(np.int64)
    visible[hidden] = shown
    tokens = _padded(lengths, bounds, (visible, layout.PAD))
    of_row = ragged.owners(lengths)[hidden]
    counts = np.bincount(of_row, minlength=len(rows))
    positions, targets = hidden - offsets[of_row], items[hidden].astype(np.int64)
    return tokens, _padded(counts, bounds, (positions, NO_POSITION), (targets, NO_TARGET)), _sums(counts, bounds)


def _one_mask(bounds: Integers) -> tuple[Padded, Padded, Integers]:
    """A single MASK of every basket, at position 0, whose target is the whole basket and not one item."""
    ones = np.ones(bounds[-1], np.int64)
    tokens = _padded(ones, bounds, (ones * layout.MASK, layout.PAD))
    return tokens, _padded(ones, bounds, (ones * 0, NO_POSITION), (ones * NO_TARGET, NO_TARGET)), np.diff(bounds) * 0


def _fields(arrays: SplitArrays, rows: Integers) -> Tensor:
    """[10, n]: a batch's are one slice, taken apart without a copy."""
    fields = np.empty((len(_FIELDS) + 2, len(rows)), np.int64)
    for place, name in enumerate(_FIELDS):
        fields[place] = getattr(arrays, name)[rows]
    fields[-2] = fields[_FIELDS.index("week")] // layout.WEEKS_OF_SNAPSHOT
    fields[-1] = rows
    return torch.from_numpy(fields)


def _items(arrays: SplitArrays, begins: Integers, lengths: Integers) -> tuple[Tensor, Integers]:
    """All items of the baskets, one after the other, and where each basket's begin."""
    items = arrays.items[ragged.places(begins, lengths)].astype(np.int64)
    return torch.from_numpy(items), ragged.offsets(lengths)


def _padded(lengths: Integers, bounds: Integers, *columns: tuple[Integers, int]) -> Padded:
    """Ragged rows filled up to the longest of their batch; each column is its values, and what fills up."""
    widths = np.maximum.reduceat(lengths, bounds[:-1]) if len(lengths) else lengths
    strides = np.repeat(widths, np.diff(bounds))
    starts = ragged.offsets(strides)
    places = ragged.places(starts[:-1], lengths)
    padded = []
    for values, filling in columns:
        full = np.full(int(strides.sum()), filling, np.int64)
        full[places] = values
        padded.append(torch.from_numpy(full))
    return Padded(tuple(padded), starts[bounds[:-1]].tolist() if len(lengths) else [], widths.tolist())


def _sums(values: NDArray[Any], bounds: Integers) -> Integers:
    """Of each batch's rows."""
    return np.add.reduceat(values, bounds[:-1], dtype=np.int64) if len(values) else np.zeros(0, np.int64)


def _asked_for_nothing(indices: Indices) -> Indices:
    return indices._replace(
        masked_positions=torch.full_like(indices.masked_positions, NO_POSITION),
        masked_targets=torch.full_like(indices.masked_targets, NO_TARGET),
        labels=torch.full_like(indices.labels, NO_TARGET),
        rows=torch.full_like(indices.rows, NO_ROW),
    )
