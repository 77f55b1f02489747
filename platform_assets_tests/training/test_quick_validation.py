"""Looks at validation rows in the middle of an epoch, and a history of many steps: neither changes what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from platform_assets.training import trainer
from platform_assets.training.history import History, Step
from platform_assets.training.quick_validation import QuickValidation
from platform_assets.training.trainer import Fitted, Run
from platform_assets.training.work_folder import WorkFolder
from platform_assets_tests.training.toy import Killed, Mortal, same, toy_data, toy_fit, toy_module

# 12 rows in batches of 4, three steps an epoch.
ROWS = [1, 2, 3, 4] * 3


def train(
    folder: Path, every: int, *, left: int = 10**9, heard: list[Any] | None = None, lines: list[str] | None = None
) -> tuple[Fitted, QuickValidation, dict[str, Tensor]]:
    Mortal.left = left
    data, listeners = toy_data(ROWS), [] if heard is None else [lambda step, numbers: heard.append((step, numbers))]
    module = toy_module(data.steps_per_epoch * 2, dropout=0.3, kind=Mortal)
    quick = QuickValidation(
        every, lambda: list(data.val_dataloader()), ([] if lines is None else lines).append, listeners
    )
    run, work = Run(2, accelerator="cpu", checkpoint_every=1), WorkFolder(folder)
    folder.mkdir(exist_ok=True)
    fitted = trainer.fit(module, data, run, work, lambda text: None, callbacks=[quick])
    return fitted, quick, {name: value.clone() for name, value in module.state_dict().items()}


def test_a_look_is_taken_after_every_so_many_steps_and_told_under_its_own_name(tmp_path: Path) -> None:
    heard: list[Any] = []
    lines: list[str] = []
    fitted, quick, _ = train(tmp_path, 3, heard=heard, lines=lines)
    assert [each["step"] for each in quick.document()] == [3, 6]
    # Here the fixed part is the whole: after an epoch's last step it says what the validation after the epoch says.
    expected = [epoch.val_loss for epoch in fitted.history.epochs]
    assert [each["quick_val_loss"] for each in quick.document()] == pytest.approx(expected)
    assert heard == [(step, numbers) for step, numbers in quick.measured]
    assert lines == [f"step {step}: quick_val_loss {numbers['quick_val_loss']:.4f}" for step, numbers in quick.measured]


def test_looking_changes_nothing_that_is_learned(tmp_path: Path) -> None:
    (often, _, first), (never, quick, second) = train(tmp_path / "a", 1), train(tmp_path / "b", 0)
    assert same(first, second)
    assert often.history.document() == never.history.document()
    assert quick.document() == []


@pytest.mark.parametrize("left", range(6))
def test_a_killed_training_remembers_its_looks_and_tells_a_new_listener(left: int, tmp_path: Path) -> None:
    _, undisturbed, weights = train(tmp_path / "whole", 2)
    with pytest.raises(Killed):
        train(tmp_path / "killed", 2, left=left)
    heard: list[Any] = []
    _, quick, again = train(tmp_path / "killed", 2, heard=heard)
    assert quick.document() == undisturbed.document()
    assert [step for step, _ in heard] == [2, 4, 6]
    assert same(weights, again)


def test_of_many_steps_several_make_one_entry_and_means_stay_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, weights = toy_fit(tmp_path / "plain", toy_data(ROWS))
    monkeypatch.setattr(trainer, "ENTRIES", 3)
    short, same_weights = toy_fit(tmp_path / "short", toy_data(ROWS))
    assert (plain.history.every, short.history.every) == (1, 2)
    assert (len(plain.history.steps), len(short.history.steps)) == (6, 3)
    assert short.history.epochs == plain.history.epochs
    assert same(weights, same_weights)
    assert set(short.history.document()["epochs"][0]) == {"train_loss", "val_loss", "learning_rate", "steps"}
    for number, entry in enumerate(short.history.steps):
        first, second = plain.history.steps[2 * number : 2 * number + 2]
        mean = (first.loss * first.targets + second.loss * second.targets) / (first.targets + second.targets)
        assert entry == (pytest.approx(mean), second.learning_rate, first.targets + second.targets)


def test_an_entry_that_is_not_full_is_kept_over_a_restart(tmp_path: Path) -> None:
    history = History(every=3)
    history._add(Step(1.0, 0.1, 2))
    again = History(every=3)
    again.load_state_dict(history.state_dict())
    assert again.steps == [Step(1.0, 0.1, 2)]
    for loss in (4.0, 7.0):
        again._add(Step(loss, 0.2, 1))
    assert again.steps == [Step(13 / 4, 0.2, 4)]
    assert torch.tensor(again.state_dict()["count"]) == 3
