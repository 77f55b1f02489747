"""The loss of an optimizer step: the same however its rows are cut, and never NaN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from platform_assets.training.errors import LossNotFinite, OutOfMemory, TrainingError
from platform_assets.training.module import Optimisation
from platform_assets.training.trainer import Run, build_trainer
from platform_assets_tests.training.toy import Toy, toy_data, toy_fit, toy_module


class Watch(L.Callback):
    """The gradient and the loss that the first optimizer step used."""

    def __init__(self) -> None:
        self.gradients: list[Tensor] = []
        self.losses: list[float] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.gradients.append(pl_module.network[2].weight.grad.clone())
        self.losses.append(pl_module.step_loss)


def first_step(lengths: list[int], batch_size: int) -> tuple[Tensor, float]:
    accumulate, watch = -(-len(lengths) // batch_size), Watch()
    data = toy_data(lengths, (), batch_size=batch_size, accumulate=accumulate)
    trainer = build_trainer(Run(1, accelerator="cpu", gradient_clip=0), accumulate, [watch])
    trainer.fit(toy_module(data.steps_per_epoch), datamodule=data)
    assert len(watch.gradients) == 1
    return watch.gradients[0], watch.losses[0]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 12))
def test_a_step_has_the_same_loss_and_gradient_however_many_batches_it_is_cut_into(
    lengths: list[int], batch_size: int
) -> None:
    (whole, loss), (cut, cut_loss) = first_step(lengths, len(lengths)), first_step(lengths, batch_size)
    assert cut_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)


def test_the_loss_is_the_mean_over_targets_and_not_over_batches() -> None:
    lengths, module = [1, 30, 2], toy_module(1)
    data = toy_data(lengths, ())
    contents = [data.train.collate([row], 0).content for row in range(3)]
    module.eval()
    with torch.no_grad():
        expected = sum(float(module.target_loss(content)) for content in contents) / sum(lengths)
    assert first_step(lengths, 1)[1] == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_rises_falls_and_ends_at_nothing() -> None:
    plan = Optimisation(1.0, 100)
    factors = [plan.factor(step) for step in range(101)]
    assert 0 < factors[0] < factors[1] < factors[2] < factors[3] == 1
    assert factors[3:] == sorted(factors[3:], reverse=True)
    assert factors[-1] == pytest.approx(0)


def test_a_loss_that_is_not_a_number_names_step_rate_and_remedy_and_moves_no_weight(tmp_path: Path) -> None:
    data = toy_data([2] * 12, broken=5)
    with pytest.raises(LossNotFinite, match=r"loss is nan at step \d of epoch 1, at a learning rate of .*: lower the"):
        toy_fit(tmp_path, data, every=1)
    newest = tmp_path / "newest.ckpt"
    if newest.exists():
        weights = torch.load(newest, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in weights.values())


class Hungry(Toy):
    """Asks for more memory than there is."""

    def target_loss(self, content: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_device_without_memory_names_the_options_that_help(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"batch_size 4.*accumulate.*gradient checkpointing.*nf4"):
        toy_fit(tmp_path, toy_data([2] * 8), kind=Hungry)


def test_memory_that_the_machine_really_has_not_is_told_alike(tmp_path: Path) -> None:
    class Huge(Toy):
        def target_loss(self, content: Tensor) -> Tensor:
            return torch.empty(2**55).sum()

    with pytest.raises(OutOfMemory, match="out of memory at batch_size"):
        toy_fit(tmp_path, toy_data([2] * 8), kind=Huge)


def test_a_model_of_which_nothing_is_trained_is_refused(tmp_path: Path) -> None:
    module = toy_module(1)
    module.requires_grad_(False)
    with pytest.raises(TrainingError, match="no parameter of the model is trained"):
        module.configure_optimizers()
