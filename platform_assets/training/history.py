"""What a training did so far: the loss of every optimizer step, and of every epoch.

Part of every checkpoint, so that the history of a resumed training has neither a hole nor anything twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning as L

from platform_assets.training.data import Batch, TrainingData

if TYPE_CHECKING:
    from platform_assets.training.module import TargetLossModule

EpochListener = Callable[[int, Mapping[str, float]], None]
"""Called with an epoch's number, from 0, and its metrics: train_loss, learning_rate, and val_loss where there are such rows."""


class Step(NamedTuple):
    """One optimizer step: mean loss over its targets before it, and the learning rate it used."""

    loss: float
    learning_rate: float
    targets: int


class Epoch(NamedTuple):
    """One whole epoch: mean loss over its targets as they were met, and over the validation targets after it."""

    train_loss: float
    val_loss: float | None
    learning_rate: float
    steps: int

    @property
    def metrics(self) -> dict[str, float]:
        """By name; without what was not measured."""
        found = {"train_loss": self.train_loss, "val_loss": self.val_loss, "learning_rate": self.learning_rate}
        return {name: value for name, value in found.items() if value is not None}


class History(L.Callback):
    """Records steps and epochs, and tells listeners of every epoch on the first rank.

    A listener of a resumed training first hears of the epochs before: it may be new, as after a crash.
    """

    def __init__(self, listeners: Sequence[EpochListener] = ()) -> None:
        self.steps: list[Step] = []
        self.epochs: list[Epoch] = []
        self.untuned: float | None = None
        """Validation loss before the first step; None without validation rows."""
        self._listeners = listeners

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"steps": [each._asdict() for each in self.steps], "epochs": [each._asdict() for each in self.epochs]}

    def state_dict(self) -> dict[str, Any]:
        """Plain lists: checkpoints are read without unpickling objects."""
        return {
            "steps": [list(each) for each in self.steps],
            "epochs": [list(each) for each in self.epochs],
            "untuned": self.untuned,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What was recorded up to the checkpoint."""
        self.steps = [Step(*each) for each in state_dict["steps"]]
        self.epochs = [Epoch(*each) for each in state_dict["epochs"]]
        self.untuned = state_dict["untuned"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell of the epochs that a run before this one made."""
        for number in range(len(self.epochs)):
            self._tell(trainer, number)

    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: TargetLossModule) -> None:
        """The whole validation before the first step; Lightning makes one when it resumes after an epoch, too."""
        if not self.steps:
            self.untuned = pl_module.validation_loss()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: TargetLossModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """After the last batch of an optimizer step, record it."""
        if trainer.global_step > len(self.steps):
            rate = pl_module.optimisation.learning_rate * pl_module.optimisation.factor(len(self.steps))
            self.steps.append(Step(pl_module.step_loss, rate, pl_module.step_targets))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TargetLossModule) -> None:
        """Record the epoch; validation has run."""
        data: TrainingData = trainer.datamodule  # type: ignore[attr-defined]
        steps = self.steps[-data.steps_per_epoch :]
        mean = sum(step.loss * step.targets for step in steps) / sum(step.targets for step in steps)
        self.epochs.append(Epoch(mean, pl_module.validation_loss(), steps[-1].learning_rate, len(self.steps)))
        self._tell(trainer, len(self.epochs) - 1)

    def _tell(self, trainer: L.Trainer, number: int) -> None:
        if trainer.is_global_zero:
            for listener in self._listeners:
                listener(number, self.epochs[number].metrics)
