"""Which items of baskets are hidden, and what is shown in their places.

Hiding replaces tokens before anything is looked up by them, so that neither a vector nor a price of what is hidden reaches a
model. Items lie flat, basket after basket: basket b has `tokens[offsets[b]:offsets[b + 1]]`. What train weeks do not have
(UNK) is never asked for; a basket of nothing else has no target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.stable_hash import GOLDEN, stable_hash

# Of the hidden ones: so that a model attends to items that are shown, too, and cannot rely on MASK to know where to guess.
OTHER_SHARE = 0.1
# Of the baskets in training: with nothing in sight a model is to know what to say, too, as it is asked of a next basket.
WHOLE_SHARE = 0.1


def mask(
    tokens: NDArray[np.integer], offsets: NDArray[np.int64], probability: float, chance: np.random.Generator,
    whole: float = 0.0,
) -> NDArray[np.int64]:  # fmt: skip
    """Places, rising, of items that are hidden with a probability each, and at least one of every basket that has a product.

    Of a share `whole` of the baskets all products are hidden.
    """
    drawn = chance.random(len(tokens))
    if whole:
        drawn[np.repeat(chance.random(len(offsets) - 1) < whole, np.diff(offsets))] = 0.0
    drawn[tokens < layout.FIRST_PRODUCT] = np.inf
    # The smallest number of a basket is hidden in any case; given that none is below the probability, it is anyone's.
    bound = np.maximum(_least(drawn, offsets), np.nextafter(probability, 0))
    return np.flatnonzero((drawn <= np.repeat(bound, np.diff(offsets))) & np.isfinite(drawn))


def one_hidden(
    tokens: NDArray[np.integer], offsets: NDArray[np.int64], basket_ids: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Places of one item of every basket that has a product: by the seed, the basket's id and nothing else."""
    known = tokens >= layout.FIRST_PRODUCT
    before = np.concatenate([[0], np.cumsum(known)])
    first, counts = before[offsets[:-1]], np.diff(before[offsets])
    asked = counts > 0
    draws = _mixed(basket_ids[asked].astype(np.uint64), seed) % counts[asked].astype(np.uint64)
    return np.flatnonzero(known)[first[asked] + draws.astype(np.int64)]


def shown_instead(
    tokens: NDArray[np.integer], offsets: NDArray[np.int64], hidden: NDArray[np.int64], vocabulary: int,
    chance: np.random.Generator,
) -> NDArray[np.int64]:  # fmt: skip
    """What is shown at hidden places: MASK, or one in ten times another product, drawn from all that the basket does not hold.

    `vocabulary` counts tokens, P. A draw that the basket does hold becomes MASK: it would give away what is hidden.
    """
    shown = np.full(len(hidden), layout.MASK, np.int64)
    changed = np.flatnonzero(chance.random(len(hidden)) < OTHER_SHARE)
    others = chance.integers(layout.FIRST_PRODUCT, vocabulary, len(changed))
    baskets = np.searchsorted(offsets, hidden[changed], side="right") - 1
    shown[changed] = np.where(_holds(tokens, offsets, baskets, others), layout.MASK, others)
    return shown


def _holds(
    tokens: NDArray[np.integer], offsets: NDArray[np.int64], baskets: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each basket holds the token asked for beside it."""
    lengths = np.diff(offsets)[baskets]
    same = tokens[ragged.places(offsets[baskets], lengths)] == np.repeat(asked, lengths)
    return np.bincount(ragged.owners(lengths)[same], minlength=len(baskets)) > 0


def _least(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The smallest value of each basket; infinity where it is empty."""
    least = np.full(len(offsets) - 1, np.inf)
    filled = offsets[1:] > offsets[:-1]
    if filled.any():
        # With empty ones left out, each basket ends where the next one begins.
        least[filled] = np.minimum.reduceat(values, offsets[:-1][filled])
    return least


def _mixed(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """64 bits in which every bit of value and seed has a say."""
    return stable_hash(stable_hash(values ^ np.uint64(seed * GOLDEN % 2**64)))
