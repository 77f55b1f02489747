"""How often two products are bought together: exact counts over baskets, and the cosine made of them.

Counts are whole numbers, so that neither the order of the weeks nor a number of threads can change them. The table is dense,
4 bytes a pair: most pairs of 5,000 products meet in some basket of 32 million. It grows with the square of the products, so
that there is an end to how many are counted (`MOST_PRODUCTS`). What is learned from the counts is
product_embeddings.py's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from scipy.sparse import csr_array


# Counts, cosines and their copies in the tensor cache are 2 GB of so many, and what is learned of them takes several times that.
MOST_PRODUCTS = 15_000
# Of a pair: its count, its cosine, and the cosine with the special tokens' rows.
_BYTES_A_PAIR = 4 + 2 + 2


class TooManyProducts(ValueError):
    """More products than are counted pair by pair; the message says what to do."""


def require_countable(products: int) -> None:
    """Raises TooManyProducts, before anything large is allocated."""
    if products > MOST_PRODUCTS:
        gigabytes = products**2 * _BYTES_A_PAIR / 1e9
        raise TooManyProducts(
            f"{products:,} products in the train weeks, and at most {MOST_PRODUCTS:,} are counted pair by pair: the tables alone "
            f"would take {gigabytes:,.1f} GB of memory. Let PROD_CODE of the raw files hold a coarser code, such as that of "
            "PROD_CODE_10, or give products that hardly anybody buys one code"
        )


def count_together(transactions: Mapping[str, Path], codes: Sequence[str]) -> np.ndarray:
    """(N, N) int32: baskets that hold both products; on the diagonal, baskets that hold the product.

    `codes` are every product of these weeks, sorted. One week is in memory at a time. Raises ValueError naming a week with a
    product that is none of them, and TooManyProducts.
    """
    require_countable(len(codes))
    counts = np.zeros((len(codes), len(codes)), np.int32)
    for week, path in transactions.items():
        holds = _baskets_by_products(week, path, codes)
        together = (holds.T @ holds).tocoo()
        counts[together.row, together.col] += together.data
    return counts


def cosine(counts: np.ndarray) -> np.ndarray:
    """(N, N) float16: c_pq / sqrt(n_p n_q), 0 on the diagonal: a product beside itself tells nothing."""
    baskets = counts.diagonal().astype(np.int64)
    found = np.zeros(counts.shape, np.float16)
    for product, together in enumerate(
        counts
    ):  # row by row: in float64 the whole table would be 200 MB of 5,000 products
        found[product] = together / np.sqrt(np.maximum(baskets[product] * baskets, 1))
    np.fill_diagonal(found, 0)
    return found


def _baskets_by_products(week: str, path: Path, codes: Sequence[str]) -> csr_array:
    """(B, N) int32, 1 where the basket holds the product, however many rows say so."""
    from scipy.sparse import csr_array

    table = pq.read_table(path, columns=["basket_id", "prod_code"], read_dictionary=["prod_code"])
    baskets, numbers = np.unique(table["basket_id"].to_numpy(), return_inverse=True)
    products = _places(week, table["prod_code"], codes)
    holds = csr_array((np.ones(len(products), np.int32), (numbers, products)), shape=(len(baskets), len(codes)))
    holds.data[:] = 1  # making it has summed the rows of one basket and product
    return holds


def _places(week: str, column: pa.ChunkedArray, codes: Sequence[str]) -> np.ndarray:
    """Each row's place in `codes`; texts are compared once a distinct product."""
    texts = column.unify_dictionaries().combine_chunks()
    texts = texts if isinstance(texts, pa.DictionaryArray) else texts.dictionary_encode()
    places = {code: place for place, code in enumerate(codes)}
    # A dictionary may hold texts that no row has.
    found = np.array([places.get(code, -1) for code in texts.dictionary.to_pylist()], np.int64)[
        texts.indices.to_numpy()
    ]
    if (found < 0).any():
        unknown = texts[int(np.argmin(found))]
        raise ValueError(f"week {week} has product {unknown}, which is not among the products handed in: name them all")
    return found
