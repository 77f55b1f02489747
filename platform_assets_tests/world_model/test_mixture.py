"""The voices of the mixture and their weights, against loops over a customer's purchases, weeks, products and train baskets."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import torch

from platform_assets.world_model import mixture
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_TARGET, Indices
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.mixture import SHARES, MixtureShares
from platform_assets_tests.world_model import small_training
from platform_assets_tests.world_model.small_training import stirred

train, batch = small_training.train, small_training.batch


def slow_shares(train: WorldModelDataset, indices: Indices, row: int) -> dict[str, list[float]]:
    """Basket by basket and product by product."""
    cache, tokens = train.cache, train.cache.tokens
    known = range(layout.FIRST_PRODUCT, tokens)
    mine = [
        (int(token), float(day))
        for token, day, each in zip(indices.own_tokens, indices.own_days, indices.own_rows, strict=True)
        if int(each) == row and int(token) >= layout.FIRST_PRODUCT
    ]
    hidden = set(indices.masked_positions[row].tolist())
    seen = [
        token for place, token in enumerate(indices.tokens[row].tolist())
        if token >= layout.FIRST_PRODUCT and place not in hidden
    ]  # fmt: skip
    together, weekly = cache.table("co_purchase"), cache.table("weekly_baskets")
    counts: dict[str, Any] = {name: Counter() for name in SHARES}
    for token, day in mine:
        for name, half_life in mixture.OWN_HALF_LIVES.items():
            counts[name][token] += 0.5 ** (day / half_life)
    for day in {day for _, day in mine}:
        bought = [token for token, each in mine if each == day]
        common, distinct = sum(token in seen for token in bought), len(set(seen))
        for token in bought:
            counts["own_alike"][token] += (common / math.sqrt(len(bought) * max(1, distinct))) ** 4
    week = int(indices.week[row])
    for product in known:
        counts["popularity"][product] = int(cache.table("product_baskets")[product])
        for name, half_life in mixture.POPULAR_HALF_LIVES.items():
            before = [(week - 1 - each, int(weekly[each, product])) for each in range(week)]
            counts[name][product] = sum(baskets * 0.5 ** (age / half_life) for age, baskets in before)
        counts["co_purchase"][product] = sum(float(together[other, product]) for other in seen)
    totals = {name: sum(count.values()) or 1.0 for name, count in counts.items()}
    return {name: [count[product] / totals[name] for product in known] for name, count in counts.items()}


def test_shares_are_what_a_loop_over_purchases_weeks_and_products_finds(
    train: WorldModelDataset, batch: Indices
) -> None:
    found = MixtureShares(train.cache)(batch)
    assert 0 < int((batch.customer == 0).sum()) < len(batch.customer)
    for row in range(len(batch.tokens)):
        for name, expected in slow_shares(train, batch, row).items():
            ours = found[row, SHARES.index(name), layout.FIRST_PRODUCT :]
            # Co-purchase is stored, and summed, in half precision.
            tolerance = 5e-3 if name == "co_purchase" else 1e-5
            torch.testing.assert_close(ours, torch.tensor(expected), rtol=tolerance, atol=tolerance)


def test_recent_popularity_knows_nothing_of_the_week_itself_or_of_later_ones(train: WorldModelDataset) -> None:
    weekly = torch.from_numpy(train.cache.table("weekly_baskets").copy())
    before = mixture._lately(weekly, (2.0,))
    changed = weekly.clone()
    changed[20:] += 7
    after = mixture._lately(changed, (2.0,))
    assert torch.equal(before[:, :21], after[:, :21])
    assert not torch.equal(before[:, 21], after[:, 21])


def recounted(train: WorldModelDataset, left_out: int, seen: list[int]) -> np.ndarray:
    """Co-purchase with the visible items, by counts of all train baskets but one."""
    arrays, tokens = train.arrays, train.cache.tokens
    pairs = np.zeros((tokens, tokens))
    for row in range(len(train)):
        held = {int(token) for token in arrays.items[arrays.offsets[row] : arrays.offsets[row + 1]]} - {layout.UNK}
        for one in held if row != left_out else ():
            for other in held - {one}:
                pairs[one, other] += 1
    baskets = np.maximum(train.cache.table("product_baskets"), 1)
    return (pairs / np.sqrt(np.outer(baskets, baskets)))[seen].sum(0)


def test_leaving_a_basket_out_is_as_if_it_had_not_been_counted(train: WorldModelDataset, batch: Indices) -> None:
    shares, tried = MixtureShares(train.cache), 0
    ours, whole = (shares(batch, leave_one_out=each)[:, SHARES.index("co_purchase")] for each in (True, False))
    for row in range(len(batch.tokens)):
        seen = batch.tokens[row][mixture.visible(batch)[row]].tolist()
        items = [*seen, *(token for token in batch.masked_targets[row].tolist() if token != NO_TARGET)]
        if not seen or len(items) < 2 or len(items) >= train.max_seq_len:
            continue
        sums = recounted(train, int(batch.rows[row]), seen)
        np.testing.assert_allclose(ours[row], sums / max(sums.sum(), 1e-9), atol=2e-4)
        assert float(whole[row][items].sum()) >= float(ours[row][items].sum()) - 0.01
        tried += 1
    assert tried >= 8
    assert (whole - ours).max() > 0.002, "with so few baskets each of them is felt"


def test_weights_sum_to_one_and_depend_on_trips_and_what_is_seen(train: WorldModelDataset, batch: Indices) -> None:
    model = stirred(train)
    weights = model.mixture_weights(batch)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    assert not torch.equal(model.mixture_weights(batch._replace(trips=batch.trips + 50)), weights)
    assert not torch.equal(model.mixture_weights(batch._replace(tokens=torch.zeros_like(batch.tokens))), weights)
