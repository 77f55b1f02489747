"""What a tensor cache is built from: the weekly files, and the tables of the features, read into vocabulary and tables.

Features are taken over as they were published: here they are only held to the layout, and a folder that does not fit says which
asset to materialise again. How the baskets become arrays does not belong here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import cache_files
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_files import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

# Tables that are taken over byte by byte -> the feature that has them.
COPIED = {
    "product_embeddings": "product_embeddings",
    "co_purchase": "product_embeddings",
    "customer_snapshots": "customer_features",
    "store_features": "store_features",
}
MOST_INDICES = np.iinfo(np.uint16).max


class CacheInputError(ValueError):
    """Inputs that do not belong together or do not fit the layout; the message says what to materialise again."""


@dataclass(frozen=True)
class CacheInputs:
    """Local files: the published ones of every week of the split, oldest first, and a folder for each feature."""

    transactions: Mapping[str, Path]
    baskets: Mapping[str, Path]
    product_embeddings: Path
    customer_features: Path
    store_features: Path
    prices: Path


def read_vocabulary(inputs: CacheInputs) -> Vocabulary:
    """Codes by their indices, as the features count them. Raises CacheInputError for one that counts otherwise."""
    columns = ("prod_code", *layout.PRODUCT_GROUPS)
    products = _numbered(inputs.product_embeddings / "products.parquet", "token", layout.FIRST_PRODUCT, columns)
    customers = _numbered(inputs.customer_features / "customers.parquet", "customer", 1, ("cust_code",))
    stores = _numbered(inputs.store_features / "stores.parquet", "store", 1, ("store_code",))
    segments = json.loads((inputs.customer_features / "segments.json").read_text(encoding="utf-8"))
    codes = products.pop("prod_code"), customers["cust_code"], stores["store_code"]
    vocabulary = Vocabulary(*codes, {name: segments[name] for name in layout.SEGMENTS}, products)
    for count, what in ((vocabulary.tokens, "products"), (len(vocabulary.stores) + 1, "stores")):
        if count > MOST_INDICES:
            raise CacheInputError(
                f"{count:,} {what} are more than an index of 16 bits can tell apart: give the rarest one code in the raw files"
            )
    return vocabulary


def write_tables(inputs: CacheInputs, vocabulary: Vocabulary, weeks: Sequence[str], folder: Path) -> None:
    """The tables that come from features: all but the customers' purchases."""
    sizes = vocabulary_sizes(vocabulary, len(weeks))
    for name, feature in COPIED.items():
        source = getattr(inputs, feature) / layout.table_file(name)
        _require_array(source, layout.TABLES[name], sizes, feature)
        shutil.copyfile(source, folder / layout.table_file(name))
    counts = _columns(inputs.product_embeddings / "products.parquet", ("baskets",))["baskets"].to_numpy()
    tables = {
        "product_baskets": np.concatenate([np.zeros(layout.FIRST_PRODUCT, np.int64), counts]),
        "prices": read_prices(inputs.prices / "prices.parquet", vocabulary, weeks),
    }
    for name, array in tables.items():
        cache_files.save(folder, layout.table_file(name), array, layout.TABLES[name])


def vocabulary_sizes(vocabulary: Vocabulary, weeks: int) -> dict[str, int]:
    """What the layout's letters stand for, as far as features decide it."""
    return {
        "P": vocabulary.tokens, "N": len(vocabulary.products), "C": len(vocabulary.customers),
        "S": len(vocabulary.stores), "W": weeks, "K": layout.snapshots_of(weeks),
    }  # fmt: skip


def read_prices(path: Path, vocabulary: Vocabulary, weeks: Sequence[str]) -> NDArray[np.float32]:
    """[W, P, 4]; 0 where a product has no price yet. Products that train weeks do not have are left out."""
    found = _columns(path, ("week", "week_index", "prod_code", *layout.PRICES))
    week, token = found["week_index"].to_numpy(), product_tokens(found["prod_code"], vocabulary.products)
    named = found["week"].to_pylist()
    if any(not 0 <= index < len(weeks) or weeks[index] != key for index, key in zip(week, named, strict=True)):
        raise CacheInputError(f"{path} counts other weeks than {weeks[0]} to {weeks[-1]}: {_again('prices')}")
    prices = np.zeros((len(weeks), vocabulary.tokens, len(layout.PRICES)), np.float32)
    known = token >= layout.FIRST_PRODUCT
    for place, name in enumerate(layout.PRICES):
        prices[week[known], token[known], place] = found[name].fill_null(0).to_numpy()[known]
    if not np.isfinite(prices).all() or prices.min(initial=0) < 0:
        raise CacheInputError(f"{path} has prices that are no amount of money: {_again('prices')}")
    return prices


def product_tokens(codes: pa.ChunkedArray, products: Sequence[str]) -> NDArray[np.int64]:
    """The token of each code; UNK for a product that train weeks do not have."""
    places = indices_of(codes, products)
    return np.where(places < 0, layout.UNK, places + layout.FIRST_PRODUCT)


def indices_of(values: pa.ChunkedArray | pa.Array, known: Sequence[str]) -> NDArray[np.int64]:
    """The place of each value among those known; -1 for another one, and for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.Array):
        values = pa.chunked_array([values])
    # Skipping nulls: one in the value set would find itself.
    options = pc.SetLookupOptions(value_set=pa.array(known, values.type), skip_nulls=True)
    found = pc.call_function("index_in", [values], options)
    return pc.fill_null(found, -1).to_numpy().astype(np.int64)


def _columns(path: Path, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read(columns=list(names))
    if missing := [name for name in names if name not in table.column_names]:
        raise CacheInputError(f"{path} lacks the columns {', '.join(missing)}: {_again(path.parent.name)}")
    return {name: table[name] for name in names}


def _numbered(path: Path, index: str, first: int, columns: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of a table whose rows are counted from `first`. Raises CacheInputError when they are not, or a code repeats."""
    found = {name: column.to_pylist() for name, column in _columns(path, (index, *columns)).items()}
    numbers, codes = found.pop(index), found[columns[0]]
    if numbers != list(range(first, first + len(numbers))):
        raise CacheInputError(f"{path} does not count {index} from {first} without a gap: {_again(path.parent.name)}")
    if None in codes or len(set(codes)) != len(codes):
        raise CacheInputError(f"{path} has a {columns[0]} twice, or none: {_again(path.parent.name)}")
    return found


def _require_array(path: Path, expected: layout.Array, sizes: Mapping[str, int], feature: str) -> None:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    shape = expected.shape_of(sizes)
    if array.dtype != np.dtype(expected.dtype) or array.shape != shape:
        raise CacheInputError(
            f"{path} is {array.dtype} {array.shape}, the cache needs {expected.dtype} {shape}: {_again(feature)}"
        )


def _again(feature: str) -> str:
    return f"materialise world_model/{feature} of this week again"
