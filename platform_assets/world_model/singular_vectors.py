"""Leading singular vectors with the same bits on every run: one thread, a fixed start, fixed signs.

Linear algebra splits its sums over threads, and a sum's last bits depend on how it was split; a singular vector's sign is
free, and an iterative method's start random. What is decomposed, and what the vectors mean, belongs to the callers.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Below this a dense decomposition takes a second, and needs no start and no stop.
DENSE_SIZE = 1024
# A singular value this much smaller than the first is rounding; its vector would be noise.
_SMALLEST = 1e-10
_SEED = 7


def of_symmetric(matrix: csr_array, width: int) -> np.ndarray:
    """(N, width) float64: U sqrt(S) of the `width` greatest singular values, falling; zeros beyond the matrix's rank.

    A symmetric matrix's singular values are the absolute values of its eigenvalues, its left singular vectors the
    eigenvectors.
    """
    import scipy.linalg  # its linear algebra must be loaded before its threads can be limited
    from scipy.sparse.linalg import eigsh

    with one_thread():
        size: int = matrix.indptr.size - 1
        if size <= max(DENSE_SIZE, 2 * width):
            values, vectors = scipy.linalg.eigh(matrix.toarray())
        else:
            rng = np.random.default_rng(_SEED)
            values, vectors = eigsh(matrix, k=width, which="LM", v0=rng.standard_normal(size), rng=rng)
        return _scaled(vectors, np.abs(values), np.sqrt(np.abs(values)), width)


def of_rows(matrix: np.ndarray, width: int) -> np.ndarray:
    """(R, width) float64: U S of the `width` greatest singular values, falling: the rows of `matrix` in fewer dimensions."""
    import scipy.linalg

    with one_thread():
        vectors, values, _ = scipy.linalg.svd(matrix, full_matrices=False)
        return _scaled(vectors, values, values, width)


def one_thread() -> AbstractContextManager:
    """Dense linear algebra on one thread, for this block."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def unit_mean_norm(rows: np.ndarray) -> np.ndarray:
    """The rows, scaled alike, so that they are 1 long on average; rows of nothing but zeros stay."""
    mean = np.linalg.norm(rows, axis=1).mean() if len(rows) else 0.0
    return rows / mean if mean else rows


def _scaled(vectors: np.ndarray, values: np.ndarray, factors: np.ndarray, width: int) -> np.ndarray:
    order = np.argsort(-values, kind="stable")[:width]
    order = order[values[order] > _SMALLEST * values[order].max(initial=0.0)]
    largest = np.abs(vectors[:, order]).argmax(axis=0)
    signs = np.sign(vectors[largest, order])
    found = np.zeros((len(vectors), width))
    found[:, : len(order)] = vectors[:, order] * (signs * factors[order])
    return found
