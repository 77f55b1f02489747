"""Published files that do not belong together make no tensor cache: each is refused by its name, and with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.world_model import cache_arrays, cache_items
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_inputs import CacheInputError
from platform_assets_tests.world_model.cache_world import WEEKS, build, some_baskets, write_inputs


def changed_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: changed_table(folder / WEEKS[0] / "transactions.parquet", lambda table: table.slice(1)),
            f"transactions and baskets of {WEEKS[0]} are not of the same rows",
        ),
        (
            lambda folder: changed_table(folder / "customer_features/customers.parquet", lambda table: table.slice(0, 3)),
            "customer_snapshots.npy is float16|is not in customers.parquet",
        ),
        (
            lambda folder: changed_table(folder / "product_embeddings/products.parquet", lambda table: table.slice(1)),
            "products.parquet does not count token from 3",
        ),
        (
            lambda folder: changed_table(folder / "store_features/stores.parquet", lambda t: t.drop_columns("store_code")),
            "stores.parquet lacks the columns store_code: materialise world_model/store_features",
        ),
        (
            lambda folder: np.save(folder / "product_embeddings/co_purchase.npy", np.zeros((3, 3), np.float16)),
            r"co_purchase.npy is float16 \(3, 3\), the cache needs float16 \(11, 11\)",
        ),
        (
            lambda folder: changed_table(
                folder / "prices/prices.parquet",
                lambda table: table.set_column(1, "week_index", pa.array([1] * len(table), pa.int32())),
            ),
            "prices.parquet counts other weeks",
        ),
    ],
)  # fmt: skip
def test_inputs_that_do_not_belong_together_are_refused_by_name(tmp_path: Path, damage, message: str) -> None:
    inputs = write_inputs(tmp_path / "inputs", some_baskets(60))
    damage(tmp_path / "inputs")
    with pytest.raises(CacheInputError, match=message):
        build(tmp_path, inputs)
    assert not (tmp_path / "cache" / layout.CACHE).exists(), "no cache is left that could be taken for one"


def test_a_split_needs_every_week(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path / "inputs", some_baskets(60))
    lacking = {week: path for week, path in inputs.baskets.items() if week != WEEKS[4]}
    with pytest.raises(ValueError, match=f"no baskets of {WEEKS[4]}"):
        build(tmp_path, replace(inputs, baskets=lacking))


def test_samples_in_another_order_or_of_other_baskets_are_refused(tmp_path: Path) -> None:
    for name, ids in (("a", [5, 3]), ("b", []), ("c", [9])):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "basket_id.npy", np.array(ids, np.int64))
    weeks = [tmp_path / name for name in "abc"]

    def count(*ids: int) -> int:
        pq.write_table(pa.table({"basket_id": pa.array(ids, pa.int64())}), tmp_path / "samples.parquet")
        return cache_arrays.require_same_order("train", tmp_path / "samples.parquet", weeks)

    assert count(5, 3, 9) == 3
    for ids, message in (
        ((3, 5, 9), "not its weeks' baskets in the order of visits"),
        ((5, 3, 9, 1), "not its weeks' baskets in the order of visits"),
        ((5, 3), "end before its weeks' baskets do"),
        ((), "end before its weeks' baskets do"),
    ):
        with pytest.raises(CacheInputError, match=message):
            count(*ids)


def test_days_are_counted_from_the_first_week() -> None:
    dates = pa.chunked_array([pa.array([date(2006, 4, 10), date(2008, 7, 6)])])
    assert cache_items.days_since(date(2006, 4, 10), dates).tolist() == [0, 818]
