"""Neighbouring batches computed at once: the tensors of each are those it has alone, and the slow encoder's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from platform_assets.world_model import together as together_module
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import EvaluationDataLoader, WorldModelDataLoader
from platform_assets.world_model.together import MOST
from platform_assets_tests.world_model import slow_encoder
from platform_assets_tests.world_model.small_cache import write_small_cache


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("trip", [False, True])
@pytest.mark.parametrize("world_size", [1, 3])
def test_a_batch_has_the_tensors_it_has_alone(folder: Path, trip: bool, world_size: int) -> None:
    dataset = WorldModelDataset(folder, enable_auxiliary_tasks=not trip)
    batches = list(WorldModelDataLoader(dataset, 32, rank=world_size - 1, world_size=world_size))
    assert len(batches) > MOST
    for batch in batches:
        assert torch.equal(batch.get_dense_context(), dataset.encoder.dense(batch.indices, trip))
        assert torch.equal(batch.get_sequence_features(), dataset.encoder.sequence(batch.indices))
        np.testing.assert_allclose(batch.get_dense_context(), slow_encoder.dense(dataset.cache, batch.indices, trip), atol=2e-5)  # fmt: skip
        np.testing.assert_allclose(batch.get_sequence_features(), slow_encoder.sequence(dataset.cache, batch.indices), atol=2e-5)  # fmt: skip


def test_an_evaluations_batches_have_the_tensors_they_have_alone(folder: Path) -> None:
    dataset = WorldModelDataset(folder, "test")
    for _, batch in EvaluationDataLoader(dataset, 16):
        assert torch.equal(batch.get_dense_context(), dataset.encoder.dense(batch.indices, False))
        assert torch.equal(batch.get_sequence_features(), dataset.encoder.sequence(batch.indices))


def test_neighbours_share_one_computation_made_when_the_first_is_asked(folder: Path) -> None:
    dataset = WorldModelDataset(folder)
    first, second = list(WorldModelDataLoader(dataset, 32))[:2]
    assert "encoder" not in dataset.__dict__
    views = first.get_sequence_features(), second.get_sequence_features()
    assert views[0].untyped_storage().data_ptr() == views[1].untyped_storage().data_ptr()


def test_a_batch_that_has_moved_computes_its_own(folder: Path) -> None:
    """The meta device stands for an accelerator."""
    batch = next(iter(WorldModelDataLoader(WorldModelDataset(folder))))
    assert batch.to("cpu").together is not None
    assert batch.to("meta").together is None


@pytest.mark.parametrize(("batch_size", "together"), [(1, 8), (200, 1)])
def test_large_batches_are_not_held_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, together: int
) -> None:
    """Eight batches of 1,024 would hold half a gigabyte while one of their tensors is kept."""
    monkeypatch.setattr(together_module, "MOST_PLACES", 400)
    batches = list(WorldModelDataLoader(WorldModelDataset(folder), batch_size, bucket_batching=False))
    groups = [id(group) for group, _ in (batch.together for batch in batches if batch.together)]
    sizes = {number: groups.count(number) for number in groups}
    assert len(groups) == len(batches)
    assert max(sizes.values()) == together
    for batch in batches[:20]:
        assert torch.equal(batch.get_sequence_features(), batch.encoder_on(torch.device("cpu")).sequence(batch.indices))
