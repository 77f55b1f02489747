"""A killed training of the world model goes on as if nothing had happened, wherever it was killed: the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from platform_assets.training.quick_validation import QuickValidation
from platform_assets.world_model import training
from platform_assets.world_model.fitting import HiddenProducts
from platform_assets_tests.world_model.small_cache import write_small_cache
from platform_assets_tests.world_model.small_training import contents, small_options


class Killed(BaseException):
    """Not an Exception: nothing may tidy up after it."""


class Death:
    """Kills before the training step, or before the look at validation baskets, that is `left` such calls away."""

    def __init__(self) -> None:
        self.left = 10**9

    def due(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Death:
    death, step = Death(), HiddenProducts.training_step

    def mortal(self: HiddenProducts, batch: Any, batch_idx: int) -> Tensor:
        death.due()
        return step(self, batch, batch_idx)

    monkeypatch.setattr(HiddenProducts, "training_step", mortal)
    return death


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache"), baskets=(97, 20, 10), longest=12)


@pytest.fixture(scope="module")
def undisturbed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Four batches an epoch, the last one short."""
    options = small_options(cache, tmp_path_factory.mktemp("undisturbed") / "model")
    training.train(options)
    return contents(options.output)


def killed(cache: Path, output: Path, death: Death, left: int, **options: Any) -> None:
    death.left = left
    with pytest.raises(Killed):
        training.train(small_options(cache, output, **options))
    assert not output.exists()
    death.left = 10**9


# At the start, inside an epoch, before its last batch, between two epochs, inside the second one.
@pytest.mark.parametrize("left", [0, 2, 3, 4, 6])
def test_killed_anywhere_it_writes_the_same_bytes(
    left: int, cache: Path, tmp_path: Path, death: Death, undisturbed: dict[str, bytes]
) -> None:
    killed(cache, tmp_path / "model", death, left)
    training.train(small_options(cache, tmp_path / "model"))
    assert contents(tmp_path / "model") == undisturbed


def test_killed_twice_in_an_epoch_with_fewer_checkpoints_it_writes_the_same_bytes(
    cache: Path, tmp_path: Path, death: Death, undisturbed: dict[str, bytes]
) -> None:
    for left in (3, 2):
        killed(cache, tmp_path / "model", death, left, checkpoint_every=2)
    training.train(small_options(cache, tmp_path / "model", checkpoint_every=2))
    assert contents(tmp_path / "model") == undisturbed


def test_killed_between_a_look_and_its_checkpoint_it_looks_once(
    cache: Path, tmp_path: Path, death: Death, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(self: QuickValidation, *given: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(QuickValidation, "_tell", dying)
        with pytest.raises(Killed):
            training.train(small_options(cache, tmp_path / "model"))
    training.train(small_options(cache, tmp_path / "model"))
    assert contents(tmp_path / "model") == undisturbed


def test_dropout_masks_and_order_matter_to_these_tests(
    cache: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    for name, changes in {"seed": {"seed": 1}, "dropout": {"dropout": 0.0}}.items():
        training.train(small_options(cache, tmp_path / name, **changes))
        assert contents(tmp_path / name)["weights.safetensors"] != undisturbed["weights.safetensors"]
