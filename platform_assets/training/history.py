"""What a training did so far: the loss of every optimizer step, and of every epoch.

Part of every checkpoint, so that the history of a resumed training has neither a hole nor anything twice; and therefore not
longer than a checkpoint can bear: of millions of steps, several make one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning as L

from platform_assets.training.data import Batch

if TYPE_CHECKING:
    from platform_assets.training.module import TargetLossModule

EpochListener = Callable[[int, Mapping[str, float]], None]
"""Called with an epoch's number, from 0, and its metrics: train_loss, learning_rate, and val_loss where there are such rows."""
ENTRIES = 5_000
"""About as many as a picture shows and a checkpoint carries without being noticed."""


class Step(NamedTuple):
    """One optimizer step, or several: mean loss over their targets before each, and the newest learning rate."""

    loss: float
    learning_rate: float
    targets: int


class Epoch(NamedTuple):
    """One whole epoch: mean loss over its targets as they were met, and over the validation targets after it.

    `steps` were made up to its end; `measured` is what else the module measures of validation rows.
    """

    train_loss: float
    val_loss: float | None
    learning_rate: float
    steps: int
    measured: Mapping[str, float] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """By name; without what was not measured."""
        found = {"train_loss": self.train_loss, "val_loss": self.val_loss, "learning_rate": self.learning_rate}
        return {**{name: value for name, value in found.items() if value is not None}, **self.measured}

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        found = self._asdict()
        measured = found.pop("measured")
        return {**found, **measured}


class History(L.Callback):
    """Records steps, `every` so many of them as one, and epochs, and tells listeners of every epoch on the first rank.

    A listener of a resumed training first hears of the epochs before: it may be new, as after a crash.
    """

    def __init__(self, listeners: Sequence[EpochListener] = (), every: int = 1) -> None:
        self.every = every
        self.epochs: list[Epoch] = []
        self.untuned: float | None = None
        """Validation loss before the first step, of the data's `compared_batches`; None without validation rows."""
        self._listeners = listeners
        self._entries: list[Step] = []
        self._open: list[Step] = []
        self._count = 0
        # Of the epoch that goes on: losses times targets, and targets.
        self._losses, self._targets = 0.0, 0

    @property
    def steps(self) -> list[Step]:
        """What was recorded of all steps so far; the newest entry may stand for fewer than the others."""
        return [*self._entries, *([_together(self._open)] if self._open else [])]

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"steps": [each._asdict() for each in self.steps], "epochs": [each.document() for each in self.epochs]}

    def state_dict(self) -> dict[str, Any]:
        """Plain lists: checkpoints are read without unpickling objects."""
        return {
            "entries": [list(each) for each in self._entries],
            "open": [list(each) for each in self._open],
            "epochs": [[*each[:-1], dict(each.measured)] for each in self.epochs],
            "untuned": self.untuned,
            "count": self._count,
            "sums": [self._losses, self._targets],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What was recorded up to the checkpoint."""
        self._entries = [Step(*each) for each in state_dict["entries"]]
        self._open = [Step(*each) for each in state_dict["open"]]
        self.epochs = [Epoch(*each) for each in state_dict["epochs"]]
        self.untuned, self._count = state_dict["untuned"], state_dict["count"]
        self._losses, self._targets = state_dict["sums"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell of the epochs that a run before this one made."""
        for number in range(len(self.epochs)):
            self._tell(trainer, number)

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: TargetLossModule) -> None:
        """What was measured before the first step; a training that goes on has it from its state."""
        self.untuned = pl_module.validation_loss()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: TargetLossModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """After the last batch of an optimizer step, record it."""
        if trainer.global_step > self._count:
            rate = pl_module.optimisation.learning_rate * pl_module.optimisation.factor(self._count)
            self._add(Step(pl_module.step_loss, rate, pl_module.step_targets))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TargetLossModule) -> None:
        """Record the epoch; validation has run."""
        mean, rate = self._losses / self._targets, self.steps[-1].learning_rate
        self._losses, self._targets = 0.0, 0
        measured = pl_module.validation_loss(), rate, self._count, pl_module.validation_metrics()
        self.epochs.append(Epoch(mean, *measured))
        self._tell(trainer, len(self.epochs) - 1)

    def _add(self, step: Step) -> None:
        self._count += 1
        self._losses += step.loss * step.targets
        self._targets += step.targets
        self._open.append(step)
        if len(self._open) == self.every:
            self._entries.append(_together(self._open))
            self._open = []

    def _tell(self, trainer: L.Trainer, number: int) -> None:
        if trainer.is_global_zero:
            for listener in self._listeners:
                listener(number, self.epochs[number].metrics)


def _together(steps: Sequence[Step]) -> Step:
    """Several steps as one; a single one as it is."""
    if len(steps) == 1:
        return steps[0]
    targets = sum(step.targets for step in steps)
    return Step(sum(step.loss * step.targets for step in steps) / max(1, targets), steps[-1].learning_rate, targets)
