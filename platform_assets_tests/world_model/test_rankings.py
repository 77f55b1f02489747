"""Ranks and first places against a slow oracle that sorts: ties, exclusions, and scores that nobody can rank."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.world_model import rankings
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

PRODUCTS = 7
TOKENS = FIRST_PRODUCT + PRODUCTS
# Few values: ties are what goes wrong.
SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=TOKENS, max_size=TOKENS)


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[float], int, list[int]]:
    """Scores, a target, and visible products that it is not among."""
    target = draw(st.integers(FIRST_PRODUCT, TOKENS - 1))
    others = [token for token in range(FIRST_PRODUCT, TOKENS) if token != target]
    return draw(SCORES), target, draw(st.lists(st.sampled_from(others), unique=True))


def in_order(scores: list[float], visible: list[int]) -> list[int]:
    """Tokens of products that are not visible, the best first; of equal ones the lower token."""
    candidates = [token for token in range(FIRST_PRODUCT, TOKENS) if token not in visible]
    return sorted(candidates, key=lambda token: (-scores[token], token))


def excluding(scores: list[list[float]], visible: list[list[int]]) -> torch.Tensor:
    rows = [row for row, tokens in enumerate(visible) for _ in tokens]
    tokens = [token for tokens in visible for token in tokens]
    numbers = torch.tensor(rows, dtype=torch.int64), torch.tensor(tokens, dtype=torch.int64)
    return rankings.excluding(torch.tensor(scores), *numbers)


@given(st.lists(asked(), min_size=1, max_size=4))
def test_a_rank_is_the_place_in_the_sorted_order(rows: list[tuple[list[float], int, list[int]]]) -> None:
    scores = excluding([scores for scores, _, _ in rows], [visible for _, _, visible in rows])
    found = rankings.ranks(scores, torch.tensor([target for _, target, _ in rows]))
    assert found.tolist() == [1 + in_order(scores, visible).index(target) for scores, target, visible in rows]


@given(st.lists(asked(), min_size=1, max_size=4), st.integers(1, TOKENS + 2))
def test_the_first_k_are_those_of_the_sorted_order(rows: list[tuple[list[float], int, list[int]]], k: int) -> None:
    chosen = rankings.top(excluding([scores for scores, _, _ in rows], [visible for _, _, visible in rows]), k)
    for row, (scores, _, visible) in enumerate(rows):
        assert torch.nonzero(chosen[row])[:, 0].tolist() == sorted(in_order(scores, visible)[:k])


@given(asked())
def test_a_hit_at_k_is_a_rank_of_k_at_most(row: tuple[list[float], int, list[int]]) -> None:
    scores, target, visible = row
    excluded = excluding([scores], [visible])
    for k in (1, 3, 5):
        assert bool(rankings.top(excluded, k)[0, target]) == (
            int(rankings.ranks(excluded, torch.tensor([target]))) <= k
        )


def test_equal_scores_everywhere_put_the_lowest_token_first() -> None:
    scores = excluding([[0.0] * TOKENS] * 2, [[], [FIRST_PRODUCT]])
    assert rankings.ranks(scores, torch.tensor([TOKENS - 1, TOKENS - 1])).tolist() == [PRODUCTS, PRODUCTS - 1]


def test_what_is_found_is_counted_by_row() -> None:
    chosen = torch.zeros(3, TOKENS, dtype=torch.bool)
    chosen[0, [4, 5]] = chosen[2, 6] = True
    rows, tokens = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([4, 5, 6, 4, 6])
    assert rankings.found(chosen, rows, tokens).tolist() == [2, 0, 1]


def test_scores_are_left_as_they_were() -> None:
    scores = torch.ones(1, TOKENS)
    rankings.excluding(scores, torch.tensor([0]), torch.tensor([5]))
    assert torch.equal(scores, torch.ones(1, TOKENS))


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(rankings.RankingError, match="not a number"):
        excluding([[0.0, float("nan"), *[0.0] * (TOKENS - 2)]], [[]])


@pytest.mark.parametrize("target", [0, 1, 2, 5])
def test_a_target_that_is_visible_or_no_product_is_refused(target: int) -> None:
    with pytest.raises(rankings.RankingError, match="excluded from its own ranking"):
        rankings.ranks(excluding([[0.0] * TOKENS], [[5]]), torch.tensor([target]))
