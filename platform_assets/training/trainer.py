"""The Lightning trainer as every training here uses it, and a fit that resumes and says what went wrong."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from platform_assets.training import devices
from platform_assets.training.checkpoints import Checkpoints, WholeFiles
from platform_assets.training.data import ALL, SteppedData
from platform_assets.training.errors import TrainingError
from platform_assets.training.history import ENTRIES, EpochListener, History
from platform_assets.training.memory import explained_memory
from platform_assets.training.module import TargetLossModule
from platform_assets.training.progress import Progress, Report
from platform_assets.training.record import TrainingResult
from platform_assets.training.work_folder import WorkFolder

# That our loader resumes, the base is in evaluation mode, there may be no validation, and Lightning's own debts are known.
_KNOWN = (
    "You're resuming from a checkpoint that ended", "Found .* module.* in eval mode", "Total length of `list` across",
    "`isinstance.treespec, LeafSpec.` is deprecated", "Checkpoint directory .* exists and is not empty",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """How to run a training, apart from what it learns."""

    epochs: int
    precision: str = "auto"
    """auto: bf16-mixed on CUDA, 32-true elsewhere; or a name that Lightning knows."""
    devices: int = 1
    """On this machine; under torchrun its own numbers count."""
    accelerator: str = "auto"
    """auto (CUDA where there is one), cpu or cuda."""
    gradient_clip: float = 1.0
    """Largest norm of a step's gradient; 0 does not clip."""
    patience: int = 0
    """Epochs without a better validation loss after which training stops; 0 never stops."""
    checkpoint_every: int = 100
    """Optimizer steps between two checkpoints."""


@dataclass(frozen=True)
class Remedies:
    """What to change where a training cannot go on, by the names of its own options and inputs."""

    memory: str = "lower it, or train a smaller network"
    """After "out of memory at batch_size 16: "."""
    validation: str = "early stopping needs validation rows, and there are none: bring some, or switch it off"


@dataclass(frozen=True)
class Fitted:
    """What a finished training left; the module holds the weights of the best epoch."""

    history: History
    best_epoch: int
    per_second: float
    """In the data's unit; 0 when this process made no step."""
    is_first_rank: bool
    world_size: int
    unit: str

    def result(
        self, folder: Path, fingerprint: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any]
    ) -> TrainingResult:
        """What the program tells of it."""
        epochs = tuple(epoch.metrics for epoch in self.history.epochs)
        rates = {f"{self.unit}_per_second": self.per_second} if self.per_second else {}
        return TrainingResult(folder, fingerprint, parameters, metrics, epochs, rates, self.is_first_rank)


def fit(
    module: TargetLossModule,
    data: SteppedData,
    run: Run,
    folder: WorkFolder,
    report: Report,
    listeners: Sequence[EpochListener] = (),
    callbacks: Sequence[L.Callback] = (),
    remedies: Remedies = Remedies(),
) -> Fitted:
    """Train, from the folder's newest checkpoint where it has one; raises TrainingError.

    `callbacks` come before the checkpoints, which hold their states too.
    """
    if run.patience and not data.has_validation:
        raise TrainingError(remedies.validation)
    module.compared_batches = data.compared_batches
    history = History(listeners, max(1, -(-data.steps_per_epoch * run.epochs // ENTRIES)))
    progress = Progress(report)
    checkpoints = Checkpoints(folder, history, run.checkpoint_every, run.patience)
    newest = folder.newest
    if newest:
        report(f"going on from {newest}")
    with explained_memory(f"at batch_size {data.batch_size}", remedies.memory), _quiet():
        # What was measured before the first step is in the state: measured again it would be thrown away.
        before = 0 if newest else data.compared_batches
        trainer = build_trainer(run, data.accumulate, [history, progress, *callbacks, checkpoints], before)
        # weights_only: a checkpoint is data, and loading it must not be able to run code.
        trainer.fit(module, datamodule=data, ckpt_path=newest, weights_only=True)
    folder.load_best(module)
    return Fitted(
        history, checkpoints.best_epoch, progress.per_second, trainer.is_global_zero, trainer.world_size, data.unit
    )


def build_trainer(run: Run, accumulate: int, callbacks: Sequence[L.Callback], before: int = ALL) -> L.Trainer:
    """A trainer that writes nothing by itself: no logger's folder, no checkpoint of its own, no bar.

    Its "sanity check" measures the first `before` validation batches before the first step: what training is compared with.
    """
    cuda, (count, nodes) = devices.on_cuda(run.accelerator), devices.by_node(run.devices)
    if cuda and not torch.cuda.is_available():
        raise TrainingError("there is no CUDA device here for accelerator cuda: name cpu, or install torch with CUDA")
    return L.Trainer(
        accelerator="cuda" if cuda else "cpu",
        devices=count,
        num_nodes=nodes,
        strategy=_strategy(cuda) if count * nodes > 1 else "auto",
        precision=devices.precision(run.precision, run.accelerator),  # type: ignore[arg-type]
        max_epochs=run.epochs,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=run.gradient_clip or None,
        callbacks=list(callbacks),
        plugins=[WholeFiles()],
        logger=False,
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=before,
        use_distributed_sampler=False,
        inference_mode=False,
    )


def _strategy(cuda: bool) -> Any:
    from lightning.pytorch.strategies import DDPStrategy

    return DDPStrategy(process_group_backend="nccl" if cuda else "gloo", gradient_as_bucket_view=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Lightning says of devices it does not use and of loaders it takes for ordinary ones."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for text in _KNOWN:
                warnings.filterwarnings("ignore", message=f".*{text}")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
