"""Batches of a split: for training in a random order that can be resumed anywhere, for evaluation by date, hour or week.

The state of a training's loader is how far it is, and nothing else: order and masks follow from seed, epoch and place, so
that neither the place of a restart nor a rank nor the number of ranks changes a batch. A state of another cache or of other
settings is refused, its count would mean other batches. Batches hold indices; tensors are computed when they are asked for.

There are no worker processes: handing a prepared batch from one process to another costs more than preparing it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.training.errors import OtherFingerprint
from platform_assets.training.randomness import generator
from platform_assets.world_model import masking
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import Indices, WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.groups import Groups
from platform_assets.world_model.prefetch import ahead
from platform_assets.world_model.preparation import Hidden, Hide, Histories, Prepared, hide_nothing, prepare
from platform_assets.world_model.together import batches
from platform_assets.world_model.windows import WINDOW, Cut, Order, Windows, cut

# The chance of an order that is the same in every epoch.
NO_EPOCH = -1


class WorldModelDataLoader:
    """Every basket of a split once an epoch, in global batches of `batch_size`; rank r has every world_size-th of each.

    Iterating goes on at the position (`load_state_dict`), and after the last batch the position is the next epoch's start.
    With bucket_batching baskets of like length share a batch. Without shuffle every epoch has the same order and masks
    (batches of all lengths still mixed, so that the first hundred are no special ones); without either, it is the file's.
    `purchase_history`: how many of the customer's newest purchases before each basket come with it.
    """

    def __init__(
        self, dataset: WorldModelDataset, batch_size: int = 64, shuffle: bool = True, apply_masking: bool = True,
        bucket_batching: bool = True, *, seed: int = 0, rank: int = 0, world_size: int = 1, purchase_history: int = 0,
        prefetch: bool = True, window: int = WINDOW,
    ) -> None:  # fmt: skip
        dataset.require_transactions()
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be from 0 to world_size - 1, {world_size - 1}, not {rank}")
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self._shuffle, self._masks, self._by_length, self._prefetch = shuffle, apply_masking, bucket_batching, prefetch
        self._windows = Windows(len(dataset), batch_size, window)
        self._histories = Histories(dataset.cache, purchase_history)
        self._epoch = self._batches = 0

    def __len__(self) -> int:
        """Batches of an epoch, for every rank."""
        return self._windows.batches

    def __iter__(self) -> Iterator[WorldModelBatch]:
        """The rest of the epoch that the position is in."""
        for batch in self.epoch_batches(self._epoch, self._batches):
            self._batches += 1
            yield batch
        self._epoch, self._batches = self._epoch + 1, 0

    def indices(self) -> Iterator[Indices]:
        """The same as indices alone."""
        for window, number in self._places(self._epoch, self._batches):
            self._batches += 1
            yield window.indices(number, self.rank, self.world_size)
        self._epoch, self._batches = self._epoch + 1, 0

    def epoch_batches(self, epoch: int, start: int = 0) -> Iterator[WorldModelBatch]:
        """The batches of any epoch from any place on, whatever the position, which stays as it is."""
        trip = not self.dataset.enable_auxiliary_tasks
        found = (
            (window.indices(number, self.rank, self.world_size), window.counts(number), None)
            for window, number in self._places(epoch, start)
        )
        yield from batches(found, self.dataset.encoder_on, with_trip=trip, auxiliary=not trip)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; in the one that the position is in, it stays: it may just have been restored."""
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """All that decides what comes next: `batches` of `epoch` were handed out."""
        return {
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "epoch": self._epoch,
            "batches": self._batches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises OtherFingerprint for the state of another cache, of other settings or another seed, ValueError beyond the end."""
        if (state["fingerprint"], state["seed"]) != (self.fingerprint, self.seed):
            raise OtherFingerprint(
                f"the state belongs to a loader with fingerprint {state['fingerprint'][:12]} and seed {state['seed']}, this one "
                f"has {self.fingerprint[:12]} and {self.seed}: another tensor cache, split, batch size or other settings. Open "
                "the cache that the training began with, or begin anew"
            )
        if not 0 <= state["batches"] <= len(self):
            raise ValueError(f"the state says {state['batches']} batches of {len(self)}: it is not a loader's")
        self._epoch, self._batches = state["epoch"], state["batches"]

    @cached_property
    def fingerprint(self) -> str:
        """Of the cache and of every setting that decides what a batch is; rank and number of ranks do not."""
        data, windows = self.dataset, self._windows
        settings = [
            data.cache.fingerprint, data.split, data.max_seq_len, data.mask_prob, windows.batch_size, windows.window,
            self._shuffle, self._masks, self._by_length, self._histories.newest,
        ]  # fmt: skip
        return sha256(json.dumps(settings).encode()).hexdigest()

    def _places(self, epoch: int, start: int) -> Iterator[tuple[Prepared, int]]:
        """Prepared parts, and which of their batches, from a batch of the epoch on."""
        window, inside = divmod(start, self._windows.batches_of_window)
        part, skipped = divmod(inside, self._windows.batches_of_part)
        prepared = self._prepared(epoch, window, part)
        for found in ahead(prepared) if self._prefetch else prepared:
            for number in range(skipped, len(found)):
                yield found, number
            skipped = 0

    def _prepared(self, epoch: int, first: int, part: int) -> Iterator[Prepared]:
        order = self._windows.order(self.seed, epoch if self._shuffle else None)
        size, named = self._windows.batches_of_part, epoch if self._shuffle else NO_EPOCH
        for number in range(first, len(self._windows)):
            found = self._cut(order, named, number)
            for place in range(part, found.parts(size)):
                hide = self._hide(named, number, place)
                yield prepare(
                    self.dataset.arrays, found.part(place, size), hide, self.dataset.max_seq_len, self._histories
                )
            part = 0

    def _cut(self, order: Order, epoch: int, number: int) -> Cut:
        arrays, rows = self.dataset.arrays, order.rows(number)
        lengths = np.minimum(arrays.offsets[rows + 1] - arrays.offsets[rows], self.dataset.max_seq_len)
        ties = generator("ties", self.seed, epoch, number) if self._shuffle else None
        batches = generator("batches", self.seed, epoch, number) if self._shuffle or self._by_length else None
        return cut(rows, lengths, self.batch_size, self._by_length, ties, batches)

    def _hide(self, epoch: int, number: int, part: int) -> Hide:
        if not self._masks:
            return hide_nothing
        chance = generator("masks", self.seed, epoch, number, part)
        probability, vocabulary = self.dataset.mask_prob, self.dataset.cache.tokens
        # Without a probability exactly one item of each basket is hidden.
        whole = masking.WHOLE_SHARE if probability else 0.0

        def hide(tokens: NDArray[Any], offsets: NDArray[np.int64], basket_ids: NDArray[np.int64]) -> Hidden:
            places = masking.mask(tokens, offsets, probability, chance, whole)
            return Hidden(places, masking.shown_instead(tokens, offsets, places, vocabulary, chance))

        return hide


class EvaluationDataLoader:
    """(key, batch) of all (`chosen`: those) baskets of at least `minimum_items`, group after group: each day's, hour's or week's together.

    Exactly one item of a basket is hidden, chosen by seed and basket id, so that no batch size and no order changes what is
    asked; only a basket without any product that train weeks have is asked nothing. A key is the ISO date, the hour, or the
    Monday of the week; None without groups.
    With `next_basket` a single MASK is all that is shown, neither length nor trip, and `next_items` of the batch says what
    the baskets hold. Raises ValueError for a `group_by` that there is none of.
    """

    def __init__(
        self, dataset: WorldModelDataset, batch_size: int = 64, group_by: str | None = "date", *, apply_masking: bool = True,
        seed: int = 0, purchase_history: int = 0, next_basket: bool = False, minimum_items: int = 2, prefetch: bool = True,
        window: int = WINDOW, chosen: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        dataset.require_transactions()
        self.dataset, self.batch_size, self.group_by, self.seed = dataset, batch_size, group_by, seed
        self._masks, self._next, self._prefetch = apply_masking, next_basket, prefetch
        self._groups = Groups(dataset, group_by, minimum_items, chosen)
        self._windows = Windows(len(dataset), batch_size, window)
        self._histories = Histories(dataset.cache, purchase_history)

    def __len__(self) -> int:
        return self._batches

    @cached_property
    def _batches(self) -> int:
        return sum(-(-len(rows) // self.batch_size) for _, rows in self._pieces())

    def __iter__(self) -> Iterator[tuple[str | int | None, WorldModelBatch]]:
        """Groups in the order of their keys."""
        prepared, tasks = self._prepared(), self.dataset.enable_auxiliary_tasks
        for key, window in ahead(prepared) if self._prefetch else prepared:
            found = (
                (window.indices(number), window.counts(number), window.next_items(number))
                for number in range(len(window))
            )
            trip = not (tasks or self._next)
            for batch in batches(found, self.dataset.encoder_on, with_trip=trip, auxiliary=tasks):
                yield key, batch

    def _prepared(self) -> Iterator[tuple[str | int | None, Prepared]]:
        arrays, longest = self.dataset.arrays, self.dataset.max_seq_len
        hide = self._hide if self._masks else hide_nothing
        for key, rows in self._pieces():
            lengths = np.minimum(arrays.offsets[rows + 1] - arrays.offsets[rows], longest)
            found, size = cut(rows, lengths, self.batch_size, True, None, None), self._windows.batches_of_part
            for place in range(found.parts(size)):
                part = found.part(place, size)
                yield self._groups.key(key), prepare(arrays, part, hide, longest, self._histories, self._next)

    def _hide(self, tokens: NDArray[Any], offsets: NDArray[np.int64], basket_ids: NDArray[np.int64]) -> Hidden:
        places = masking.one_hidden(tokens, offsets, basket_ids, self.seed)
        return Hidden(places, np.full(len(places), layout.MASK, np.int64))

    def _pieces(self) -> Iterator[tuple[int | None, NDArray[np.int64]]]:
        return self._groups.pieces(self._windows.batches_of_window * self.batch_size)
