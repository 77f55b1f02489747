"""A training small enough to run dozens of times: numbers in, numbers out, a frozen layer, a trained one, dropout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from platform_assets.training.data import Collated, TrainingData
from platform_assets.training.history import EpochListener
from platform_assets.training.module import Optimisation, TargetLossModule
from platform_assets.training.trainer import Fitted, Run, fit
from platform_assets.training.work_folder import WorkFolder

WIDTH = 4


class ToyRows:
    """Row k has `lengths[k]` predictions of its own."""

    def __init__(self, lengths: Sequence[int], broken: int | None = None) -> None:
        self.lengths = list(lengths)
        self.served: list[tuple[int, tuple[int, ...]]] = []
        self._broken = broken

    def collate(self, rows: Sequence[int], epoch: int) -> Collated:
        self.served.append((epoch, tuple(rows)))
        inputs = [_numbers(row, position) for row in rows for position in range(self.lengths[row])]
        content = torch.stack(inputs)
        if self._broken in rows:
            content = content * torch.nan
        return Collated(content, len(inputs))


class Toy(TargetLossModule):
    """Squared error against the sum of the inputs."""

    def target_loss(self, content: Tensor) -> Tensor:
        return (self.network(content).squeeze(-1) - content.sum(-1)).pow(2).sum()


class Killed(BaseException):
    """Not an Exception: nothing may tidy up after it."""


class Mortal(Toy):
    """Dies after a number of training steps in this process."""

    left = 10**9

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if Mortal.left == 0:
            raise Killed
        Mortal.left -= 1
        return super().training_step(batch, batch_idx)


def toy_module(steps: int, dropout: float = 0.0, rate: float = 0.05, kind: type[Toy] = Toy) -> Toy:
    torch.manual_seed(3)
    frozen = torch.nn.Linear(WIDTH, WIDTH)
    frozen.requires_grad_(False)
    network = torch.nn.Sequential(frozen, torch.nn.Dropout(dropout), torch.nn.Linear(WIDTH, 1))
    return kind(network, Optimisation(rate, steps), seed=5)


def toy_data(
    lengths: Sequence[int], validation: Sequence[int] = (2, 1, 3), *, batch_size: int = 4, accumulate: int = 1,
    fingerprint: str = "a", broken: int | None = None,
) -> TrainingData:  # fmt: skip
    rows = ToyRows(lengths, broken), ToyRows(validation)
    return TrainingData(*rows, batch_size=batch_size, accumulate=accumulate, seed=7, fingerprint=fingerprint)


def toy_fit(
    folder: Path, data: TrainingData, *, epochs: int = 2, dropout: float = 0.0, patience: int = 0, every: int = 2,
    listeners: Sequence[EpochListener] = (), rate: float = 0.05, kind: type[Toy] = Toy, lines: list[str] | None = None,
    accelerator: str = "cpu", precision: str = "auto",
) -> tuple[Fitted, dict[str, Tensor]]:  # fmt: skip
    """What was fitted, and the weights."""
    module = toy_module(data.steps_per_epoch * epochs, dropout, rate, kind)
    run = Run(epochs, precision, accelerator=accelerator, patience=patience, checkpoint_every=every)
    folder.mkdir(parents=True, exist_ok=True)
    said = lines if lines is not None else []
    fitted = fit(module, data, run, WorkFolder(folder), said.append, listeners)
    return fitted, {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _numbers(row: int, position: int) -> Tensor:
    return torch.tensor([((row * 31 + position * 7 + place * 13) % 17) / 17 - 0.5 for place in range(WIDTH)])
