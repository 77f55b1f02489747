"""A training loader of the small cache, with batches and windows so small that an epoch has every kind of edge."""

from __future__ import annotations

from pathlib import Path

import pytest

from platform_assets.world_model.batch import WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import WorldModelDataLoader
from platform_assets_tests.world_model import small_cache

# 400 train baskets in batches of 16: windows of 6 batches, 25 batches in all, the last window of one.
SMALL = {"batch_size": 16, "window": 100}
folder = small_cache.folder


@pytest.fixture(scope="module")
def dataset(folder: Path) -> WorldModelDataset:
    """The small cache's train baskets."""
    return WorldModelDataset(folder)


def loader(dataset: WorldModelDataset, **changed: object) -> WorldModelDataLoader:
    return WorldModelDataLoader(dataset, **SMALL | changed)  # type: ignore[arg-type]


def own(batch: WorldModelBatch) -> list[list[tuple[int, float]]]:
    """Each basket's history."""
    indices = batch.indices
    found: list[list[tuple[int, float]]] = [[] for _ in range(len(batch))]
    for token, row, days in zip(indices.own_tokens, indices.own_rows, indices.own_days, strict=True):
        found[int(row)].append((int(token), float(days)))
    return found
