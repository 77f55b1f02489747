"""A batch: the leak rule between T6 and its tasks, what is computed when, and the journey to another device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from platform_assets.world_model.batch import NO_TARGET, T6, Indices
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import EvaluationDataLoader, WorldModelDataLoader
from platform_assets.world_model.tensor_layout import LABELS
from platform_assets_tests.world_model import slow_encoder
from platform_assets_tests.world_model.small_cache import write_small_cache


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache"))


def test_the_trip_is_withheld_while_its_labels_are_targets(folder: Path) -> None:
    """Defect 2: T6 says the labels of the auxiliary tasks."""
    for batch in WorldModelDataLoader(WorldModelDataset(folder)):
        assert set(batch.auxiliary_labels) == set(LABELS)
        assert any((labels != NO_TARGET).any() for labels in batch.auxiliary_labels.values())
        assert batch.trip_context.eq(0).all()
        assert batch.get_dense_context()[:, T6].eq(0).all()


def test_with_the_trip_there_are_no_auxiliary_targets(folder: Path) -> None:
    for batch in WorldModelDataLoader(WorldModelDataset(folder, enable_auxiliary_tasks=False)):
        assert batch.auxiliary_labels == {}
        expected = [slow_encoder.trip_context(batch.indices, row) for row in range(len(batch))]
        assert batch.trip_context.tolist() == expected
        assert torch.tensor(expected).any()


def test_the_trip_is_withheld_where_a_next_basket_is_asked_for(folder: Path) -> None:
    dataset = WorldModelDataset(folder, "test", enable_auxiliary_tasks=False)
    batches = [batch for _, batch in EvaluationDataLoader(dataset, next_basket=True)]
    assert all(batch.trip_context.eq(0).all() for batch in batches)


def test_tensors_are_computed_once_and_only_when_asked_for(folder: Path) -> None:
    dataset = WorldModelDataset(folder)
    batch = dataset[0]
    assert "encoder" not in dataset.__dict__
    assert batch.get_dense_context() is batch.get_dense_context()
    assert batch.temporal_context.data_ptr() == batch.get_dense_context()[:, 192:].data_ptr()
    assert "encoder" in dataset.__dict__


def test_indices_travel_in_one_piece_and_arrive_as_they_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device stands for an accelerator: it keeps shapes and types, and no values."""
    batch = next(iter(WorldModelDataLoader(WorldModelDataset(folder), purchase_history=5)))
    copies: list[torch.dtype] = []
    plain = torch.Tensor.to

    def counted(self: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        copies.append(self.dtype)
        return plain(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "to", counted)
        there = batch.indices.to("meta")
    assert sorted(copies, key=str) == [torch.float32, torch.int64]
    for name, here, arrived in zip(Indices._fields, batch.indices, there, strict=True):
        assert (arrived.shape, arrived.dtype) == (here.shape, here.dtype), name
        assert arrived.device.type == "meta"
    assert torch.equal(batch.to("cpu").indices.tokens, batch.indices.tokens)


def test_packing_keeps_every_value_in_its_place(folder: Path) -> None:
    """The same steps as for an accelerator, on the CPU, where values can be compared."""
    batch = next(iter(WorldModelDataLoader(WorldModelDataset(folder), purchase_history=5)))
    for here, arrived in zip(batch.indices, batch.indices.packed_to(torch.device("cpu")), strict=True):
        assert torch.equal(here, arrived)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_tensors_on_an_accelerator_equal_those_on_the_cpu(folder: Path) -> None:
    for batch in WorldModelDataLoader(WorldModelDataset(folder), purchase_history=5):
        there = batch.to("cuda", non_blocking=True)
        for here, arrived in zip(batch.indices, there.indices, strict=True):
            assert torch.equal(here, arrived.cpu())
        torch.testing.assert_close(there.get_dense_context().cpu(), batch.get_dense_context())
        torch.testing.assert_close(
            there.get_sequence_features().cpu(), batch.get_sequence_features(), atol=1e-4, rtol=1e-4
        )
