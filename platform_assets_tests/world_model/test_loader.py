"""The training's loader: every basket once, whatever the ranks, in an order that repeats exactly; and resumed anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from platform_assets.training.errors import OtherFingerprint
from platform_assets.world_model.batch import NO_POSITION, NO_ROW, NO_TARGET, WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets_tests.world_model import small_loader
from platform_assets_tests.world_model.small_cache import write_small_cache
from platform_assets_tests.world_model.small_loader import loader, own

folder, dataset = small_loader.folder, small_loader.dataset


def digest(batch: WorldModelBatch) -> str:
    """Of all that a batch is."""
    sha = hashlib.sha256(repr(batch.counts).encode())
    for tensor in batch.indices:
        sha.update(repr(tensor.shape).encode() + tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def rows_of(batches: Iterator[WorldModelBatch]) -> list[int]:
    return [row for batch in batches for row in batch.indices.rows.tolist() if row != NO_ROW]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_together_have_every_basket_once(folder: Path, split: str, world_size: int) -> None:
    data = WorldModelDataset(folder, split)
    ranks = [loader(data, rank=rank, world_size=world_size, window=50) for rank in range(world_size)]
    assert sorted(row for rank in ranks for row in rows_of(iter(rank))) == list(range(len(data)))


@pytest.mark.parametrize("world_size", [2, 4, 7])
def test_the_global_batches_are_the_same_for_every_number_of_ranks(dataset: WorldModelDataset, world_size: int) -> None:
    alone = list(loader(dataset, purchase_history=4))
    ranks = [list(loader(dataset, rank=rank, world_size=world_size, purchase_history=4)) for rank in range(world_size)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        for rank, share in enumerate(shares):
            assert share.counts == whole.counts
            if rank >= len(whole):
                continue
            mine = slice(rank, None, world_size)
            plain = [name for name in whole.indices._fields if not name.startswith("own_")]
            for name in plain:
                assert torch.equal(getattr(share.indices, name), getattr(whole.indices, name)[mine]), name
            assert own(share) == own(whole)[mine]


def test_a_rank_without_a_basket_computes_one_for_nothing(dataset: WorldModelDataset) -> None:
    """400 baskets in batches of 133: the last has one, and the second rank of two none of it."""
    shares = [loader(dataset, batch_size=133, window=133, rank=rank, world_size=2) for rank in range(2)]
    for first, second in zip(*shares, strict=True):
        assert first.counts == second.counts
        if first.global_baskets == 1:
            assert len(first) == len(second) == 1
            assert second.indices.rows.tolist() == [NO_ROW]
            assert second.masked_positions.eq(NO_POSITION).all()
            assert second.masked_targets.eq(NO_TARGET).all()
            assert all(labels.eq(NO_TARGET).all() for labels in second.auxiliary_labels.values())
            return
    pytest.fail("there was no batch of one basket")


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize(
    "stops", [[0], [3], [6], [12], [24], [25], [2, 9], [5, 5]], ids=lambda stops: "-".join(map(str, stops))
)
def test_a_resumed_epoch_has_the_batches_of_an_unbroken_one(folder: Path, stops: list[int], prefetch: bool) -> None:
    """Stopped at its start, within a window, at a window's edge, before and at its end, and twice."""
    unbroken = loader(WorldModelDataset(folder), seed=3)
    expected = [digest(batch) for _ in range(2) for batch in unbroken]
    found: list[str] = []
    state = unbroken.state_dict() | {"epoch": 0, "batches": 0}
    for stop in [*stops, None]:
        resumed = loader(WorldModelDataset(folder), seed=3, prefetch=prefetch)
        resumed.load_state_dict(state)
        taken = stop if stop is None else stop - len(found)
        found += [digest(batch) for batch in islice(resumed, taken)]
        state = resumed.state_dict()
    assert found == expected[:25]
    assert [digest(batch) for batch in resumed] == expected[25:]


def test_any_batch_can_be_the_first_one(dataset: WorldModelDataset) -> None:
    """Windows of 60 batches, prepared three at a time."""
    data = loader(dataset, batch_size=4, window=240)
    expected = [digest(batch) for batch in data.epoch_batches(1)]
    assert len(set(expected)) == len(data) == 100
    assert [digest(next(data.epoch_batches(1, start))) for start in range(100)] == expected
    assert list(data.epoch_batches(1, 100)) == []


def test_after_an_epochs_last_batch_comes_the_next_epoch(dataset: WorldModelDataset) -> None:
    data = loader(dataset)
    first = [digest(batch) for batch in data]
    assert (data.state_dict()["epoch"], data.state_dict()["batches"]) == (1, 0)
    second = [digest(batch) for batch in data]
    assert set(first).isdisjoint(second)
    data.set_epoch(0)
    assert [digest(batch) for batch in data] == first


def test_set_epoch_keeps_a_restored_position_in_its_own_epoch(dataset: WorldModelDataset) -> None:
    data = loader(dataset)
    data.load_state_dict(data.state_dict() | {"epoch": 2, "batches": 7})
    data.set_epoch(2)
    assert data.state_dict()["batches"] == 7
    data.set_epoch(3)
    assert (data.state_dict()["epoch"], data.state_dict()["batches"]) == (3, 0)


def test_epochs_differ_in_order_company_and_masks_and_repeat_exactly(dataset: WorldModelDataset) -> None:
    data = loader(dataset)
    first, again, other = (list(data.epoch_batches(epoch)) for epoch in (4, 4, 5))
    assert [digest(batch) for batch in first] == [digest(batch) for batch in again]
    assert rows_of(iter(first)) != rows_of(iter(other))
    assert {frozenset(rows_of(iter([batch]))) for batch in first}.isdisjoint(
        frozenset(rows_of(iter([batch]))) for batch in other
    )


def test_without_shuffle_every_epoch_is_the_same_and_the_first_batches_are_of_all_lengths(
    dataset: WorldModelDataset,
) -> None:
    data = loader(dataset, shuffle=False, window=400)
    first, second = ([digest(batch) for batch in data.epoch_batches(epoch)] for epoch in (0, 1))
    assert first == second
    widths = [batch.indices.tokens.shape[1] for batch in data.epoch_batches(0)]
    assert widths != sorted(widths)
    assert widths != sorted(widths, reverse=True)


def test_without_shuffle_and_length_batching_the_order_is_the_files(dataset: WorldModelDataset) -> None:
    data = loader(dataset, shuffle=False, bucket_batching=False)
    assert rows_of(iter(data)) == list(range(400))


@pytest.mark.parametrize(
    "changed",
    [
        {"batch_size": 8},
        {"window": 99},
        {"shuffle": False},
        {"apply_masking": False},
        {"seed": 1},
        {"purchase_history": 2},
    ],
    ids=str,
)
def test_the_state_of_other_settings_is_refused(dataset: WorldModelDataset, changed: dict[str, object]) -> None:
    state = loader(dataset).state_dict()
    with pytest.raises(OtherFingerprint, match="begin anew"):
        loader(dataset, **changed).load_state_dict(state)


def test_the_state_of_another_cache_is_refused(dataset: WorldModelDataset, tmp_path: Path) -> None:
    other = WorldModelDataset(write_small_cache(tmp_path, seed=1))
    with pytest.raises(OtherFingerprint, match="another tensor cache"):
        loader(other).load_state_dict(loader(dataset).state_dict())


def test_the_state_serves_any_number_of_ranks(dataset: WorldModelDataset) -> None:
    loader(dataset, rank=1, world_size=4).load_state_dict(loader(dataset).state_dict())


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 500])
def test_len_is_the_number_of_batches(folder: Path, split: str, batch_size: int) -> None:
    data = loader(WorldModelDataset(folder, split), batch_size=batch_size)
    assert len(data) == sum(1 for _ in data) == sum(1 for _ in data.indices())


@pytest.mark.parametrize("changed", [{"rank": 2, "world_size": 2}, {"batch_size": 0}, {"window": 0}])
def test_impossible_settings_are_refused(dataset: WorldModelDataset, changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        loader(dataset, **changed)
