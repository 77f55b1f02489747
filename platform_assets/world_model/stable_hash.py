"""A hash of whole arrays that is the same on every machine and in every release: draws by it depend on ids and seeds alone.

It is one step of SplitMix64 from each value as the state: G. L. Steele, D. Lea and C. H. Flood, "Fast Splittable Pseudorandom
Number Generators", OOPSLA 2014. Every bit of a value has a say in every bit of its hash, and no two values share one. It is no
protection against anyone. What is drawn by it belongs to `world_model.masking` and `world_model.questions`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15
"""What SplitMix64's state grows by: 2**64 over the golden ratio, made odd."""
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def stable_hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """[n] well mixed, the same everywhere and always; another value has another hash."""
    with np.errstate(over="ignore"):
        mixed = values + np.uint64(GOLDEN)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
