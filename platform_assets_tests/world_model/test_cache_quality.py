"""Each damages a good tensor cache or its sample index; the check that watches it fails, and says so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.world_model import cache_quality, samples
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model.cache_world import SPLIT, WEEKS, Basket, build, some_baskets, write_inputs
from platform_assets_tests.world_model.damaged_cache import damaged, overwrite


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[CacheInputs, Path]:
    folder = tmp_path_factory.mktemp("world")
    inputs = write_inputs(folder / "inputs", some_baskets())
    return inputs, build(folder, inputs)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("test/items", lambda a: a * 0, "an item is PAD"),
        ("test/items", lambda a: a + 60, "items goes up to"),
        ("validation/labels", lambda a: a + 4, "labels goes up to"),
        ("train/hour", lambda a: a + 20, "hour goes up to"),
        ("train/offsets", lambda a: np.append(a[:-1], a[-1] - 1), "offsets do not cut"),
        ("train/offsets", lambda a: np.concatenate([a[:1], a[:1], a[2:]]), "offsets do not cut"),
        ("store_features", lambda a: a[:, :3], r"store_features.npy is float32 \(3, 3\), not float32 \(3, 96\)"),
        ("test/day", lambda a: a[1:], "test/day.npy is int16"),
    ],
)
def test_an_array_that_is_not_as_the_layout_says_fails_the_check(world, tmp_path, name, change, reason) -> None:
    folder = damaged(world, tmp_path / "copy", name, change).folder
    outcome = cache_quality.arrays_whole(folder)
    assert not outcome.passed
    assert re.search(reason, outcome.reason), outcome.reason


def test_bytes_that_changed_fail_the_check(world, tmp_path: Path) -> None:
    copy = shutil.copytree(world[1], tmp_path / "copy")
    overwrite(copy, "prices", lambda prices: prices + 1)
    outcome = cache_quality.arrays_whole(copy)
    assert not outcome.passed
    assert "prices.npy has other bytes than were written" in outcome.reason


def test_items_that_are_not_the_rows_fail_the_check(world, tmp_path: Path) -> None:
    inputs, folder = world
    more = write_inputs(tmp_path / "more", [*some_baskets(), Basket(5, 7 * 25, 9, None, "x", ("PRD01", "PRD02"))])
    outcome = cache_quality.counts_reconcile(TensorCache(folder), more.transactions)
    assert not outcome.passed
    assert f"'{WEEKS[25]}'" in outcome.reason
    moved = damaged(world, tmp_path / "copy", "train/week", lambda weeks: weeks + 1)
    assert f"'{WEEKS[0]}': '0 items of" in cache_quality.counts_reconcile(moved, inputs.transactions).reason


def test_samples_that_lost_or_repeat_a_basket_fail_their_checks(world, tmp_path: Path) -> None:
    inputs, folder = world
    cache, engine = TensorCache(folder), Engine(tmp_path / "spill", threads=1)
    files = {name: cache.samples_path(name) for name in layout.SPLITS}
    assert samples.samples_reconcile(engine, files, inputs.baskets, SPLIT).passed
    assert samples.one_split_per_basket(engine, files).passed
    table = pq.read_table(files["test"])
    pq.write_table(pa.concat_tables([table.slice(1), table.slice(1, 1)]), tmp_path / "twice.parquet")
    assert not samples.one_split_per_basket(engine, {**files, "test": tmp_path / "twice.parquet"}).passed
    pq.write_table(table.slice(1), tmp_path / "less.parquet")
    assert not samples.samples_reconcile(
        engine, {**files, "test": tmp_path / "less.parquet"}, inputs.baskets, SPLIT
    ).passed
