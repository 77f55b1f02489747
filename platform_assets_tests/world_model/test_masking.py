"""Masks: at least one a basket, never what train weeks do not have, and nothing that gives away what is hidden."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.world_model import masking
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT, MASK, UNK

BASKETS = st.lists(st.lists(st.sampled_from([UNK, 3, 4, 5, 6, 7, 8]), max_size=8), max_size=12)


def flat(baskets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([token for basket in baskets for token in basket], np.uint16)
    return tokens, np.concatenate([[0], np.cumsum([len(basket) for basket in baskets])]).astype(np.int64)


def by_basket(offsets: np.ndarray, places: np.ndarray) -> list[list[int]]:
    return [[int(place) for place in places if low <= place < high] for low, high in pairwise(offsets)]


@settings(max_examples=200, deadline=None)
@given(BASKETS, st.sampled_from([0.0, 0.15, 0.5, 1.0]), st.integers(0, 2**32))
def test_every_basket_with_a_product_has_a_target_and_no_other_has(
    baskets: list[list[int]], probability: float, seed: int
) -> None:
    """Defect 10: Bernoulli masking leaves about half of the baskets without a target."""
    tokens, offsets = flat(baskets)
    hidden = masking.mask(tokens, offsets, probability, np.random.default_rng(seed))
    assert list(hidden) == sorted(set(hidden))
    for basket, places in zip(baskets, by_basket(offsets, hidden), strict=True):
        products = [token for token in basket if token >= FIRST_PRODUCT]
        assert all(tokens[place] >= FIRST_PRODUCT for place in places)
        if probability in (0.0, 1.0):
            assert len(places) == (len(products) if probability else min(1, len(products)))
        else:
            assert bool(places) == bool(products)


def test_items_are_hidden_as_often_as_asked_and_everywhere_alike() -> None:
    size, baskets = 20, 20_000
    tokens, offsets = np.full(size * baskets, 3), np.arange(baskets + 1) * size
    hidden = masking.mask(tokens, offsets, 0.15, np.random.default_rng(0))
    extra = 0.85**size / size  # of the baskets where chance hides none
    by_place = np.bincount(hidden % size, minlength=size) / baskets
    assert len(hidden) / len(tokens) == pytest.approx(0.15 + extra, abs=0.002)
    assert np.abs(by_place - 0.15 - extra).max() < 0.012


@settings(max_examples=200, deadline=None)
@given(BASKETS, st.integers(0, 2**32))
def test_nothing_shown_instead_is_in_the_basket(baskets: list[list[int]], seed: int) -> None:
    chance = np.random.default_rng(seed)
    tokens, offsets = flat(baskets)
    hidden = masking.mask(tokens, offsets, 0.9, chance)
    shown = masking.shown_instead(tokens, offsets, hidden, 14, chance)
    for place, token in zip(hidden, shown, strict=True):
        row = int(np.searchsorted(offsets, place, side="right")) - 1
        assert token == MASK or FIRST_PRODUCT <= token < 14
        assert token not in tokens[offsets[row] : offsets[row + 1]]


def test_nine_of_ten_hidden_items_show_mask_and_the_others_any_product() -> None:
    tokens, offsets = np.full(50_000, 3), np.arange(50_001)
    shown = masking.shown_instead(tokens, offsets, np.arange(50_000), 103, np.random.default_rng(0))
    assert (shown == MASK).mean() == pytest.approx(0.9, abs=0.01)
    assert set(shown) == {MASK, *range(4, 103)}


@settings(max_examples=200, deadline=None)
@given(BASKETS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_one_hidden_item_depends_on_seed_and_id_alone(baskets: list[list[int]], seed: int, shuffler) -> None:
    ids = np.array([994100000000000 + number for number in range(len(baskets))], np.int64)
    tokens, offsets = flat(baskets)
    places = by_basket(offsets, masking.one_hidden(tokens, offsets, ids, seed))
    known = {}
    for number, (basket, found) in enumerate(zip(baskets, places, strict=True)):
        assert len(found) == any(token >= FIRST_PRODUCT for token in basket)
        known[number] = found[0] - offsets[number] if found else None
        assert not found or tokens[found[0]] >= FIRST_PRODUCT
    order = list(range(len(baskets)))
    shuffler.shuffle(order)
    some = order[: len(order) // 2 + 1]
    tokens, offsets = flat([baskets[number] for number in some])
    again = by_basket(offsets, masking.one_hidden(tokens, offsets, ids[some], seed))
    assert [found[0] - offsets[place] if found else None for place, found in enumerate(again)] == [
        known[number] for number in some
    ]


def test_every_item_is_hidden_alike_and_another_seed_hides_others() -> None:
    tokens, offsets, ids = np.full(60_000, 3), np.arange(10_001) * 6, np.arange(10_000) * 8 + 2**40
    first, second = (masking.one_hidden(tokens, offsets, ids, seed) for seed in (0, 1))
    for found in (first, second):
        assert np.abs(np.bincount(found % 6, minlength=6) / 10_000 - 1 / 6).max() < 0.02
    assert (first == second).mean() == pytest.approx(1 / 6, abs=0.02)


def test_of_a_share_of_the_baskets_every_product_is_hidden() -> None:
    tokens, offsets = flat([[3, 4, 5, 6, UNK]] * 4000)
    hidden = masking.mask(tokens, offsets, 0.0, np.random.default_rng(1), whole=0.1)
    counts = [len(places) for places in by_basket(offsets[:401], hidden[hidden < offsets[400]])]
    assert set(counts) == {1, 4}
    share = (len(hidden) - 4000) / 3 / 4000
    assert abs(share - 0.1) < 0.02, "a standard error is .005"
