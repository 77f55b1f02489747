"""A look at a fixed part of the validation rows in the middle of an epoch: epochs of hours must not hide a training gone wrong.

Said, recorded and handed to listeners under a name of its own: it decides nothing. What stops a training and which epoch is
kept follows from the whole validation after every epoch (`training.checkpoints`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import lightning as L

from platform_assets.training.data import Batch
from platform_assets.training.progress import Report

if TYPE_CHECKING:
    from platform_assets.training.module import TargetLossModule

PREFIX = "quick_"
QuickListener = Callable[[int, Mapping[str, float]], None]
"""Called with the number of optimizer steps made, and quick_val_loss and whatever else was measured."""


class QuickValidation(L.Callback):
    """Measures what `batches` gives after every `every` optimizer steps; 0: never."""

    def __init__(
        self,
        every: int,
        batches: Callable[[], Iterable[Batch]],
        report: Report,
        listeners: Sequence[QuickListener] = (),
    ) -> None:
        self._every, self._batches, self._report, self._listeners = every, batches, report, listeners
        self.measured: list[tuple[int, dict[str, float]]] = []

    def document(self) -> list[dict[str, Any]]:
        """As JSON values."""
        return [{"step": step, **numbers} for step, numbers in self.measured]

    def state_dict(self) -> dict[str, Any]:
        """Plain lists: checkpoints are read without unpickling objects."""
        return {"measured": [[step, dict(numbers)] for step, numbers in self.measured]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What was measured up to the checkpoint."""
        self.measured = [(step, numbers) for step, numbers in state_dict["measured"]]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell of what a run before this one measured: a listener may be new."""
        for each in self.measured:
            self._tell(trainer, *each)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: TargetLossModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Measure where it is time."""
        step, last = trainer.global_step, self.measured[-1][0] if self.measured else 0
        if not self._every or step % self._every or step == last:
            return
        loss, others = pl_module.measured_of(self._batches())
        if loss is None:
            return
        self.measured.append(
            (step, {f"{PREFIX}val_loss": loss, **{PREFIX + name: each for name, each in others.items()}})
        )
        self._report(f"step {step}: {PREFIX}val_loss {loss:.4f}")
        self._tell(trainer, *self.measured[-1])

    def _tell(self, trainer: L.Trainer, step: int, numbers: Mapping[str, float]) -> None:
        if trainer.is_global_zero:
            for listener in self._listeners:
                listener(step, numbers)
