"""Which rows make a batch: a function of the rows' lengths, the seed and the epoch, and of nothing else.

Rows of like length share a batch, because a batch is as long as its longest row. All ranks cut the same global batches and
take their slices of them, so that neither the number of ranks nor a restart changes what an optimizer step sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from platform_assets.training.randomness import generator

# Rows are sorted within blocks of this many batches: more would pad less, and make every epoch's batches alike.
BLOCK_BATCHES = 50


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers by batch: every row exactly once, all batches but one full, in random order.

    The batch with the longest row comes first: what does not fit into memory fails at once instead of after an hour.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
    chance, measured = generator("batches", seed, epoch), np.asarray(lengths)
    order = chance.permutation(len(measured))
    block = batch_size * BLOCK_BATCHES
    batches = [
        batch
        for start in range(0, len(order), block)
        for batch in _cut(_by_length(order[start : start + block], measured), batch_size)
    ]
    shuffled = [batches[index] for index in chance.permutation(len(batches))]
    longest = max(range(len(shuffled)), key=lambda index: int(measured[shuffled[index]].max()), default=0)
    return [*shuffled[longest : longest + 1], *shuffled[:longest], *shuffled[longest + 1 :]]


def ordered_batches(lengths: Sequence[int], batch_size: int) -> list[np.ndarray]:
    """Row numbers by batch, sorted by length: for measuring, where order means nothing."""
    measured = np.asarray(lengths)
    return _cut(_by_length(np.arange(len(measured)), measured), batch_size)


def rank_share(batch: np.ndarray, rank: int, world_size: int) -> np.ndarray:
    """What one rank computes of a global batch; empty where the batch has fewer rows than there are ranks."""
    return batch[rank::world_size]


def _by_length(rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    # Stable: among equals the random order remains.
    return rows[np.argsort(-lengths[rows], kind="stable")]


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
