"""What may be said of a basket without a network: the customer's habits, popularity, and what is bought together.

Six log-features of every product, and how much each counts: a product of powers, as in a mixture of experts that vote. The
weights are learned and depend on little (how often the customer came, how much of the basket is seen), so that they hold for
baskets that no training row resembles. What a transformer adds is `world_model.network`'s.

A feature is log(1 + share / EPSILON), which is log(EPSILON + share) but for a constant that no softmax notices. The counts of
train weeks include the train baskets themselves: with `leave_one_out` what a basket added to the co-purchase of its own items
is taken out again, or a model would learn to trust them more than later weeks deserve.

B baskets, S items, M hidden items, P tokens, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_POSITION, Indices
from platform_assets.world_model.tensor_cache import TensorCache

FEATURES = ("own_recent", "own_yearly", "own_ever", "own_alike", "popularity", "co_purchase")
# Days in which a purchase comes to count 1/e as much; 0: it never does.
DECAYS = (30.0, 365.0, 0.0)
# What each feature counts before anything is learned.
START = (0.15, 0.15, 0.3, 0.1, 0.3, 1.0)
# A day on which the customer bought what is in sight counts by its cosine with that, to this power.
ALIKE = 4.0
CONTEXT = ("log_trips", "log_visible", "anonymous")
HIDDEN = 16
# Six numbers of one batch have to go further than the weights of a network do at the same learning rate.
REACH = 10.0


class MixtureFeatures(nn.Module):
    """The features, from a cache's tables; nothing of it is learned, and no checkpoint holds it."""

    co_purchase: Tensor
    popularity: Tensor
    inverse_root: Tensor

    def __init__(self, cache: TensorCache) -> None:
        super().__init__()
        # A share below half of a product's fair one tells as little as none.
        self.epsilon = 0.5 / max(1, cache.tokens - layout.FIRST_PRODUCT)
        baskets = torch.from_numpy(cache.table("product_baskets").astype("float32"))
        known = torch.arange(cache.tokens) >= layout.FIRST_PRODUCT
        # The memory map itself: a copy in every process would be 50 MB of 5,000 products.
        self._keep("co_purchase", _as_tensor(cache, "co_purchase"))
        self._keep("popularity", self._log(baskets / baskets.sum().clamp(min=1)))
        self._keep("inverse_root", baskets.clamp(min=1).rsqrt() * known)

    def forward(self, indices: Indices, with_customer: bool = True, leave_one_out: bool = False) -> Tensor:
        """[B, F, P] float32."""
        own = self.popularity.new_zeros(len(DECAYS) + 1, *self._shape(indices))
        if with_customer and len(indices.own_rows):
            own = torch.cat([self._own(indices), self._own_alike(indices)[None]])
        popular = self.popularity.expand(1, *self._shape(indices))
        bought = self._bought_together(indices, leave_one_out)
        return torch.cat([own, popular, bought[None]]).transpose(0, 1)

    def _own(self, indices: Indices) -> Tensor:
        """[3, B, P] of the customers' purchases before the baskets, by decay."""
        batch, tokens = self._shape(indices)
        ages = indices.own_days[None] / self.popularity.new_tensor([each or torch.inf for each in DECAYS])[:, None]
        counted = torch.exp(-ages)
        sums = counted.new_zeros(len(DECAYS), batch * tokens)
        sums.index_add_(1, indices.own_rows * tokens + indices.own_tokens, counted)
        sums = sums.view(len(DECAYS), batch, tokens)
        # A product that train weeks do not have is no candidate, and takes no share.
        sums[:, :, : layout.FIRST_PRODUCT] = 0
        return self._log(_shares(sums))

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
        count = int(days[-1]) + 1
        common = seen.new_zeros(count).index_add_(0, days, seen[rows, items])
        sizes = seen.new_zeros(count).index_add_(0, days, torch.ones_like(indices.own_days))
        basket = torch.zeros_like(days[:count]).index_copy_(0, days, rows)
        alike = common / (sizes * seen.sum(1)[basket].clamp(min=1)).sqrt()
        sums = seen.new_zeros(batch * tokens).index_add_(0, rows * tokens + items, alike.pow(ALIKE)[days])
        sums = sums.view(batch, tokens)
        sums[:, : layout.FIRST_PRODUCT] = 0
        return self._log(_shares(sums))

    def _bought_together(self, indices: Indices, leave_one_out: bool) -> Tensor:
        """[B, P]: co-purchase with the visible items, summed over them."""
        seen = indices.tokens * visible(indices)
        together = functional.embedding_bag(seen, self.co_purchase, mode="sum").float()
        if leave_one_out:
            together = (together - self._own_part(indices, seen)).clamp(min=0)
        return self._log(_shares(together))

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

    def _log(self, shares: Tensor) -> Tensor:
        return torch.log1p(shares / self.epsilon)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)


class MixtureWeights(nn.Module):
    """How much each feature counts, never negative: a customer's habits must not speak against what they name."""

    start: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(len(CONTEXT), HIDDEN), nn.Linear(HIDDEN, len(FEATURES))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("start", torch.tensor(START).expm1().log(), persistent=False)

    def forward(self, context: Tensor) -> Tensor:
        """[B, F] of [B, 3] `mixture_context`."""
        return functional.softplus(self.start + REACH * self.out(functional.gelu(self.hidden(context))))


def mixture_context(indices: Indices, with_customer: bool = True) -> Tensor:
    """[B, 3] float32: CONTEXT in its order; without customer nothing is known of one."""
    trips, anonymous = indices.trips, indices.customer == layout.NOBODY
    if not with_customer:
        trips, anonymous = torch.zeros_like(trips), torch.zeros_like(anonymous)
    return torch.stack([trips.float().log1p() / 4, visible(indices).sum(1).float().log1p() / 2, anonymous.float()], 1)


def visible(indices: Indices) -> Tensor:
    """[B, S] bool: the items that a model is shown as they are, products all of them."""
    batch, size = indices.tokens.shape
    places = torch.where(indices.masked_positions == NO_POSITION, size, indices.masked_positions)
    hidden = torch.zeros(batch, size + 1, dtype=torch.bool, device=places.device).scatter_(1, places, True)
    return (indices.tokens >= layout.FIRST_PRODUCT) & ~hidden[:, :size]


def _shares(counts: Tensor) -> Tensor:
    """Of the last dimension's sum; all zero where that is."""
    return counts / counts.sum(-1, keepdim=True).clamp(min=torch.finfo(counts.dtype).tiny)


def _as_tensor(cache: TensorCache, name: str) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(cache.table(name))
