"""The reader of a tensor cache: what it looks up, and what it refuses, wherever the cache lies."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from platform_assets.core.folders import fetch_folder, files_of
from platform_assets.core.lake import Address, Lake, Lineage
from platform_assets.world_model import cache_files, cache_leaks, cache_pictures, cache_quality
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.tensor_cache import TensorCache, TensorCacheError
from platform_assets_tests.world_model.small_cache import write_small_cache

ADDRESS = Address("world_model/tensor_cache", "2007-01-08")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("small") / "cache")


@pytest.fixture(scope="module")
def cache(folder: Path) -> TensorCache:
    return TensorCache(folder, verify=True)


def test_ids_become_indices_and_unknown_ones_have_a_row_of_their_own(cache: TensorCache) -> None:
    assert cache.product_id_to_idx("PRD0000001") == layout.FIRST_PRODUCT
    assert cache.product_id_to_idx("PRD0000050") == cache.tokens - 1
    assert cache.product_id_to_idx("PRD9999999") == layout.UNK
    assert (cache.customer_id_to_idx("CUST0000000001"), cache.customer_id_to_idx("CUST0000000020")) == (1, 20)
    assert [cache.customer_id_to_idx(each) for each in ("CUST9", "", None)] == [layout.NOBODY] * 3
    assert (cache.store_id_to_idx("STORE00001"), cache.store_id_to_idx("STORE9")) == (1, layout.NOBODY)
    assert cache.product_ids[:4] == ("PAD", "UNK", "MASK", "PRD0000001")
    assert all(cache.product_id_to_idx(code) == token for token, code in enumerate(cache.product_ids) if token > 2)
    assert cache.segment_values["seg_1"] == ("AZ", "BG", "CT", "DI")
    assert {level: len(groups) for level, groups in cache.product_groups.items()} == dict.fromkeys(
        layout.PRODUCT_GROUPS, 50
    )


def test_a_vector_by_id_is_the_row_of_its_table(cache: TensorCache) -> None:
    products, stores = cache.table("product_embeddings"), cache.table("store_features")
    assert np.array_equal(cache.get_product_embedding("PRD0000004"), products[6])
    assert np.array_equal(cache.get_store_embedding("STORE00002"), stores[2])
    for vector, size in (
        (cache.get_product_embedding("PRD9999999"), 256),
        (cache.get_store_embedding("STORE9"), 96),
        (cache.get_customer_embedding(None)[0], 160),
        (cache.get_customer_embedding("CUST9", week=3)[1], 160),
    ):
        assert (vector.shape, vector.dtype, bool(vector.any())) == ((size,), np.float32, False)


def test_vectors_of_a_batch_come_in_its_order_and_with_its_repetitions(cache: TensorCache) -> None:
    tokens, stores = [5, 1, 5, 0, 52], [2, 0, 2]
    assert np.array_equal(cache.get_product_embeddings_batch(tokens), cache.table("product_embeddings")[tokens])
    assert np.array_equal(cache.get_store_embeddings_batch(np.array(stores)), cache.table("store_features")[stores])
    assert np.array_equal(cache.get_prices_batch(tokens, week=7), cache.table("prices")[7][tokens])
    newest, static = cache.get_customer_embeddings_batch([3, 0, 3], week=9)
    assert newest.shape == static.shape == (3, 160)
    assert cache.get_product_embeddings_batch([]).shape == (0, 256)


def test_a_customer_is_as_of_the_block_before_the_week_and_as_of_the_end_of_train(cache: TensorCache) -> None:
    snapshots = cache.table("customer_snapshots").astype(np.float32)
    for week, block in ((0, 0), (3, 0), (4, 1), (39, 9), (None, 9)):
        newest, static = cache.get_customer_embedding("CUST0000000002", week)
        assert np.array_equal(newest, snapshots[block, 2])
        assert np.array_equal(static, snapshots[0, 2]), (
            "three train weeks: nothing is known before the first block ends"
        )


def test_an_index_or_a_name_that_is_not_there_is_refused_by_its_limits(cache: TensorCache) -> None:
    for call, message in (
        (lambda: cache.get_product_embeddings_batch([53]), "token indices go from 0 to 52, not 53 to 53"),
        (lambda: cache.get_product_embeddings_batch([4, -1]), "token indices go from 0 to 52, not -1 to 4"),
        (lambda: cache.get_customer_embeddings_batch([21]), "customer indices go from 0 to 20"),
        (lambda: cache.get_store_embeddings_batch(6), "store indices go from 0 to 5"),
        (lambda: cache.get_customer_embedding(None, week=40), "week is an index from 0 to 39, not 40"),
        (lambda: cache.get_prices_batch([3], week=-1), "week is an index from 0 to 39, not -1"),
        (lambda: cache.split("training"), "split is one of train, validation, test, not 'training'"),
        (lambda: cache.table("price"), "table is one of product_embeddings, .*, not 'price'"),
    ):
        with pytest.raises(TensorCacheError, match=message):
            call()


def test_splits_are_mapped_and_not_loaded(cache: TensorCache) -> None:
    for name, count in (("train", 400), ("validation", 80), ("test", 120)):
        split = cache.split(name)
        assert len(split) == count == len(split.lengths) == pq.read_metadata(cache.samples_path(name)).num_rows
        assert split.lengths.sum() == len(split.items)
        assert all(isinstance(getattr(split, array), np.memmap) for array in layout.SPLIT_ARRAYS)
        assert not split.items.flags.writeable


def test_the_small_cache_of_the_tests_passes_the_checks_of_a_real_one(folder: Path, tmp_path: Path) -> None:
    tiny = write_small_cache(
        tmp_path / "tiny", 3, baskets=(5, 0, 3), products=7, customers=2, stores=1, weeks=38, longest=9
    )
    for each in (folder, tiny):
        assert cache_quality.arrays_whole(each).passed
        outcome = cache_leaks.no_leak(TensorCache(each))
        assert outcome.passed, outcome.reason


def test_the_pictures_are_pictures(cache: TensorCache) -> None:
    for picture in (cache_pictures.baskets_by_week(cache), cache_pictures.baskets_by_length(cache)):
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 3_000


def test_published_copied_and_fetched_folders_open_alike(folder: Path, tmp_path: Path, cache: TensorCache) -> None:
    lake = Lake(tmp_path / "lake")
    revision = lake.publish_files(ADDRESS, files_of(folder), Lineage()).revision
    copied = shutil.copytree(folder, tmp_path / "copied")
    fetched = fetch_folder(lake, revision, tmp_path / "fetched" / "cache")
    for each in (tmp_path / "lake" / ADDRESS.path, copied, str(fetched)):
        opened = TensorCache(each, verify=True)
        assert opened.fingerprint == cache.fingerprint
        assert np.array_equal(opened.split("test").items, cache.split("test").items)
        assert np.array_equal(opened.table("prices"), cache.table("prices"))
        assert opened.samples_path("test").is_file()


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_truncated_array_is_refused_by_its_sizes(copy: Path) -> None:
    path = copy / "train" / "items.npy"
    os.truncate(path, path.stat().st_size - 2)
    with pytest.raises(
        TensorCacheError, match=r"items\.npy has [\d,]+ bytes of [\d,]+: it is a copy: copy it again, or fetch it again"
    ):
        TensorCache(copy)


def test_what_is_not_whole_in_a_lake_is_to_be_removed_from_its_revision_folder_and_what_is_lost_made_again(
    folder: Path, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    revision = lake.publish_files(ADDRESS, files_of(folder), Lineage()).revision
    published = tmp_path / "lake" / ADDRESS.path
    linked = fetch_folder(lake, revision, tmp_path / "step" / "cache")
    path = published / revision.file("train/items.npy").path
    os.truncate(path, path.stat().st_size - 2)
    kept = published / "revisions" / revision.digest
    assert path.is_relative_to(kept)
    for opened in (published, linked):
        with pytest.raises(TensorCacheError) as caught:
            TensorCache(opened)
        assert str(caught.value).endswith(
            f"remove this file, which lies in the lake's revision folder {kept}, then materialise world_model/tensor_cache of "
            f"{ADDRESS.partition} again; one that is there in its full size is not written again"
        )

    # And so it is: altered in its full size and left in place it stays as it is, removed it comes back.
    path.write_bytes((folder / "train" / "items.npy").read_bytes()[:-1] + b"?")
    lake.publish_files(ADDRESS, files_of(folder), Lineage())
    with pytest.raises(TensorCacheError, match="has other bytes than were written: remove this file"):
        TensorCache(published, verify=True)
    path.unlink()
    with pytest.raises(
        TensorCacheError, match=rf"items.npy is missing: it belongs to .*{revision.digest}: materialise"
    ):
        TensorCache(published)
    lake.publish_files(ADDRESS, files_of(folder), Lineage())
    assert TensorCache(published, verify=True).fingerprint == TensorCache(folder).fingerprint


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'", b"no array"])
def test_a_file_of_the_right_size_that_is_no_array_is_refused_when_it_is_read(copy: Path, content: bytes) -> None:
    path = copy / "prices.npy"
    path.write_bytes(content.ljust(path.stat().st_size, b" "))
    with pytest.raises(
        TensorCacheError, match=r"prices\.npy cannot be read .*: it is a copy: copy it again, or fetch it again"
    ):
        TensorCache(copy).table("prices")


@pytest.mark.parametrize("name", ["prices.npy", "test/labels.npy", "train_samples.parquet"])
def test_a_missing_file_is_refused_by_its_name(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(TensorCacheError, match=f"{name} is missing"):
        TensorCache(copy)


@pytest.mark.parametrize("name", [layout.CACHE, layout.VOCABULARY])
def test_a_folder_without_its_documents_is_no_cache(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(TensorCacheError, match=f"{name}( is missing|: it is no tensor cache)"):
        TensorCache(copy)
    with pytest.raises(TensorCacheError, match=r"has no cache\.json: it is no tensor cache"):
        TensorCache(copy / "nowhere")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 1}', '{"version": 1, "files": 3, "weeks": []}'])
def test_a_document_that_is_none_is_refused(copy: Path, text: str) -> None:
    (copy / layout.CACHE).write_text(text)
    with pytest.raises(TensorCacheError, match=r"copy it again|materialise world_model/tensor_cache again"):
        TensorCache(copy)


def test_a_foreign_version_is_refused(copy: Path) -> None:
    document = json.loads((copy / layout.CACHE).read_text())
    (copy / layout.CACHE).write_text(json.dumps({**document, "version": 2}))
    with pytest.raises(TensorCacheError, match="has version 2 of a tensor cache, this code reads 1"):
        TensorCache(copy)


def test_changed_bytes_are_found_when_asked_for(copy: Path) -> None:
    path = copy / "purchases.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    TensorCache(copy)
    with pytest.raises(TensorCacheError, match=r"purchases\.npy has other bytes than were written"):
        TensorCache(copy, verify=True)


def test_the_fingerprint_is_of_every_byte(cache: TensorCache, tmp_path: Path) -> None:
    again = TensorCache(write_small_cache(tmp_path / "again"))
    other = TensorCache(write_small_cache(tmp_path / "other", seed=1))
    assert again.fingerprint == cache.fingerprint != other.fingerprint


def test_a_value_that_its_type_does_not_hold_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"hour has values that uint8 does not hold: 3 to 300"):
        cache_files.save(tmp_path, "hour", np.array([3, 300]), layout.SPLIT_ARRAYS["hour"])


def test_an_array_without_elements_is_a_file_like_any_other(tmp_path: Path) -> None:
    cache_files.create(tmp_path, "none.npy", "uint16", (0,))
    assert np.load(tmp_path / "none.npy").shape == (0,)
