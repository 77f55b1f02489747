"""What is measured before the first step: as much as the data says, and the same rows again after every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from platform_assets.core.training_metrics import PART_LOSS
from platform_assets.training.batches import ordered_batches
from platform_assets.training.data import Batch, TrainingData
from platform_assets_tests.training.toy import Killed, Mortal, ToyRows, toy_fit, toy_module

ROWS, VALIDATION = [1, 2, 3, 4] * 3, [2, 1, 3, 4, 5, 1, 2, 3, 4, 1]


class Partly(TrainingData):
    """Of three validation batches, the first two are measured before the first step."""

    @property
    def compared_batches(self) -> int:
        return 2


class Counting(Mortal):
    """Counts validation batches: those before the first step, and the others."""

    before = after = 0

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if self.trainer.sanity_checking:
            Counting.before += 1
        else:
            Counting.after += 1
        super().validation_step(batch, batch_idx)


def data() -> Partly:
    return Partly(ToyRows(ROWS), ToyRows(VALIDATION), batch_size=4, accumulate=1, seed=7, fingerprint="a")


@pytest.fixture(autouse=True)
def _anew() -> None:
    Counting.before = Counting.after = 0
    Mortal.left = 10**9


def part_loss(module: Any) -> float:
    """Of the rows of the first two batches, computed one by one."""
    rows = [int(row) for batch in ordered_batches(VALIDATION, 4)[:2] for row in batch]
    with torch.no_grad():
        losses = [module.target_loss(ToyRows(VALIDATION).collate([row], 0).content).item() for row in rows]
    return sum(losses) / sum(VALIDATION[row] for row in rows)


def test_a_part_is_measured_before_the_first_step_and_again_after_every_epoch(tmp_path: Path) -> None:
    fitted, weights = toy_fit(tmp_path, data(), kind=Counting)
    assert (Counting.before, Counting.after) == (2, 2 * 3)
    fresh = toy_module(6)
    assert fitted.history.untuned == pytest.approx(part_loss(fresh), rel=1e-5)
    fresh.load_state_dict(weights)
    kept = fitted.history.epochs[fitted.best_epoch]
    assert kept.measured[PART_LOSS] == pytest.approx(part_loss(fresh), rel=1e-5)
    assert kept.val_loss != pytest.approx(kept.measured[PART_LOSS], rel=1e-3)


def test_a_training_that_goes_on_measures_nothing_anew(tmp_path: Path) -> None:
    whole, _ = toy_fit(tmp_path / "whole", data(), kind=Counting, every=1)
    Mortal.left, Counting.before = 4, 0
    with pytest.raises(Killed):
        toy_fit(tmp_path / "killed", data(), kind=Counting, every=1)
    Mortal.left = 10**9
    again, _ = toy_fit(tmp_path / "killed", data(), kind=Counting, every=1)
    assert Counting.before == 2
    assert again.history.untuned == whole.history.untuned
    assert again.history.document() == whole.history.document()
