"""Folds for cross-validation: stratified and grouped by template, and beside them a time fold.

Shuffled folds leak: a dashboard's query lies on both sides, and the model need only remember it. Grouped ones ask about templates
that were never seen, and alone would tune for nothing else; the time fold asks what serving asks, later days with the templates
that come again.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIME_SHARE = 0.2
_DAY = np.timedelta64(1, "D")


def grouped_folds(is_heavy: NDArray[np.bool_], groups: NDArray[Any], folds: int, seed: int = 0) -> NDArray[np.int64]:
    """[R] the fold of every row: no group in two folds, and shares of heavy and light rows as even as groups allow.

    Groups with most to distribute go first, each to the fold that leaves both classes most even over the folds (the least sum of
    squares; the idea is StratifiedGroupKFold's of scikit-learn). Equal ones go in the order of a hash of their names, so that the
    result depends on nothing but the rows as a set and the seed. Raises ValueError for fewer groups than folds.
    """
    names, codes = np.unique(groups, return_inverse=True)
    if folds < 2 or len(names) < folds:
        raise ValueError(
            f"{len(names)} templates cannot make {folds} folds: two or more folds, and one template in each"
        )
    counts = np.zeros((len(names), 2))
    np.add.at(counts, (codes, is_heavy.astype(np.int64)), 1)
    shares = counts / np.maximum(counts.sum(0), 1)
    chance = np.array([_chance(str(name), seed) for name in names])
    fold_of = np.empty(len(names), np.int64)
    sums = np.zeros((folds, 2))
    for place in np.lexsort((chance, -np.abs(shares).max(1))):
        # The sum of squares grows by 2 * sum * share + share²; among equals the fold with least of everything.
        growth = sums @ shares[place]
        best = int(np.lexsort((np.arange(folds), sums.sum(1), growth))[0])
        fold_of[place] = best
        sums[best] += shares[place]
    return fold_of[codes]


def time_fold(created: NDArray[np.datetime64], share: float = TIME_SHARE) -> NDArray[np.bool_]:
    """[R] whether a row is of the last days, about `share` of all days (UTC), one at least; none where there is but one day."""
    days = created.astype("datetime64[D]")
    if not len(days) or days.min() == days.max():
        return np.zeros(len(days), bool)
    held = max(1, round(((days.max() - days.min()) / _DAY + 1) * share))
    return days > days.max() - np.timedelta64(held, "D")


def _chance(name: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return int.from_bytes(digest, "big")
