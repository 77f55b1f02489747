"""The peer of the loader's benchmark: a torch Dataset that makes one basket's tensors at a time, and a DataLoader.

Its tables are the encoder's, as numpy arrays, so that what is compared is how batches are made and not what they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from platform_assets.world_model import encoder_tables
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_TARGET, SEQUENCE, T2
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.encoder import KNOWN_CUSTOMER


def peer_loader(
    dataset: WorldModelDataset, batches: Sequence[list[int]], tensors: bool, mask_prob: float | None = None
) -> torch.utils.data.DataLoader[Any]:
    """A DataLoader over batches of rows; with `tensors` a batch has dense [B, 400] and sequence [B, S, 320]."""
    items = Items(dataset, tensors, dataset.mask_prob if mask_prob is None else mask_prob)
    return torch.utils.data.DataLoader(items, batch_sampler=batches, collate_fn=_collate)  # type: ignore[arg-type]


class Items(torch.utils.data.Dataset[dict[str, NDArray[Any]]]):
    """One basket at a time."""

    def __init__(self, dataset: WorldModelDataset, tensors: bool, mask_prob: float) -> None:
        self._arrays, self._tensors, self._probability = dataset.arrays, tensors, mask_prob
        self._longest, self._vocabulary = dataset.max_seq_len, dataset.cache.tokens
        self._customers = dataset.cache.table("customer_snapshots").shape[1]
        self._days = len(dataset.cache.weeks) * 7
        self._chance = np.random.default_rng(0)
        self._tables = {name: table.numpy() for name, table in dataset.encoder.named_buffers()} if tensors else {}

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, row: int) -> dict[str, NDArray[Any]]:
        arrays = self._arrays
        start, end = arrays.offsets[row], arrays.offsets[row + 1]
        tokens = arrays.items[start : min(end, start + self._longest)].astype(np.int64)
        targets = self._hide(tokens)
        names = ("customer", "store", "week", "day", "weekday", "hour", "trips", "days_since_previous")
        columns = np.array([getattr(arrays, name)[row] for name in names], np.int64)
        labels = arrays.labels[row].astype(np.int64) - 1
        segments = arrays.segments[row].astype(np.int64)
        found = {"tokens": tokens, "targets": targets, "columns": columns, "labels": labels, "segments": segments}
        if self._tensors:
            found["dense"] = self._dense(dict(zip(names, columns.tolist(), strict=True)), segments)
            found["sequence"] = self._sequence(tokens, int(columns[2]))
        return found

    def _hide(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Mask in place; returns what was hidden."""
        targets = np.full(len(tokens), NO_TARGET)
        if self._probability:
            hidden = self._chance.random(len(tokens)) < self._probability
            if not hidden.any():
                hidden[self._chance.integers(len(tokens))] = True
            targets[hidden] = tokens[hidden]
            other = self._chance.random(len(tokens)) < 0.1
            tokens[hidden & ~other] = layout.MASK
            tokens[hidden & other] = self._chance.integers(
                layout.FIRST_PRODUCT, self._vocabulary, int((hidden & other).sum())
            )
        return targets

    def _dense(self, basket: dict[str, int], segments: NDArray[np.int64]) -> NDArray[np.float32]:
        tables, customer = self._tables, basket["customer"]
        nobody = encoder_tables.SEGMENT_VALUES - 1
        first, second = np.minimum(segments, nobody - 1).tolist() if customer else (nobody, nobody)
        place = basket["week"] // layout.WEEKS_OF_SNAPSHOT * self._customers + customer
        trust = tables["trust"][min(basket["trips"], encoder_tables.LAST_TRIP)]
        since = min(basket["days_since_previous"], self._days)
        when = tables["time_offsets"] + np.array([basket["day"], basket["weekday"], basket["hour"], since])
        return np.concatenate(
            [
                tables["segments"][first * encoder_tables.SEGMENT_VALUES + second],
                tables["snapshots"][place, :KNOWN_CUSTOMER] * trust,
                tables["times"].take(when, axis=0).sum(0),
                tables["stores"][basket["store"]],
                np.zeros(sum(encoder_tables.TRIP_WIDTHS), np.float32),
            ]
        )

    def _sequence(self, tokens: NDArray[np.int64], week: int) -> NDArray[np.float32]:
        tables = self._tables
        found = np.empty((len(tokens), SEQUENCE), np.float32)
        found[:, T2] = tables["items"][tokens, T2] + tables["items"][self._vocabulary :][: len(tokens), T2]
        price, ratio, prior, base, known = tables["prices"][week * self._vocabulary + tokens].T[:, :, None]
        scale, shift = tables["bump_scale"].reshape(2, -1), tables["bump_shift"].reshape(2, -1)
        velocity = tables["velocity_scale"][:4]
        codes = [
            np.sin(price * tables["wave_scale"] + tables["wave_shift"]),
            np.maximum(1 - np.abs(price * scale[0] + shift[0]), 0),
            np.maximum(1 - np.abs(ratio * scale[1] + shift[1]), 0),
            np.tanh(prior * velocity),
            np.tanh(base * velocity),
        ]
        found[:, T2.stop :] = np.hstack(codes) * known
        return found


def _collate(items: list[dict[str, NDArray[Any]]]) -> dict[str, torch.Tensor]:
    padded = {"tokens": layout.PAD, "targets": NO_TARGET, "sequence": 0}
    return {
        name: torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(item[name]) for item in items], batch_first=True, padding_value=padded[name]
        )
        if name in padded
        else torch.from_numpy(np.stack([item[name] for item in items]))
        for name in items[0]
    }
