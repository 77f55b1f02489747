"""Baskets that somebody asks about, as the network sees them: what is in them so far, one more item hidden.

A basket of a later day than the cache's is asked about as of its last week (prices, the newest snapshot, popularity), but with
the days that have really passed since each purchase; one of an earlier day as of that day. What a served answer looks like does not belong here (`world_model.served_model`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch
from torch import Tensor

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_TARGET, Indices
from platform_assets.world_model.tensor_cache import TensorCache

FIELDS = ("customer_id", "store_id", "date", "hour", "products", "seg_1", "seg_2")


class BasketError(ValueError):
    """A basket that cannot be asked about; the message names the field."""


@dataclass(frozen=True)
class AskedBasket:
    """One basket. Unknown ids are allowed: a new customer, store or product is what the model calls unknown."""

    store_id: str
    day: date
    hour: int
    products: tuple[str, ...] = ()
    customer_id: str | None = None
    segments: tuple[str | None, str | None] = (None, None)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> AskedBasket:
        """Of {store_id, date, hour, products, customer_id, seg_1, seg_2}; the last three may be left out. Raises BasketError."""
        if unknown := sorted(set(document) - set(FIELDS)):
            raise BasketError(f"{', '.join(unknown)}: a basket has the fields {', '.join(FIELDS)}")
        hour, products = document.get("hour"), document.get("products")
        try:
            day = date.fromisoformat(str(document.get("date")))
        except ValueError:
            raise BasketError(f"date is {document.get('date')!r}; write YYYY-MM-DD") from None
        if not isinstance(hour, int | np.integer) or not 0 <= hour <= 23:
            raise BasketError(f"hour is {hour!r}; write a whole number from 0 to 23")
        given = () if products is None else products
        if isinstance(given, str) or not all(isinstance(each, str) for each in given):
            raise BasketError("products are a list of product ids, as texts")
        segments = tuple(document.get(name) or None for name in layout.SEGMENTS)
        return cls(str(document.get("store_id")), day, int(hour), tuple(given), document.get("customer_id") or None,
                   (segments[0], segments[1]))  # fmt: skip


def indices_of(cache: TensorCache, baskets: Sequence[AskedBasket], max_length: int, purchase_history: int) -> Indices:
    """A batch: each basket's visible products, then one MASK. Raises BasketError for a day before the cache's first."""
    rows = [_row(cache, basket, max_length, purchase_history) for basket in baskets]
    longest = max(len(row["tokens"]) for row in rows)
    tokens = torch.tensor([row["tokens"] + [layout.PAD] * (longest - len(row["tokens"])) for row in rows])
    own = [row["own"] for row in rows]
    named = {name: torch.tensor([row[name] for row in rows]) for name in _NUMBERS}
    count = len(rows)
    return Indices(
        tokens=tokens, masked_positions=torch.tensor([[len(row["tokens"]) - 1] for row in rows]),
        masked_targets=torch.full((count, 1), NO_TARGET), **named,
        segments=torch.tensor([row["segments"] for row in rows]),
        labels=torch.full((count, len(layout.LABELS)), NO_TARGET),
        own_tokens=torch.cat([tokens for tokens, _ in own]), own_days=torch.cat([days for _, days in own]),
        own_rows=torch.repeat_interleave(torch.arange(count), torch.tensor([len(days) for _, days in own])),
        rows=torch.arange(count),
    )  # fmt: skip


_NUMBERS = ("customer", "snapshot", "store", "week", "day", "weekday", "hour", "trips", "days_since_previous")


def _row(cache: TensorCache, basket: AskedBasket, max_length: int, purchase_history: int) -> dict[str, Any]:
    weeks, customer = len(cache.weeks), cache.customer_id_to_idx(basket.customer_id)
    day = (basket.day - date.fromisoformat(cache.document["first_day"])).days
    if day < 0:
        raise BasketError(f"date {basket.day} is before the first day that the tensor cache knows, {cache.weeks[0]}")
    known = list(dict.fromkeys(cache.product_id_to_idx(each) for each in basket.products))
    tokens, days = _purchases(cache, customer, day)
    week = min(day // 7, weeks - 1)
    # Visits are not kept apart in the purchases: days on which something was bought stand for them.
    visits = np.unique(days)
    kept = slice(max(0, len(tokens) - purchase_history), None)
    return {
        "tokens": [*known[: max_length - 1], layout.MASK], "customer": customer,
        "snapshot": week // layout.WEEKS_OF_SNAPSHOT, "store": cache.store_id_to_idx(basket.store_id),
        "week": week, "day": min(day, 7 * weeks - 1), "weekday": basket.day.isoweekday() % 7 + 1,
        "hour": basket.hour, "trips": len(visits),
        "days_since_previous": day - int(visits[-1]) if len(visits) else layout.NO_DAY,
        "segments": [_segment(cache, name, value) for name, value in zip(layout.SEGMENTS, basket.segments, strict=True)],
        "own": (torch.from_numpy(tokens[kept]), torch.from_numpy((day - days[kept]).astype(np.float32))),
    }  # fmt: skip


def _purchases(cache: TensorCache, customer: int, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and days of what the customer bought before a day."""
    first, last = cache.table("customer_offsets")[customer : customer + 2]
    days = cache.table("purchase_days")[first:last].astype(np.int64)
    before = days < day
    return cache.table("purchases")[first:last].astype(np.int64)[before], days[before]


def _segment(cache: TensorCache, name: str, value: str | None) -> int:
    values = cache.segment_values[name]
    return 1 + values.index(value) if value in values else 0


def ranked(logits: Tensor, cache: TensorCache, top: int) -> list[tuple[str, float]]:
    """(product id, probability) of the likeliest of a [P] row of logits, whose probabilities are its softmax."""
    found = torch.softmax(logits.double(), 0).topk(min(top, int(torch.isfinite(logits).sum())))
    return [(cache.product_ids[token], share) for share, token in zip(*(each.tolist() for each in found), strict=True)]
