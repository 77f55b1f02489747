"""Product vectors out of train weeks: products, their co-purchase, and what is learned of it.

The method: a product is known by the products that share its baskets. Positive pointwise mutual information of the pairs,
shifted, then a truncated singular value decomposition, which is what word2vec factorises (Levy and Goldberg 2014, "Neural
word embedding as implicit matrix factorization"); contexts smoothed as in Levy, Goldberg and Dagan 2015. It has no seed to
be lucky with, and one pass over the rows. Weeks after train never come here. Tokens are tensor_layout's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model import co_purchase, singular_vectors
from platform_assets.world_model.extraction import SQL
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CODE_VERSION = transform.code_version(
    SQL / "products.sql", *(Path(str(each)) for each in (__file__, co_purchase.__file__, singular_vectors.__file__))
)
PRODUCTS, EMBEDDINGS, CO_PURCHASE = "products.parquet", "product_embeddings.npy", "co_purchase.npy"
WIDTH = 256
# The shift is the log of this many negative samples. 1, none: more of them leave rare products without a vector (measured:
# hidden products are found again less often with 2, and much less with 5).
NEGATIVE_SAMPLES = 1
# Exponent on the share of a context; below 1 it takes from rare products, whose information is overestimated.
CONTEXT_SMOOTHING = 0.75
# A pair that was seen c times counts c / (c + this), its rarer product likewise (Pantel and Lin 2002): a pair met once says
# nothing, but has the highest information of all. Without it planted complements are found again a fifth as often.
DISCOUNT = 5


def build_embeddings(engine: Engine, transactions: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """File name -> path of products, embeddings and co-purchase. `transactions` are the train weeks, oldest first.

    Raises ValueError when no week has a row, `co_purchase.TooManyProducts` before the pairs of too many are counted.
    """
    products = folder / "codes.parquet"
    engine.run(
        transform.load(SQL / "products.sql"), {"transactions": list(transactions.values())}, {"products": products}
    )
    table = pq.read_table(products)
    if not table.num_rows:
        raise ValueError(
            f"no product in the {len(transactions)} train weeks: all are empty; check PLATFORM_RETAIL_SOURCE and its weeks"
        )
    counts = co_purchase.count_together(transactions, table["prod_code"].to_pylist())
    paths = {name: folder / name for name in (PRODUCTS, EMBEDDINGS, CO_PURCHASE)}
    pq.write_table(_with_tokens(table, counts.diagonal()), paths[PRODUCTS])
    np.save(paths[CO_PURCHASE], _with_special_rows(co_purchase.cosine(counts), square=True))
    np.save(paths[EMBEDDINGS], _with_special_rows(embed(counts)))
    return paths


def embed(counts: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """(N, width) float32: a vector per product, of mean length 1, by falling singular value.

    `counts` (N, N) as of `co_purchase.count_together`. Zeros: of a product that was never bought with another more often than
    chance, and of columns beyond the number of products.
    """
    vectors = singular_vectors.of_symmetric(shifted_information(counts), width)
    return singular_vectors.unit_mean_norm(vectors).astype(np.float32)


def shifted_information(counts: np.ndarray) -> csr_array:
    """(N, N) symmetric float64: max(0, log(P(p, q) / (P(p) P(q))) - log(NEGATIVE_SAMPLES)), discounted, 0 on the diagonal.

    P counts pairs. One product of a pair is the context, either in turn: the mean of both logarithms stands here.
    """
    from scipy.sparse import coo_array

    first, second = np.nonzero(np.triu(counts, 1))
    pairs = counts[first, second].astype(np.float64)
    of_product = counts.sum(axis=1, dtype=np.int64) - counts.diagonal()
    margin = _log_margin(of_product)
    information = np.log(pairs) - margin[first] - margin[second] - np.log(NEGATIVE_SAMPLES)
    rarer = np.minimum(of_product[first], of_product[second])
    information *= (pairs / (pairs + DISCOUNT)) * (rarer / (rarer + DISCOUNT))
    kept = information > 0
    upper = coo_array((information[kept], (first[kept], second[kept])), shape=counts.shape).tocsr()
    return (upper + upper.T).tocsr()


def _log_margin(pairs: np.ndarray) -> np.ndarray:
    """(N,) half of log(P(p) P_context(p)) + log(all pairs), of each product; without a pair 0, which nothing reads."""
    log_pairs = np.log(np.maximum(pairs, 1))
    contexts = np.exp(CONTEXT_SMOOTHING * log_pairs[pairs > 0]).sum()
    return ((1 + CONTEXT_SMOOTHING) * log_pairs - np.log(max(contexts, 1))) / 2


def _with_tokens(products: pa.Table, baskets: np.ndarray) -> pa.Table:
    tokens = np.arange(FIRST_PRODUCT, FIRST_PRODUCT + products.num_rows, dtype=np.int32)
    return products.add_column(0, "token", pa.array(tokens)).append_column(
        "baskets", pa.array(baskets.astype(np.int64))
    )


def _with_special_rows(table: np.ndarray, square: bool = False) -> np.ndarray:
    """With a row of zeros (and a column) for each token that is no product."""
    return np.pad(table, ((FIRST_PRODUCT, 0), (FIRST_PRODUCT if square else 0, 0)))
