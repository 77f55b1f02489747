"""What is known of a store from train weeks: format, region, how it is shopped in, and what it sells.

The vector of T5. Nothing of a store is read from validation or test weeks, and a store that train does not have has no
vector of its own: it shares row 0, which is zero. Who the customers are does not belong here.

S stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model import singular_vectors
from platform_assets.world_model.extraction import SQL

CODE_VERSION = transform.code_version(
    SQL / "store_features.sql", *(Path(str(each)) for each in (__file__, singular_vectors.__file__))
)
STORES, FEATURES = "stores.parquet", "store_features.npy"
HABITS = (
    *(f"hour {hour}" for hour in range(8, 23)),
    *(f"weekday {day}" for day in range(1, 8)),
    *(f"size {size}" for size in ("S", "M", "L")),
    *(f"type {name}" for name in ("Small Shop", "Top Up", "Full Shop", "other")),
)
OPERATIONAL = ("log baskets a week", "products a basket", "spend a basket", *HABITS)
"""Names of the operational columns; habits are shares of the store's baskets."""
FORMAT_WIDTH = REGION_WIDTH = 24
IDENTITY_WIDTH = 16
WIDTH = FORMAT_WIDTH + REGION_WIDTH + len(OPERATIONAL) + IDENTITY_WIDTH


def build_store_features(
    engine: Engine, baskets: Mapping[str, Path], transactions: Mapping[str, Path], folder: Path
) -> dict[str, Path]:
    """File name -> path of the stores and their features. Both inputs are the train weeks, oldest first.

    Raises ValueError when no week has a basket.
    """
    tables = {name: folder / f"{name}_of_train.parquet" for name in ("stores", "habits", "assortment")}
    inputs = {"baskets": list(baskets.values()), "transactions": list(transactions.values())}
    engine.run(transform.load(SQL / "store_features.sql"), inputs, tables)
    stores, habits, assortment = (pq.read_table(path) for path in tables.values())
    if not stores.num_rows:
        raise ValueError(
            f"no store in the {len(baskets)} train weeks: all are empty; check PLATFORM_RETAIL_SOURCE and its weeks"
        )
    features = np.hstack(
        [
            one_hot(stores["store_format"].to_pylist(), FORMAT_WIDTH),
            one_hot(stores["store_region"].to_pylist(), REGION_WIDTH),
            standardise(_operational(stores, habits)),
            identity(_counts(stores, assortment, "prod_code_10", "purchases")),
        ]
    )
    paths = {name: folder / name for name in (STORES, FEATURES)}
    pq.write_table(_with_numbers(stores), paths[STORES])
    np.save(paths[FEATURES], np.pad(features, ((1, 0), (0, 0))).astype(np.float32))
    return paths


def one_hot(values: Sequence[str | None], width: int) -> np.ndarray:
    """(S, width): a column a value, sorted; values that do not fit share the last one. An unknown value is a row of zeros."""
    columns = {
        value: min(place, width - 1)
        for place, value in enumerate(sorted({value for value in values if value is not None}))
    }
    found = np.zeros((len(values), width))
    for row, value in enumerate(values):
        if value is not None:
            found[row, columns[value]] = 1
    return found


def standardise(columns: np.ndarray) -> np.ndarray:
    """Every column with mean 0 and standard deviation 1 over the stores; 0 where all stores are alike."""
    deviation = columns.std(axis=0)
    alike = deviation <= 1e-9 * (1 + np.abs(columns).max(axis=0))  # of equal values rounding leaves a little
    return np.where(alike, 0.0, (columns - columns.mean(axis=0)) / np.where(alike, 1.0, deviation))


def identity(purchases: np.ndarray) -> np.ndarray:
    """(S, 16): a store's shares of purchases by category, less all stores' shares, in the dimensions that tell most.

    `purchases` (S, categories) are counts. Less all stores' shares, because they would be the first dimension, alike for every
    store. Scaled so that rows are 1 long on average, or they would be tenths beside columns of deviation 1.
    """
    shares = purchases / np.maximum(purchases.sum(axis=1, keepdims=True), 1)
    of_all = purchases.sum(axis=0) / max(purchases.sum(), 1)
    return singular_vectors.unit_mean_norm(singular_vectors.of_rows(shares - of_all, IDENTITY_WIDTH))


def _operational(stores: pa.Table, habits: pa.Table) -> np.ndarray:
    """(S, 32) as OPERATIONAL names them. A week counts for a store that had a basket in it."""
    baskets, weeks, products, spend = (stores[name].to_numpy() for name in ("baskets", "weeks", "products", "spend"))
    shares = _counts(stores, habits, "habit", "baskets", HABITS) / baskets[:, None]
    return np.column_stack([np.log(baskets / weeks), products / baskets, spend / baskets, shares])


def _counts(
    stores: pa.Table, table: pa.Table, column: str, counted: str, names: Sequence[str] | None = None
) -> np.ndarray:
    """(S, names) of a long table of counts by store; `names` are all values of the column when left out."""
    rows = {code: row for row, code in enumerate(stores["store_code"].to_pylist())}
    places = {name: place for place, name in enumerate(names or sorted(set(table[column].to_pylist())))}
    found = np.zeros((len(rows), len(places)))
    for code, name, count in zip(*(table[each].to_pylist() for each in ("store_code", column, counted)), strict=True):
        if name in places:
            found[rows[code], places[name]] += count
    return found


def _with_numbers(stores: pa.Table) -> pa.Table:
    numbered = stores.select(["store_code", "store_format", "store_region", "baskets"])
    return numbered.add_column(0, "store", pa.array(np.arange(1, stores.num_rows + 1, dtype=np.int32)))
