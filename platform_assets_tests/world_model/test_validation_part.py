"""Which validation baskets are looked at after every epoch: those with the lowest hashes, whole, in any order of the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import WorldModelDataLoader
from platform_assets.world_model.tensor_cache import SplitArrays
from platform_assets.world_model.validation_part import SEED, part_of
from platform_assets_tests.world_model.small_cache import write_small_cache

MASK = 2**64 - 1


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> WorldModelDataset:
    folder = write_small_cache(tmp_path_factory.mktemp("cache"), baskets=(60, 90, 5), longest=12)
    return WorldModelDataset(folder, "validation")


def slow_hash(value: int) -> int:
    """SplitMix64's step, in Python's own numbers."""
    mixed = (value + 0x9E3779B97F4A7C15) & MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
    return mixed ^ (mixed >> 31)


def baskets(arrays: SplitArrays) -> dict[int, dict[str, list]]:
    """Basket id -> everything that is known of it."""
    columns = [name for name in layout.SPLIT_ARRAYS if name not in ("offsets", "items")]
    return {
        int(arrays.basket_id[row]): {
            "items": arrays.items[arrays.offsets[row] : arrays.offsets[row + 1]].tolist(),
            **{name: np.asarray(getattr(arrays, name)[row]).tolist() for name in columns},
        }
        for row in range(len(arrays))
    }


@given(count=st.integers(1, 89))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_lowest_hashes_are_taken_with_all_that_belongs_to_them(dataset: WorldModelDataset, count: int) -> None:
    part = part_of(dataset, count)
    known = baskets(dataset.arrays)
    expected = sorted(known, key=lambda each: slow_hash(each ^ slow_hash(SEED)))[:count]
    assert baskets(part.arrays) == {each: known[each] for each in expected}
    assert len(part) == count
    order = {each: place for place, each in enumerate(dataset.arrays.basket_id.tolist())}
    places = [order[each] for each in part.arrays.basket_id.tolist()]
    assert places == sorted(places), "in the split's order, which is random"
    dtypes = {name: getattr(dataset.arrays, name).dtype for name in layout.SPLIT_ARRAYS}
    assert {name: getattr(part.arrays, name).dtype for name in layout.SPLIT_ARRAYS} == dtypes


@pytest.mark.parametrize("count", [0, 90, 91])
def test_all_of_them_are_the_split_itself(dataset: WorldModelDataset, count: int) -> None:
    assert part_of(dataset, count) is dataset


def test_a_cache_in_another_order_gives_the_same_baskets(dataset: WorldModelDataset) -> None:
    turned = WorldModelDataset(dataset.cache.folder, "validation")
    # Every basket but the first few: a part again, whose order is then reversed.
    rows = np.arange(len(dataset))[::-1]
    arrays = dataset.arrays
    lengths = arrays.lengths[rows]
    items = np.concatenate([arrays.items[arrays.offsets[row] : arrays.offsets[row + 1]] for row in rows])
    columns = {name: getattr(arrays, name)[rows] for name in layout.SPLIT_ARRAYS if name not in ("offsets", "items")}
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    turned.arrays = replace(arrays, items=items, offsets=offsets, **columns)
    assert baskets(part_of(turned, 17).arrays) == baskets(part_of(dataset, 17).arrays)


@pytest.mark.parametrize("ranks", [1, 2])
def test_all_ranks_together_see_the_part_once_and_the_same_in_every_epoch(
    dataset: WorldModelDataset, ranks: int
) -> None:
    part = part_of(dataset, 50)
    seen = [
        [
            (batch.indices.rows.tolist(), batch.indices.tokens.tolist())
            for rank in range(ranks)
            for batch in WorldModelDataLoader(part, 8, False, seed=1, rank=rank, world_size=ranks).epoch_batches(epoch)
        ]
        for epoch in (0, 1)
    ]
    assert seen[0] == seen[1]
    assert sorted(row for rows, _ in seen[0] for row in rows) == list(range(50))


def test_the_split_itself_is_left_as_it_is(dataset: WorldModelDataset, tmp_path: Path) -> None:
    before = baskets(dataset.arrays)
    part_of(dataset, 10)
    assert len(dataset) == 90
    assert baskets(dataset.arrays) == before
