"""The items of a week's baskets as tokens: read once from the published files, and kept flat in a scratch folder.

Reading and decoding is what takes long; how many purchases each customer has is known only after the last week. So every week
is decoded once, into arrays that the second pass (`cache_arrays`) goes through at the speed of memory. One week is in memory
at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_files import Vocabulary
from platform_assets.world_model.cache_inputs import CacheInputError, indices_of, product_tokens

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class WeekItems:
    """Baskets of a week in the order of visits: b of them with n items."""

    basket_id: NDArray[np.int64]
    """[b]"""
    customer: NDArray[np.int32]
    """[b] 0: anonymous"""
    day: NDArray[np.int16]
    """[b] days since the first day of the first week"""
    lengths: NDArray[np.int32]
    """[b], 1 or more"""
    tokens: NDArray[np.uint16]
    """[n] of all baskets one after the other, each in its random order"""

    @property
    def starts(self) -> NDArray[np.int64]:
        """[b] where each basket's tokens begin."""
        return ragged.offsets(self.lengths)[:-1]

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder of their own."""
        folder.mkdir(parents=True)
        for each in fields(self):
            np.save(folder / f"{each.name}.npy", getattr(self, each.name))

    @classmethod
    def load(cls, folder: Path) -> WeekItems:
        """What `save` wrote."""
        return cls(**{each.name: np.load(folder / f"{each.name}.npy", allow_pickle=False) for each in fields(cls)})


def read_week(
    week: str, transactions: Path, baskets: Path, vocabulary: Vocabulary, first_day: date, seed: tuple[int, int]
) -> WeekItems:
    """A week's items. `seed` is of the cache and the number of the week: the random order hangs on nothing else.

    Raises CacheInputError when the two files disagree, or a customer is none of the vocabulary's.
    """
    visits = _read(baskets, ("basket_id", "cust_code", "shop_date", "num_products"))
    rows = _read(transactions, ("basket_id", "prod_code"))
    basket_id, lengths = visits["basket_id"].to_numpy(), visits["num_products"].to_numpy().astype(np.int32)
    _require_same_baskets(week, rows["basket_id"].to_numpy(), basket_id, lengths)
    tokens = product_tokens(rows["prod_code"], vocabulary.products).astype(np.uint16)
    return WeekItems(
        basket_id,
        customer_indices(visits["cust_code"], vocabulary.customers).astype(np.int32),
        days_since(first_day, visits["shop_date"]).astype(np.int16),
        lengths,
        _in_random_order(tokens, lengths, np.random.default_rng(seed)),
    )


def customer_indices(codes: pa.ChunkedArray, customers: Sequence[str]) -> NDArray[np.int64]:
    """The index of each customer; 0: anonymous. Raises CacheInputError for one that is not among them."""
    found = indices_of(codes, customers) + 1
    unknown = (found == layout.NOBODY) & codes.is_valid().to_numpy()
    if unknown.any():
        raise CacheInputError(
            f"customer {codes[int(unknown.argmax())]} is not in customers.parquet, and {int(unknown.sum())} baskets are of "
            "such customers: materialise world_model/customer_features of this week again"
        )
    return found


def days_since(first_day: date, dates: pa.ChunkedArray) -> NDArray[np.int64]:
    """Days from the first day of the first week on."""
    days = dates.to_numpy().astype("datetime64[D]").astype(np.int64)
    return days - np.datetime64(first_day, "D").astype(np.int64)


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns=list(columns))


def _require_same_baskets(
    week: str, row_ids: NDArray[np.int64], basket_id: NDArray[np.int64], lengths: NDArray[np.int32]
) -> None:
    """Both files are in the order of visits, so that the rows of a basket follow one another where the basket stands."""
    if len(row_ids) != lengths.sum() or not np.array_equal(row_ids, np.repeat(basket_id, lengths)):
        raise CacheInputError(
            f"transactions and baskets of {week} are not of the same rows: materialise world_model/baskets of {week} again"
        )


def _in_random_order(
    tokens: NDArray[np.uint16], lengths: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.uint16]:
    """The tokens of each basket shuffled: rows come sorted by code."""
    # One key a row: its basket, then 40 random bits. Stable, so that two equal keys mean the same on every machine.
    baskets = ragged.owners(lengths).astype(np.uint64)
    keys = (baskets << np.uint64(40)) | rng.integers(0, 2**40, len(tokens), dtype=np.uint64)
    return tokens[np.argsort(keys, kind="stable")]
