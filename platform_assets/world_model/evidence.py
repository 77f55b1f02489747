"""What baselines know of a basket: what its customer has bought so far, and what is bought together with its visible products.

Read from the tensor cache alone: the customer's purchases before the basket, co-purchase and product counts of the train weeks.
Computed for a batch of baskets at once; how it becomes a ranking is `world_model.baselines`.

n baskets, P tokens; columns of tokens that are no product are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from platform_assets.world_model import ragged
from platform_assets.world_model.questions import Integers, Questions
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Purchases:
    """What the customers of n baskets bought before them, in the order of visits; an anonymous one nothing."""

    rows: Integers
    """The basket, 0 .. n-1, ascending."""
    tokens: Integers
    days: Integers
    """Days between the purchase and the basket."""


@dataclass(frozen=True)
class Evidence:
    """Of n baskets."""

    purchases: Purchases
    visible: Any
    """[n, P] sparse, which products the basket shows."""
    neighbours: Scores
    """[n, P] summed cosine of co-purchase with the visible products."""
    popularity: Scores
    """[P] share of the train weeks' purchases."""
    _counted: dict[float | None, Scores] = field(default_factory=dict)

    def own(self, half_life: float | None = None) -> Scores:
        """[n, P] how often the customer has bought a product; a purchase weighs half as much every `half_life` days."""
        if half_life not in self._counted:
            weights = None if half_life is None else 0.5 ** (self.purchases.days / half_life)
            self._counted[half_life] = self._table(weights)
        return self._counted[half_life]

    def last_day(self) -> Scores:
        """[n, P] 1 for what was bought on the customer's last day with a purchase, else 0."""
        rows, days = self.purchases.rows, self.purchases.days
        newest = days[np.searchsorted(rows, rows, side="right") - 1]
        return np.minimum(self._table(days == newest), 1.0)

    def _table(self, weights: NDArray[Any] | None) -> Scores:
        n, tokens = self.neighbours.shape
        places = self.purchases.rows * tokens + self.purchases.tokens
        table = np.bincount(places, weights, minlength=n * tokens).astype(np.float64).reshape(n, tokens)
        table[:, :FIRST_PRODUCT] = 0.0
        return table


class EvidenceReader:
    """Reads the evidence on baskets of one split."""

    def __init__(self, cache: TensorCache, split: SplitArrays) -> None:
        self._split, self._tokens = split, cache.tokens
        self._offsets = cache.table("customer_offsets")
        self._purchases, self._days = cache.table("purchases"), cache.table("purchase_days")
        self._cosine = np.asarray(cache.table("co_purchase"), dtype=np.float32)
        baskets = np.asarray(cache.table("product_baskets"), dtype=np.float64)
        self._popularity = baskets / max(baskets.sum(), 1.0)

    def read(self, questions: Questions) -> Evidence:
        """The evidence on these baskets."""
        ones = np.ones(len(questions.visible_rows), np.float32)
        shape = (len(questions), self._tokens)
        visible = sparse.csr_matrix((ones, (questions.visible_rows, questions.visible_tokens)), shape=shape)
        neighbours = np.asarray(visible @ self._cosine, dtype=np.float64)
        return Evidence(self.purchases(questions.rows), visible, neighbours, self._popularity)

    def purchases(self, baskets: Integers) -> Purchases:
        """What was bought before each of these baskets (places in the split)."""
        begins = self._offsets[self._split.customer[baskets]]
        counts = self._split.prior_purchases[baskets].astype(np.int64)
        rows, places = ragged.owners(counts), ragged.places(begins, counts)
        days = self._split.day[baskets].astype(np.int64)[rows] - self._days[places]
        return Purchases(rows, self._purchases[places].astype(np.int64), days)
