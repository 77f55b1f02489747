"""What a training says while it runs: where it is, how fast, and how long it will take.

Lines and not a bar: they are read in log files and in the Dagster UI, minutes or days later. Where the lines go is
`training.program`'s business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning as L

from platform_assets.training.data import Batch, SteppedData

Report = Callable[[str], None]
SECONDS = 5.0


class Progress(L.Callback):
    """Reports epoch, step, loss, rate and the time left, every few seconds and after every epoch.

    The rate is of what the data counts (tokens, baskets), of all devices; padding is not counted.
    """

    def __init__(self, report: Report, seconds: float = SECONDS) -> None:
        self._report, self._seconds = report, seconds
        self.done = 0
        self.training_seconds = 0.0
        self._steps = 0
        self._began = self._told = 0.0

    @property
    def per_second(self) -> float:
        """In the data's unit, of this process's steps, validation not included; 0 when it made none."""
        return self.done / self.training_seconds if self.training_seconds else 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock of the first line."""
        self._told = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """The clock of this batch."""
        self._began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count; say something when it is time."""
        now = time.perf_counter()
        self.training_seconds += now - self._began
        self.done += batch.size
        self._steps += (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if now - self._told >= self._seconds and self._steps:
            self._told = now
            self._report(self._line(trainer, pl_module))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The epoch's losses, which the history has recorded."""
        from platform_assets.training.history import History

        history = next(each for each in trainer.callbacks if isinstance(each, History))  # type: ignore[attr-defined]
        epoch = history.epochs[-1]
        measured = "" if epoch.val_loss is None else f", val_loss {epoch.val_loss:.4f}"
        self._report(
            f"epoch {len(history.epochs)}/{trainer.max_epochs} done: train_loss {epoch.train_loss:.4f}{measured}, "
            f"{self._rate(trainer)}"
        )

    def _line(self, trainer: L.Trainer, module: Any) -> str:
        data: SteppedData = trainer.datamodule  # type: ignore[attr-defined]
        total = data.steps_per_epoch * (trainer.max_epochs or 0)
        left = (total - trainer.global_step) * self.training_seconds / self._steps
        return (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}, step {trainer.global_step}/{total}: "
            f"loss {module.step_loss:.4f}, {self._rate(trainer)}, {_duration(left)} left"
        )

    def _rate(self, trainer: L.Trainer) -> str:
        return f"{self.per_second:,.0f} {trainer.datamodule.unit}/s"  # type: ignore[attr-defined]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
