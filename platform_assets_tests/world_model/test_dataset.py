"""The dataset: where it finds its cache, single baskets, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import EvaluationDataLoader, WorldModelDataLoader
from platform_assets.world_model.tensor_cache import TensorCacheError
from platform_assets.world_model.tensor_layout import LABELS
from platform_assets_tests.world_model import slow_encoder
from platform_assets_tests.world_model.small_cache import write_small_cache


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("below", [".", "tensor_cache", "data/tensor_cache"])
def test_the_cache_is_found_where_it_is_documented_to_be(folder: Path, tmp_path: Path, below: str) -> None:
    shutil.copytree(folder, tmp_path / below, dirs_exist_ok=True)
    assert len(WorldModelDataset(tmp_path)) == 400


def test_a_published_cache_opens_as_a_copied_one_does(folder: Path, tmp_path: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    entries = []
    for number, path in enumerate(files):
        shutil.copy(path, tmp_path / f"{number}.bin")
        entries.append({"name": str(path.relative_to(folder)), "path": f"{number}.bin"})
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}))
    published, copied = WorldModelDataset(tmp_path), WorldModelDataset(folder)
    assert published.cache.fingerprint == copied.cache.fingerprint
    assert torch.equal(published[7].get_sequence_features(), copied[7].get_sequence_features())


def test_a_folder_without_a_cache_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(TensorCacheError, match="give the folder that world_model/tensor_cache published"):
        WorldModelDataset(tmp_path)


@pytest.mark.parametrize(("split", "baskets"), [("train", 400), ("validation", 80), ("test", 120)])
def test_every_basket_is_there_with_nothing_hidden(folder: Path, split: str, baskets: int) -> None:
    dataset = WorldModelDataset(folder, split, max_seq_len=20)
    assert len(dataset) == baskets
    for row in (0, 5, baskets - 1, -1):
        batch = dataset[row]
        start, end = dataset.arrays.offsets[row % baskets : row % baskets + 2]
        assert batch.indices.tokens[0].tolist() == dataset.arrays.items[start : min(end, start + 20)].tolist()
        assert batch.indices.rows.tolist() == [row % baskets]
        assert batch.masked_targets.numel() == batch.masked_positions.numel() == batch.global_targets == 0
        assert batch.attention_mask.all()
        expected = slow_encoder.sequence(dataset.cache, batch.indices)
        np.testing.assert_allclose(batch.get_sequence_features().numpy(), expected, atol=2e-5)


def test_the_longest_baskets_are_cut_to_the_longest_sequence(folder: Path) -> None:
    dataset = WorldModelDataset(folder)
    longest = int(np.argmax(dataset.arrays.lengths))
    assert dataset.arrays.lengths[longest] == 60
    assert dataset[longest].product_embeddings.shape == (1, 50, 256)


def test_documented_shapes(folder: Path) -> None:
    batch = WorldModelDataset(folder)[3]
    items = batch.indices.tokens.shape[1]
    shapes = {
        "customer_context": (1, 192), "product_embeddings": (1, items, 256), "temporal_context": (1, 64),
        "price_features": (1, items, 64), "store_context": (1, 96), "trip_context": (1, 48), "attention_mask": (1, items),
    }  # fmt: skip
    assert {name: tuple(getattr(batch, name).shape) for name in shapes} == shapes
    assert batch.get_dense_context().shape == (1, 400)
    assert batch.get_sequence_features().shape == (1, items, 320)
    assert list(batch.auxiliary_labels) == list(LABELS)
    assert batch.attention_mask.dtype == torch.bool


@pytest.mark.parametrize("row", [400, -401])
def test_a_basket_beyond_the_end_is_an_index_error(folder: Path, row: int) -> None:
    with pytest.raises(IndexError, match="400 baskets"):
        WorldModelDataset(folder)[row]


def test_without_transactions_there_are_columns_but_no_batches(folder: Path) -> None:
    dataset = WorldModelDataset(folder, load_transactions=False)
    assert len(dataset) == len(dataset.arrays.customer) == 400
    assert len(dataset.arrays.items) == 0
    for make in (WorldModelDataLoader, EvaluationDataLoader, lambda each: each[0]):
        with pytest.raises(ValueError, match="load_transactions=True"):
            make(dataset)


@pytest.mark.parametrize("changed", [{"max_seq_len": 0}, {"mask_prob": 1.5}, {"split": "tests"}])
def test_settings_out_of_range_are_refused(folder: Path, changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be|is one of"):
        WorldModelDataset(folder, **changed)  # type: ignore[arg-type]
