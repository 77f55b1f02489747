"""A killed training goes on as if nothing had happened, wherever it was killed, and only where it belongs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from platform_assets.training import work_folder
from platform_assets.training.checkpoints import Checkpoints
from platform_assets.training.errors import OtherFingerprint, TrainingError
from platform_assets.training.trainer import Fitted
from platform_assets_tests.training.toy import Killed, Mortal, same, toy_data, toy_fit

# 27 rows in batches of 4, two to a step: 7 batches and 4 steps an epoch, its last batch and its last step both short.
LENGTHS = [1 + row % 5 for row in range(27)]


class Overfitting(Mortal):
    """The better it does on training rows, the worse on others."""

    def target_loss(self, content: Tensor) -> Tensor:
        loss = super().target_loss(content)
        return loss if self.training else 1 / (1 + loss)


def train(folder: Path, left: int = 10**9, **options: Any) -> tuple[Fitted, dict[str, Tensor]]:
    Mortal.left = left
    data = toy_data(LENGTHS, accumulate=2)
    return toy_fit(folder, data, **{"epochs": 3, "dropout": 0.3, "kind": Mortal, "every": 1, **options})


def killed(folder: Path, left: int, **options: Any) -> None:
    with pytest.raises(Killed):
        train(folder, left, **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, dict[str, Tensor]]:
    return train(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("left", range(21))
def test_a_training_killed_before_any_batch_ends_bit_for_bit_as_the_undisturbed_one(
    left: int, tmp_path: Path, undisturbed: tuple[Fitted, dict[str, Tensor]]
) -> None:
    killed(tmp_path, left)
    fitted, weights = train(tmp_path)
    assert fitted.history.document() == undisturbed[0].history.document()
    assert fitted.history.untuned == undisturbed[0].history.untuned
    assert fitted.best_epoch == undisturbed[0].best_epoch
    assert same(weights, undisturbed[1])


def test_killed_again_and_again_it_still_ends_the_same(
    tmp_path: Path, undisturbed: tuple[Fitted, dict[str, Tensor]]
) -> None:
    for left in (3, 5, 4, 4):
        killed(tmp_path, left)
    fitted, weights = train(tmp_path)
    assert fitted.history.document() == undisturbed[0].history.document()
    assert same(weights, undisturbed[1])


@pytest.mark.parametrize("save", range(1, 14))
def test_a_kill_between_two_files_of_a_checkpoint_changes_nothing(
    save: int, tmp_path: Path, undisturbed: tuple[Fitted, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = 0

    def dying(self: Checkpoints, trainer: Any, name: str, weights_only: bool = False) -> None:
        nonlocal saves
        saves += 1
        if saves == save:
            raise Killed
        trainer.save_checkpoint(self._folder.path / name, weights_only=weights_only)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_save", dying)
        killed(tmp_path, 10**9)
    fitted, weights = train(tmp_path)
    assert fitted.history.document() == undisturbed[0].history.document()
    assert same(weights, undisturbed[1])


def test_dropout_and_the_order_of_rows_matter_to_these_tests(tmp_path: Path, undisturbed: Any) -> None:
    data = toy_data(LENGTHS, accumulate=2)
    data.seed = 8
    assert not same(toy_fit(tmp_path / "order", data, epochs=3, dropout=0.3)[1], undisturbed[1])
    assert not same(toy_fit(tmp_path / "dropout", toy_data(LENGTHS, accumulate=2), epochs=3)[1], undisturbed[1])


def test_a_training_that_was_finished_is_not_trained_again(tmp_path: Path) -> None:
    first, weights = train(tmp_path)
    again, same_weights = train(tmp_path, left=0)
    assert again.history.document() == first.history.document()
    assert same(weights, same_weights)


def test_early_stopping_keeps_the_best_epoch_and_stays_stopped_after_a_kill(tmp_path: Path) -> None:
    options = {"patience": 2, "kind": Overfitting, "epochs": 9}
    stopped, weights = train(tmp_path / "a", **options)
    losses = [epoch.val_loss or 0.0 for epoch in stopped.history.epochs]
    assert stopped.best_epoch == losses.index(min(losses))
    assert len(losses) == stopped.best_epoch + 3 < 9
    again, same_weights = train(tmp_path / "a", left=0, **options)
    assert again.history.document() == stopped.history.document()
    assert same(weights, same_weights)
    assert not same(weights, train(tmp_path / "b", epochs=9)[1])


def test_early_stopping_without_validation_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="early stopping needs validation rows"):
        toy_fit(tmp_path, toy_data(LENGTHS, ()), patience=1)


def test_without_validation_rows_the_last_epoch_is_kept(tmp_path: Path) -> None:
    fitted, _ = toy_fit(tmp_path, toy_data(LENGTHS, ()))
    assert fitted.best_epoch == 1
    assert fitted.history.untuned is None
    assert [epoch.val_loss for epoch in fitted.history.epochs] == [None, None]


def test_checkpoints_hold_what_is_trained_and_no_frozen_weight(tmp_path: Path) -> None:
    train(tmp_path)
    for name in (work_folder.NEWEST, work_folder.BEST):
        found = torch.load(tmp_path / name, weights_only=True)
        assert set(found["state_dict"]) == {"network.2.weight", "network.2.bias"}
    states = torch.load(tmp_path / work_folder.NEWEST, weights_only=True)["optimizer_states"]
    assert sum(state["exp_avg"].numel() for state in states[0]["state"].values()) == 5


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    killed(tmp_path, 5)
    with pytest.raises(OtherFingerprint, match=r"belongs to a training with fingerprint a.*other inputs, options"):
        toy_fit(tmp_path, toy_data(LENGTHS, accumulate=2, fingerprint="b"), epochs=3)


def test_a_checkpoint_with_other_weights_is_refused(tmp_path: Path) -> None:
    killed(tmp_path, 5)
    path = tmp_path / work_folder.NEWEST
    found = torch.load(path, weights_only=True)
    del found["state_dict"]["network.2.bias"]
    torch.save(found, path)
    with pytest.raises(
        TrainingError, match=r"not those that this model trains \(1 differ, among them network\.2\.bias"
    ):
        train(tmp_path)


def test_listeners_hear_of_every_epoch_once_in_order_also_of_those_before_a_kill(tmp_path: Path) -> None:
    heard: list[tuple[int, Mapping[str, float]]] = []
    killed(tmp_path, 9)
    fitted, _ = train(tmp_path, listeners=[lambda epoch, metrics: heard.append((epoch, metrics))])
    assert [epoch for epoch, _ in heard] == [0, 1, 2]
    assert [metrics for _, metrics in heard] == [epoch.metrics for epoch in fitted.history.epochs]
    assert set(heard[0][1]) == {"train_loss", "val_loss", "learning_rate"}
