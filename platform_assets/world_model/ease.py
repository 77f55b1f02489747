"""EASE, the linear item-to-item model with a closed form: the strongest simple baseline on what a basket shows.

H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019: with G = X'X + l I and P = G^-1, the weights are
-P_ij / P_jj off the diagonal and 0 on it. X'X of the train baskets is read back from the cosines of the tensor cache, which
keep eleven bits of each count, instead of from all baskets again. What it is compared with does not belong here.

P tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

# Of the regularisation l, in baskets.
STRENGTHS = (10.0, 50.0, 250.0, 1250.0)
# Beyond it one inverse takes more than ten minutes and 3 GB.
MOST_PRODUCTS = 20_000


def gram(cache: TensorCache) -> NDArray[np.float64]:
    """[N, N] in how many train baskets two products are together; on the diagonal, in how many each is."""
    baskets = np.asarray(cache.table("product_baskets"), dtype=np.float64)[FIRST_PRODUCT:]
    cosine = np.asarray(cache.table("co_purchase"), dtype=np.float64)[FIRST_PRODUCT:, FIRST_PRODUCT:]
    counts = np.rint(cosine * np.sqrt(np.outer(baskets, baskets)))
    np.fill_diagonal(counts, baskets)
    return counts


def weights(counts: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    """[P, P] by which the visible products (rows) speak for the others (columns).

    Raises LinAlgError where the strength is too small for what is left of the counts in the cosines.
    """
    from scipy.linalg import LinAlgError, get_lapack_funcs
    from threadpoolctl import threadpool_limits

    # The last bits of an inverse depend on the number of threads, and ranks on the last bits.
    whole = counts + strength * np.eye(len(counts))
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (whole,))
    with threadpool_limits(1):
        factor, failed = factorise(whole)
        if failed:
            raise LinAlgError(f"no positive definite matrix with strength {strength:g}")
        upper, _ = invert(factor)
    inverse = np.triu(upper) + np.triu(upper, 1).T
    found = -inverse / np.diag(inverse)
    np.fill_diagonal(found, 0.0)
    return np.pad(found, ((FIRST_PRODUCT, 0), (FIRST_PRODUCT, 0))).astype(np.float32)


def each(cache: TensorCache, strengths: Iterable[float] = STRENGTHS) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """The weights of each strength that gives some, one at a time: each is as large as the cosines."""
    from scipy.linalg import LinAlgError

    counts = gram(cache)
    for strength in strengths:
        with suppress(LinAlgError):
            yield strength, weights(counts, strength)
