"""What is asked of every ranker: baskets with one hidden product each, or whole baskets to come, as plain arrays.

Baselines read these, so that they see what the model sees and nothing else: a batch's visible tokens. A product that train
weeks do not have is neither visible nor asked for. What is hidden is drawn by `world_model.loader`, not here.

n baskets, P tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model.batch import NO_TARGET, Indices, NextItems, WorldModelBatch
from platform_assets.world_model.stable_hash import stable_hash
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

Integers = NDArray[np.int64]


class QuestionError(ValueError):
    """A batch that asks for more than one product a basket, or for none that there is."""


@dataclass(frozen=True)
class Questions:
    """n baskets. `targets` has the hidden product of each, -100 where a whole basket is asked for.

    `visible_*` are the products that are shown: the basket (0 .. n-1) and the token of each.
    """

    rows: Integers
    """[n] the baskets' places in the split."""
    targets: Integers
    """[n] tokens."""
    visible_rows: Integers
    visible_tokens: Integers

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Answers:
    """The products of whole baskets: the basket (0 .. n-1) and the token of each."""

    rows: Integers
    tokens: Integers


def of_batch(batch: WorldModelBatch) -> Questions:
    """The questions of an evaluation batch: its baskets but those without a known product, which are asked nothing.

    Raises QuestionError where a basket hides two, or something that is no product.
    """
    indices = batch.indices
    targets = _numbers(indices.masked_targets)
    hidden = (targets != NO_TARGET).sum(1)
    if (hidden > 1).any():
        raise QuestionError("a basket hides more than one product: evaluate with EvaluationDataLoader")
    asked = hidden == 1
    products = targets[asked].max(1, initial=NO_TARGET)
    if (products < FIRST_PRODUCT).any():
        raise QuestionError("a hidden item is no product of the train weeks: it must never be asked for")
    rows, tokens = _visible(indices)
    kept = asked[rows]
    places = np.cumsum(asked) - 1
    return Questions(_numbers(indices.rows)[asked], products, places[rows[kept]], tokens[kept])


def of_next_baskets(batch: WorldModelBatch) -> tuple[Questions, Answers]:
    """Whole baskets to come, of which nothing is shown, and what they hold. Raises QuestionError where something is shown."""
    if batch.next_items is None:
        raise QuestionError("the batch does not say what the baskets hold: evaluate with next_basket=True")
    rows, tokens = _visible(batch.indices)
    if len(rows):
        raise QuestionError("a next basket shows products of itself")
    asked = np.full(len(batch), NO_TARGET, np.int64)
    return Questions(_numbers(batch.indices.rows), asked, rows, tokens), _answers(batch.next_items)


def drawn(basket_ids: NDArray[np.int64], count: int, seed: int) -> NDArray[np.bool_]:
    """[B] which baskets are in a sample of `count`: those with the lowest hashes, whatever their order; 0 is all."""
    if not count or count >= len(basket_ids):
        return np.ones(len(basket_ids), dtype=bool)
    hashes = stable_hash(np.asarray(basket_ids).astype(np.uint64) ^ stable_hash(np.array([seed], np.uint64)))
    chosen = np.zeros(len(basket_ids), dtype=bool)
    chosen[np.lexsort((basket_ids, hashes))[:count]] = True
    return chosen


def _visible(indices: Indices) -> tuple[Integers, Integers]:
    tokens = _numbers(indices.tokens)
    rows, places = np.nonzero(tokens >= FIRST_PRODUCT)
    return rows.astype(np.int64), tokens[rows, places]


def _answers(items: NextItems) -> Answers:
    tokens, rows = _numbers(items.tokens), _numbers(items.rows)
    known = tokens >= FIRST_PRODUCT
    return Answers(rows[known], tokens[known])


def _numbers(tensor: object) -> Integers:
    return np.asarray(tensor.cpu().numpy(), dtype=np.int64)  # type: ignore[attr-defined]
