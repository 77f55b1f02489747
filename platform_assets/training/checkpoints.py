"""What a killed training leaves to go on from: the newest state, and the weights of the best epoch.

Written only where Lightning's loops resume exactly: after an optimizer step that does not end its epoch, and after an epoch
with its validation. In between (after the last batch, before validation) its own ModelCheckpoint saves too, and a run
resumed there skips the validation; that is why it is not used. Nor is its way to write a file: it writes in the temporary
folder, and where that is another file system its move is a copy over the old state, which a kill leaves torn. Here a file is
written beside the old one and takes its place by a rename: a kill leaves the old or the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from platform_assets.training.data import Batch, Position, SteppedData
from platform_assets.training.history import History
from platform_assets.training.output import part_of, whole_file
from platform_assets.training.work_folder import BEST, NEWEST, WorkFolder

if TYPE_CHECKING:
    import lightning as L


class WholeFiles(TorchCheckpointIO):
    """Writes states whole or not at all; Lightning asks the first rank alone to write."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a state; there are no `storage_options`."""
        with whole_file(Path(path)) as part:
            torch.save(checkpoint, part)


class Checkpoints(Checkpoint):
    """Saves the newest state every `every_steps` optimizer steps and after every epoch, and keeps the best epoch's weights.

    Best is the lowest validation loss, the first of equals; without validation rows, the newest epoch. After `patience`
    epochs without a better one training stops; 0: it never does.
    """

    def __init__(self, folder: WorkFolder, history: History, every_steps: int, patience: int) -> None:
        self._folder, self._history = folder, history
        self._every_steps, self._patience = every_steps, patience
        self.best_epoch = -1

    def state_dict(self) -> dict[str, Any]:
        """Which epoch is the best; its loss is in the history."""
        return {"best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As saved."""
        self.best_epoch = state_dict["best_epoch"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove what a killed run had half written."""
        if trainer.is_global_zero:
            for name in (NEWEST, BEST):
                part_of(self._folder.path / name).unlink(missing_ok=True)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A training that had stopped when it was killed has stopped."""
        self._stop_early(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Nothing of the epoch is consumed."""
        self._data(trainer).position = Position(trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Move on; save where it is time."""
        data = self._data(trainer)
        data.position = Position(trainer.current_epoch, batch_idx + 1)
        ends_step = data.position.batches % data.accumulate == 0
        if ends_step and not trainer.is_last_batch and trainer.global_step % self._every_steps == 0:
            self._save(trainer, NEWEST)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the epoch if it is the best so far, before the state says that it is over."""
        epochs = self._history.epochs
        losses = [epoch.val_loss for epoch in epochs]
        measured = [loss for loss in losses if loss is not None]
        best = losses.index(min(measured)) if measured else len(epochs) - 1
        if best != self.best_epoch:
            self.best_epoch = best
            self._save(trainer, BEST, weights_only=True)
        self._save(trainer, NEWEST)
        self._stop_early(trainer)

    def _stop_early(self, trainer: L.Trainer) -> None:
        if self._patience and len(self._history.epochs) - 1 - self.best_epoch >= self._patience:
            trainer.should_stop = True

    def _save(self, trainer: L.Trainer, name: str, weights_only: bool = False) -> None:
        trainer.save_checkpoint(self._folder.path / name, weights_only=weights_only)

    @staticmethod
    def _data(trainer: L.Trainer) -> SteppedData:
        return trainer.datamodule  # type: ignore[attr-defined]
