"""What a training takes its batches from, with a position that says exactly what has been consumed.

`SteppedData` is what the trainer, its checkpoints and its history know; `TrainingData` serves rows that lie in memory, and a
pipeline whose rows do not brings its own. The state is fingerprint, seed, epoch and consumed batches, kept here and not in a
loader, whose own state Lightning drops in some orders of calls. There are no worker processes: what a batch needs was prepared
before the first step, and the order must not depend on who is quickest.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import lightning as L
import numpy as np

from platform_assets.training.batches import epoch_batches, ordered_batches, rank_share
from platform_assets.training.errors import OTHER, OtherFingerprint

# Where an epoch's number is asked for and none is meant: what is measured must be the same after every epoch.
NO_EPOCH = -1
ALL = -1


class Collated(NamedTuple):
    """Rows as the model takes them, and how many predictions of them count."""

    content: Any
    targets: int


class Examples(Protocol):
    """Prepared rows."""

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens by row: decides which rows share a batch."""
        ...

    def collate(self, rows: Sequence[int], epoch: int) -> Collated:
        """These rows as they look in this epoch."""
        ...


class Batch(NamedTuple):
    """One rank's share of a global batch.

    `targets` counts this share's predictions, `step_targets` those of this rank in the whole optimizer step, `size` what the
    global batch holds of the data's `unit`. A rank without a row of its own computes one for nothing: `weight` 0, else 1.
    """

    content: Any
    weight: float
    targets: int
    step_targets: int
    size: int


class Position(NamedTuple):
    """How far a training is: `batches` global batches of `epoch` were consumed."""

    epoch: int = 0
    batches: int = 0


class SteppedData(L.LightningDataModule):
    """Global batches of `batch_size` rows, `accumulate` of them to an optimizer step, from a position on."""

    unit = "tokens"
    """What the size of a batch counts, in the plural."""

    def __init__(self, *, batch_size: int, accumulate: int, seed: int, fingerprint: str) -> None:
        super().__init__()
        self.batch_size, self.accumulate, self.seed, self.fingerprint = batch_size, accumulate, seed, fingerprint
        self.position = Position()

    @property
    @abstractmethod
    def batches_per_epoch(self) -> int:
        """Global batches."""

    @property
    @abstractmethod
    def has_validation(self) -> bool:
        """Whether there is anything to compare epochs with."""

    @abstractmethod
    def batches_from(self, position: Position) -> Iterator[Batch]:
        """This rank's shares of the rest of an epoch."""

    @property
    def compared_batches(self) -> int:
        """The validation batches that are also measured before the first step, the first so many; ALL of them where that is quick."""
        return ALL

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps; the last one of an epoch may have fewer batches."""
        return -(-self.batches_per_epoch // self.accumulate)

    @property
    def rank_and_world(self) -> tuple[int, int]:
        """Which of how many processes asks; before there is a trainer, the only one."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def train_dataloader(self) -> Loader:
        """The rest of the epoch that `position` is in."""
        # The position counts at the first `next`, not at `iter`: Lightning makes the iterator before it starts the epoch.
        return Loader(self.batches_per_epoch, self._rest_of_epoch)

    def state_dict(self) -> dict[str, Any]:
        """All that decides what comes next."""
        return {"fingerprint": self.fingerprint, "seed": self.seed, **self.position._asdict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raises OtherFingerprint for the state of another training."""
        if state_dict["fingerprint"] != self.fingerprint:
            raise OtherFingerprint(
                f"the checkpoint belongs to a training with fingerprint {state_dict['fingerprint'][:12]}, this one has "
                f"{self.fingerprint[:12]}: {OTHER}. Use another work folder, or empty this one"
            )
        self.position = Position(state_dict["epoch"], state_dict["batches"])

    def _rest_of_epoch(self) -> Iterator[Batch]:
        yield from self.batches_from(self.position)


class TrainingData(SteppedData):
    """Training and validation rows that lie in memory."""

    def __init__(
        self, train: Examples, validation: Examples, *, batch_size: int, accumulate: int, seed: int, fingerprint: str
    ) -> None:
        super().__init__(batch_size=batch_size, accumulate=accumulate, seed=seed, fingerprint=fingerprint)
        self.train, self.validation = train, validation

    @property
    def batches_per_epoch(self) -> int:
        """Global batches."""
        return -(-len(self.train.lengths) // self.batch_size)

    @property
    def has_validation(self) -> bool:
        """Whether there are validation rows."""
        return len(self.validation.lengths) > 0

    def val_dataloader(self) -> Loader | list[Any]:
        """All validation rows; nothing where there are none."""
        batches = ordered_batches(self.validation.lengths, self.batch_size)
        return Loader(len(batches), lambda: self._steps(self.validation, batches, NO_EPOCH)) if batches else []

    def batches_from(self, position: Position) -> Iterator[Batch]:
        """This rank's shares of the rest of an epoch."""
        batches = epoch_batches(self.train.lengths, self.batch_size, self.seed, position.epoch)
        yield from self._steps(self.train, batches[position.batches :], position.epoch)

    def _steps(self, examples: Examples, batches: Sequence[np.ndarray], epoch: int) -> Iterator[Batch]:
        for start in range(0, len(batches), self.accumulate):
            yield from self._step(examples, batches[start : start + self.accumulate], epoch)

    def _step(self, examples: Examples, batches: Sequence[np.ndarray], epoch: int) -> list[Batch]:
        """The batches of one optimizer step."""
        rank, world_size = self.rank_and_world
        shares = [rank_share(batch, rank, world_size) for batch in batches]
        collated = [
            examples.collate((share if len(share) else batch[:1]).tolist(), epoch)
            for share, batch in zip(shares, batches, strict=True)
        ]
        targets = [each.targets if len(share) else 0 for each, share in zip(collated, shares, strict=True)]
        tokens = [sum(examples.lengths[row] for row in batch) for batch in batches]
        return [
            Batch(each.content, float(len(share) > 0), count, sum(targets), size)
            for each, share, count, size in zip(collated, shares, targets, tokens, strict=True)
        ]


class Loader:
    """An iterable with a length: without one, Lightning fetches a batch ahead and loses it at a restart."""

    def __init__(self, length: int, batches: Callable[[], Iterator[Batch]]) -> None:
        self._length, self._batches = length, batches

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        return self._batches()
