"""The loss of an optimizer step: the same however its rows are cut, and never NaN."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import Mock

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


class Cliff(Toy):
    """From one step on its loss is a number and its gradient is none: the root's slope at 0."""

    at = 0

    def target_loss(self, content: Tensor) -> Tensor:
        loss = super().target_loss(content)
        if self.training and self.global_step == Cliff.at:
            return loss + (self.network(content) * 0).pow(2).sum().sqrt()
        return loss


def saved(folder: Path) -> list[Tensor]:
    """Every weight in every state that a training left."""
    states = [torch.load(path, weights_only=True)["state_dict"] for path in folder.glob("*.ckpt")]
    return [value for state in states for value in state.values()]


@pytest.mark.parametrize(
    ("step", "epochs", "accumulate", "precision"),
    [(1, 1, 1, "32-true"), (2, 1, 1, "32-true"), (5, 2, 1, "32-true"), (3, 2, 2, "32-true"), (4, 2, 1, "bf16-mixed")],
    ids=[
        "in an epoch",
        "last of the only epoch",
        "last of the last epoch",
        "last batches of several",
        "half precision",
    ],
)
def test_a_gradient_that_is_not_a_number_stops_the_training_before_a_weight_moves(
    step: int, epochs: int, accumulate: int, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 12 rows: three steps an epoch of one batch each, or two of up to two.
    monkeypatch.setattr(Cliff, "at", step)
    expected = rf"gradient's norm is nan at step {step + 1} of epoch .*: lower the learning rate"
    with pytest.raises(LossNotFinite, match=expected):
        toy_fit(
            tmp_path, toy_data([1] * 12, accumulate=accumulate), epochs=epochs, every=1, kind=Cliff, precision=precision
        )
    assert all(torch.isfinite(value).all() for value in saved(tmp_path))
    assert len(saved(tmp_path)) == (4 if step >= 2 and epochs == 2 else 2)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_is_judged_whether_it_is_clipped_or_not(clip: float) -> None:
    data = toy_data([1] * 4, ())
    trainer = build_trainer(Run(1, accelerator="cpu", gradient_clip=clip), 1, [])
    Cliff.at = 0
    with pytest.raises(LossNotFinite, match="gradient's norm"):
        trainer.fit(toy_module(1, kind=Cliff), datamodule=data)


@pytest.mark.parametrize(("scale", "raises"), [(65536.0, False), (1.0, True)])
def test_in_half_precision_the_scaler_may_skip_a_step_while_it_has_a_scale_to_lower(scale: float, raises: bool) -> None:
    module = toy_module(1)
    weight = module.network.get_parameter("2.weight")
    optimizer = torch.optim.SGD([weight], 0.1)
    weight.grad = torch.full((1, 4), torch.inf)
    trainer = Mock(optimizers=[optimizer], global_step=0, current_epoch=0)
    trainer.precision_plugin.scaler.get_scale.return_value = scale
    module.trainer = trainer
    with pytest.raises(LossNotFinite, match="norm is inf") if raises else nullcontext():
        module.on_before_optimizer_step(optimizer)


class Blind(Toy):
    """Sees nothing of validation rows after so many steps."""

    at = 0

    def target_loss(self, content: Tensor) -> Tensor:
        loss = super().target_loss(content)
        return loss if self.training or self.global_step < Blind.at else loss * torch.nan


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, "validation loss is nan before the first step: .*broken weights in the base"),
        (1, "validation loss is nan after step 3 of epoch 1, at a learning rate"),
        (4, "validation loss is nan after step 6 of epoch 2, at a learning rate"),
    ],
)
def test_a_validation_loss_that_is_not_a_number_is_neither_best_nor_newest(
    steps: int, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Blind, "at", steps)
    with pytest.raises(LossNotFinite, match=expected):
        toy_fit(tmp_path, toy_data([1] * 12), epochs=2, every=100, kind=Blind)
    assert len(saved(tmp_path)) == (4 if steps > 3 else 0)


class Breaking(Toy):
    """Its weights break although every gradient was a number, as in an optimizer's overflow; no validation row sees it."""

    def on_train_epoch_end(self) -> None:
        self.network.get_parameter("2.weight").data.fill_(torch.inf)


def test_weights_that_are_not_numbers_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(LossNotFinite, match=r"weights of network\.2\.weight are not finite after step 3 of epoch 1"):
        toy_fit(tmp_path, toy_data([1] * 12, ()), epochs=1, every=100, kind=Breaking)
    assert saved(tmp_path) == []


class Hungry(Toy):
    """Asks for more memory than there is."""

    def target_loss(self, content: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_device_without_memory_names_the_options_that_help(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"batch_size 4: lower it, or train a smaller network$"):
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


class Elsewhere(Toy):
    """On a device that any machine has, besides the CPU; what is measured of a batch lies where the batch says."""

    device = torch.device("meta")  # type: ignore[assignment]

    def measure(self, batch: Any) -> Tensor:
        return torch.zeros(self.measures, dtype=torch.float64, device=batch)


@pytest.mark.parametrize("measured_on", ["cpu", "meta"])
def test_what_validation_measures_is_added_up_on_the_modules_device(measured_on: str) -> None:
    module = toy_module(1, kind=Elsewhere)
    module.on_validation_epoch_start()
    module.validation_step(measured_on, 0)  # type: ignore[arg-type]
    assert module._validation.device.type == "meta"
