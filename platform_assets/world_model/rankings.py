"""The rank of a hidden product among all products, and the ten that stand first: the same arithmetic for models and baselines.

Ties go against whoever ranked, in one fixed order: rank = 1 + the products with a higher score + the products with an equal
score and a lower token. Tokens that are no product, and the products that a basket shows, are excluded and never count. What
scores are made of does not belong here.

n baskets, P tokens, k places.
"""

from __future__ import annotations

import torch
from torch import Tensor

from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

TOP = 10
CUTS = (1, 5, 10)


class RankingError(ValueError):
    """Scores that cannot be ranked; the message says why."""


def excluding(scores: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """[n, P] a copy of the scores, minus infinity for what is no product and for the given (row, token) pairs."""
    # The maximum is NaN where a score is, and is found six times as fast as each is looked at.
    if scores.numel() and bool(torch.isnan(scores.max())):
        raise RankingError("a score is not a number: whoever gave it is broken, and a rank would hide that")
    scores = scores.clone()
    scores[:, :FIRST_PRODUCT] = -torch.inf
    scores[rows, tokens] = -torch.inf
    return scores


def ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """[n] int64 rank of each row's target, from 1. Raises RankingError for a target that is itself excluded."""
    own = scores.gather(1, targets[:, None])
    if bool(torch.isneginf(own).any()):
        raise RankingError("a hidden product is excluded from its own ranking: it is visible, or no product at all")
    higher = (scores > own).sum(1, dtype=torch.int32)
    tied = (scores >= own).sum(1, dtype=torch.int32) - higher > 1
    before = higher.to(torch.int64)
    # Few rows have ties: what decides them is asked of these alone.
    if bool(tied.any()):
        before[tied] = ahead(scores[tied], targets[tied])
    return 1 + before


def ahead(scores: Tensor, targets: Tensor) -> Tensor:
    """[n] int64 how many products stand before each row's target; unlike `ranks` it looks at no number, and a GPU need not wait."""
    own = scores.gather(1, targets[:, None])
    lower = torch.arange(scores.shape[1], device=scores.device) < targets[:, None]
    return ((scores > own) | ((scores == own) & lower)).sum(1)


def top(scores: Tensor, k: int = TOP) -> Tensor:
    """[n, P] bool: the k products of each row that stand first; fewer where fewer are not excluded."""
    k = min(k, scores.shape[1])
    last = scores.topk(k, dim=1).values[:, -1:]
    higher, equal = scores > last, scores == last
    room = k - higher.sum(1, keepdim=True)
    return (higher | (equal & (equal.cumsum(1) <= room))) & ~torch.isneginf(scores)


def found(chosen: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """[n] int64 how many of each row's (row, token) pairs are among its chosen products."""
    hits = chosen[rows, tokens].to(torch.int64)
    return torch.zeros(len(chosen), dtype=torch.int64, device=chosen.device).index_add_(0, rows, hits)
