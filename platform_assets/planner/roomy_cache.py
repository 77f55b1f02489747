"""A transformers cache for decoding: it has room for what comes next, and reading stops where nothing more is needed.

The library's `DynamicCache` copies all keys and values for every token that is added; here a token is written behind them.
And of a prompt only the last token's scores are wanted: for all others the last layer's keys and values are the last thing
that anybody asks for, so `reading_only` ends the model's forward pass there, before that layer's attention and its
multiplications (measured on a model of two layers: a third less time than reading in full; of many layers, less of it).

What does not belong here: batches and decisions (`planner.key_values`).
Legend: B rows, H heads, S tokens so far, D width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import DynamicLayer

# Columns of one layer: a whole answer of a tokenizer that knows the ids, and few beside any prompt.
ROOM = 32


class _AllRead(Exception):
    """The last layer's keys and values are kept: the rest of the forward pass would be thrown away."""


class RoomyCache(Cache):
    """The keys and values of all layers of a model, to be given to it as `past_key_values`."""

    def __init__(self, model: Any) -> None:
        super().__init__(layer_class_to_replicate=_RoomyLayer)
        self._last = model.config.get_text_config(decoder=True).num_hidden_layers - 1
        self._reading_only = False

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep a layer's new (B, H, N, D) keys and values; returns all of them."""
        kept = super().update(key_states, value_states, layer_idx, *args, **kwargs)
        if self._reading_only and layer_idx == self._last:
            raise _AllRead
        return kept

    @contextmanager
    def reading_only(self) -> Iterator[None]:
        """Within it a forward pass ends as soon as all is kept, and gives no scores."""
        self._reading_only = True
        try:
            yield
        except _AllRead:
            pass
        finally:
            self._reading_only = False


class _RoomyLayer(DynamicLayer):
    """One layer: `keys` and `values` show the (B, H, S, D) that are filled of two buffers with more columns."""

    def __init__(self) -> None:
        super().__init__()
        self._buffers: tuple[torch.Tensor, ...] = ()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new tokens behind those that are kept."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, new = self.get_seq_length(), (key_states, value_states)
        after = before + key_states.shape[-2]
        if not self._buffers or after > self._buffers[0].shape[-2]:
            self._buffers = tuple(_wider(each, before, after + ROOM) for each in (self._buffers or new))
        for buffer, states in zip(self._buffers, new, strict=True):
            buffer[:, :, before:after] = states
        return self._show(after)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._buffers = tuple(each.repeat_interleave(repeats, dim=0) for each in self._buffers)
        self._show(self.get_seq_length())

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows."""
        self._buffers = tuple(each.index_select(0, indices) for each in self._buffers)
        self._show(self.get_seq_length())

    def _show(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys, self.values = (each[:, :, :length] for each in self._buffers)
        return self.keys, self.values


def _wider(states: torch.Tensor, filled: int, columns: int) -> torch.Tensor:
    wider = states.new_empty((*states.shape[:2], columns, states.shape[3]))
    wider[:, :, :filled] = states[:, :, :filled]
    return wider
