"""What may be said of a basket without a network: the customer's habits, popularity, and what is bought together.

Each is a share of every product (`SHARES`); a hidden product's probability is their weighted sum, as words are predicted by
interpolated counts (Jelinek and Mercer 1980): who speaks strongly for a product is heard, whatever the others say. The weights
are learned and depend on little (how often the customer came, how much of the basket is seen, how long ago the last one was), so
that they hold for baskets that no training row resembles. A transformer (`world_model.network`) is one voice among them. Added
to their logarithm instead, its logits lowered the validation loss, and pushed what customers always buy out of the first ten.

The counts of train weeks include the train baskets themselves: with `leave_one_out` what a basket added to the co-purchase of
its own items is taken out again, or a model would learn to trust them more than later weeks deserve. Recent popularity is that
of the weeks before the basket's own.

B baskets, S items, M hidden items, P tokens, F shares, W weeks.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_POSITION, Indices
from platform_assets.world_model.tensor_cache import TensorCache

# Days after which a purchase counts half as much; infinite: it never does.
OWN_HALF_LIVES = {"own_week": 7.0, "own_month": 30.0, "own_two_months": 60.0, "own_season": 120.0, "own_year": 365.0,
                  "own_ever": torch.inf}  # fmt: skip
# Weeks after which a week's baskets count half as much.
POPULAR_HALF_LIVES = {"popularity_now": 2.0, "popularity_lately": 8.0}
SHARES = (*OWN_HALF_LIVES, "own_alike", "popularity", *POPULAR_HALF_LIVES, "co_purchase")
VOICES = (*SHARES, "network")
# What each voice counts before anything is learned; together 1.
START = (0.05, 0.15, 0.15, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.1, 0.05)
# A day on which the customer bought what is in sight counts by its cosine with that, to this power.
ALIKE = 4.0
CONTEXT = ("log_trips", "log_visible", "anonymous", "months_since_previous")
HIDDEN = 16
# A few numbers of one batch have to go further than the weights of a network do at the same learning rate.
REACH = 10.0
# What is left for a product that nothing speaks for, as a share of its fair one.
LEFT_OVER = 1e-3


class MixtureShares(nn.Module):
    """The shares, from a cache's tables; nothing of it is learned, and no checkpoint holds it."""

    co_purchase: Tensor
    popularity: Tensor
    lately: Tensor
    inverse_root: Tensor

    def __init__(self, cache: TensorCache) -> None:
        super().__init__()
        baskets = torch.from_numpy(cache.table("product_baskets").astype("float32"))
        known = torch.arange(cache.tokens) >= layout.FIRST_PRODUCT
        # The memory map itself: a copy in every process would be 50 MB of 5,000 products.
        self._keep("co_purchase", _as_tensor(cache, "co_purchase"))
        self._keep("popularity", shares_of(baskets))
        self._keep("lately", _lately(_as_tensor(cache, "weekly_baskets"), POPULAR_HALF_LIVES.values()))
        self._keep("inverse_root", baskets.clamp(min=1).rsqrt() * known)

    def forward(self, indices: Indices, with_customer: bool = True, leave_one_out: bool = False) -> Tensor:
        """[B, F, P] float32; each sums to 1, or is all zero where nothing is known."""
        own = self.popularity.new_zeros(len(OWN_HALF_LIVES) + 1, *self._shape(indices))
        if with_customer and len(indices.own_rows):
            own = torch.cat([self._own(indices), self._own_alike(indices)[None]])
        popular = self.popularity.expand(1, *self._shape(indices))
        bought = self._bought_together(indices, leave_one_out)
        return torch.cat([own, popular, self.lately[:, indices.week], bought[None]]).transpose(0, 1)

    def _own(self, indices: Indices) -> Tensor:
        """[6, B, P] of the customers' purchases before the baskets, by half-life."""
        halved = indices.own_days[None] / self.popularity.new_tensor(tuple(OWN_HALF_LIVES.values()))[:, None]
        return self._summed(indices, torch.exp2(-halved))

    def _own_alike(self, indices: Indices) -> Tensor:
        """[B, P] of the customers' earlier days, each as much as it resembles what is in sight."""
        batch, tokens = self._shape(indices)
        rows, items = indices.own_rows, indices.own_tokens
        seen = self.popularity.new_zeros(batch, tokens).scatter_(1, indices.tokens * visible(indices), 1.0)
        seen[:, : layout.FIRST_PRODUCT] = 0
        starts = torch.ones_like(rows)
        # Purchases come by basket and then by day: another of either begins another day.
        starts[1:] = (rows[1:] != rows[:-1]) | (indices.own_days[1:] != indices.own_days[:-1])
        days = starts.cumsum(0) - 1
        # As many places as there could be days: how many there are would have to be waited for on a GPU.
        common = seen.new_zeros(len(days)).index_add_(0, days, seen[rows, items])
        sizes = seen.new_zeros(len(days)).index_add_(0, days, torch.ones_like(indices.own_days))
        basket = torch.zeros_like(days).index_copy_(0, days, rows)
        alike = common / (sizes * seen.sum(1)[basket]).clamp(min=1).sqrt()
        return self._summed(indices, alike.pow(ALIKE)[days][None])[0]

    def _summed(self, indices: Indices, weights: Tensor) -> Tensor:
        """[k, B, P] shares of the customers' purchases, weighted by [k, purchases]."""
        batch, tokens = self._shape(indices)
        sums = weights.new_zeros(len(weights), batch * tokens)
        sums.index_add_(1, indices.own_rows * tokens + indices.own_tokens, weights)
        sums = sums.view(len(weights), batch, tokens)
        # A product that train weeks do not have is no candidate, and takes no share.
        sums[:, :, : layout.FIRST_PRODUCT] = 0
        return shares_of(sums)

    def _bought_together(self, indices: Indices, leave_one_out: bool) -> Tensor:
        """[B, P]: co-purchase with the visible items, summed over them."""
        seen = indices.tokens * visible(indices)
        together = functional.embedding_bag(seen, self.co_purchase, mode="sum").float()
        if leave_one_out:
            together = (together - self._own_part(indices, seen)).clamp(min=0)
        return shares_of(together)

    def _own_part(self, indices: Indices, seen: Tensor) -> Tensor:
        """[B, P]: of those sums, what the baskets themselves added: 1 / sqrt(n_p n_q) of each visible q for each item p."""
        roots = self.inverse_root[seen]
        hidden = indices.masked_targets.clamp(min=0)
        whole = roots.sum(1, keepdim=True)
        items = torch.cat([seen, hidden], 1)
        # An item that is visible has no co-purchase with itself.
        partners = torch.cat([whole - roots, whole.expand(hidden.shape)], 1)
        return roots.new_zeros(self._shape(indices)).scatter_add_(1, items, self.inverse_root[items] * partners)

    def _shape(self, indices: Indices) -> tuple[int, int]:
        return len(indices.tokens), len(self.popularity)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)


class MixtureWeights(nn.Module):
    """How much each voice counts; they sum to 1."""

    start: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(len(CONTEXT), HIDDEN), nn.Linear(HIDDEN, len(VOICES))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("start", torch.tensor(START).log(), persistent=False)

    def forward(self, context: Tensor) -> Tensor:
        """[B, F + 1] of [B, 4] `mixture_context`."""
        return torch.softmax(self.start + REACH * self.out(functional.gelu(self.hidden(context))), -1)


def log_mixture(weights: Tensor, shares: Tensor, network: Tensor, rows: Tensor) -> Tensor:
    """[n, P] log of the weighted sum of [B, F, P] shares and of [n, P] the network's; a product without a voice keeps a little.

    `weights` [B, F + 1], the network's last; `rows` [n] tells the basket of each of the n hidden items.
    """
    left = LEFT_OVER / max(1, shares.shape[2] - layout.FIRST_PRODUCT)
    counted = torch.einsum("bf,bfp->bp", weights[:, :-1], shares)
    return (counted[rows] + weights[rows, -1:] * network + left).log()


def mixture_context(indices: Indices, with_customer: bool = True) -> Tensor:
    """[B, 4] float32: CONTEXT in its order; without customer nothing is known of one."""
    trips, anonymous, since = indices.trips, indices.customer == layout.NOBODY, indices.days_since_previous
    if not with_customer:
        trips, anonymous = torch.zeros_like(trips), torch.zeros_like(anonymous)
        since = torch.full_like(since, layout.NO_DAY)
    seen = visible(indices).sum(1).float().log1p() / 2
    return torch.stack([trips.float().log1p() / 4, seen, anonymous.float(), since.clamp(0, 60).float() / 30], 1)


def visible(indices: Indices) -> Tensor:
    """[B, S] bool: the items that a model is shown as they are, products all of them."""
    batch, size = indices.tokens.shape
    places = torch.where(indices.masked_positions == NO_POSITION, size, indices.masked_positions)
    hidden = torch.zeros(batch, size + 1, dtype=torch.bool, device=places.device).scatter_(1, places, True)
    return (indices.tokens >= layout.FIRST_PRODUCT) & ~hidden[:, :size]


def shares_of(counts: Tensor) -> Tensor:
    """Of the last dimension's sum; all zero where that is."""
    return counts / counts.sum(-1, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny)


def _lately(weekly: Tensor, half_lives: Iterable[float]) -> Tensor:
    """[k, W, P] shares of the weeks before each week, by half-life, out of [W, P] baskets."""
    tables = []
    for half_life in half_lives:
        known, before = torch.zeros(weekly.shape[1]), []
        for baskets in weekly:
            before.append(known)
            known = known * 0.5 ** (1 / half_life) + baskets
        tables.append(torch.stack(before) if before else torch.zeros(weekly.shape))
    return shares_of(torch.stack(tables))


def _as_tensor(cache: TensorCache, name: str) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(cache.table(name))
