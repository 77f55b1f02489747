"""What the auxiliary heads are shown besides the context's state: how long a basket is, and of which departments its visible items.

The classes nearly follow from these, which a state that is trained to name products need not keep. So a head starts as the
look-up in the train baskets that it has to beat (`world_model.auxiliary_baselines`): log shares of the classes among those that
are alike; the network learns what to add. Of what is hidden nothing is seen but that it is there.

A train basket is one of those that were counted: while it is trained on, its own label is taken out again (`look_up` with
`left_out`), or the network would learn to trust rare keys more than later weeks deserve.

B baskets, D departments (prod_code_40), G groups (prod_code_30), K keys of the look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from platform_assets.world_model import auxiliary_baselines
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import NO_TARGET, Indices
from platform_assets.world_model.mixture import visible
from platform_assets.world_model.tensor_cache import TensorCache

# Lengths that a head tells apart; longer ones count as the last. Groups beyond so many share one column.
LENGTHS, GROUPS = 30, 64
# Baskets added to every key, in the shares of all: a key of three baskets says little.
PRIOR_BASKETS = 5.0


class Evidence(NamedTuple):
    """Of B baskets."""

    features: Tensor  # [B, width] float32
    keys: Tensor  # [B] of the look-up


class BasketEvidence(nn.Module):
    """Fixed tables: groups from the cache; the look-up's shares are counted once (`count`) and kept with the weights."""

    departments: Tensor
    groups: Tensor
    counted_under: Tensor
    """[train baskets] the key that each was counted under, -1 where it was not; nothing before `count`, and in no checkpoint."""

    def __init__(self, cache: TensorCache, tasks: Sequence[str]) -> None:
        super().__init__()
        departments = _columns(cache.product_groups["prod_code_40"], None)
        self.register_buffer("departments", departments, persistent=False)
        self.register_buffer("groups", _columns(cache.product_groups["prod_code_30"], GROUPS), persistent=False)
        self.register_buffer("lengths", torch.tensor(auxiliary_baselines.LENGTHS), persistent=False)
        self.register_buffer("least_shares", torch.tensor(auxiliary_baselines.SHARES), persistent=False)
        keys = auxiliary_baselines.keys_of(departments.shape[1])
        self.register_buffer("counted_under", torch.zeros(0, dtype=torch.int32), persistent=False)
        for task in tasks:
            classes = len(layout.LABELS[task])
            self.register_buffer(f"look_up_{task}", torch.zeros(keys, classes))
            self.register_buffer(f"counts_{task}", torch.zeros(keys, classes, dtype=torch.int64), persistent=False)
            self.register_buffer(f"common_{task}", torch.zeros(classes, dtype=torch.int64), persistent=False)

    @property
    def width(self) -> int:
        """Columns of the features."""
        return self.departments.shape[1] + self.groups.shape[1] + LENGTHS + 1

    def count(self, cache: TensorCache) -> None:
        """Fill the look-up with the train baskets; a network that is loaded has it already."""
        under = np.full(len(cache.split("train")), -1, np.int32)
        counted = auxiliary_baselines.count(cache, under).counts
        self.counted_under = torch.from_numpy(under).to(self.departments.device)
        for task, counts in zip(layout.LABELS, counted, strict=True):
            if hasattr(self, f"look_up_{task}"):
                known = torch.from_numpy(counts)
                self.get_buffer(f"counts_{task}").copy_(known)
                self.get_buffer(f"common_{task}").copy_(known.sum(0))
                self.get_buffer(f"look_up_{task}").copy_(_log_shares(known, known.sum(0)))

    def forward(self, indices: Indices) -> Evidence:
        """Shares of the visible items by department and group, the length as one dimension each and as a logarithm; the keys."""
        seen = indices.tokens * visible(indices)
        count = (seen != layout.PAD).sum(1)
        departments = functional.embedding_bag(seen, self.departments, mode="sum")
        groups = functional.embedding_bag(seen, self.groups, mode="sum")
        lengths = (indices.tokens != layout.PAD).sum(1)
        each = functional.one_hot(lengths.clamp(1, LENGTHS) - 1, LENGTHS).float()
        shares = torch.cat([departments, groups], 1) / count.clamp(min=1)[:, None]
        features = torch.cat([shares, each, lengths[:, None].float().log1p()], 1)
        return Evidence(features, self._keys(lengths, departments, count))

    def look_up(self, task: str, keys: Tensor, left_out: Indices | None = None) -> Tensor:
        """[B, classes] log shares; with `left_out`, those B train baskets, each as if it had not been counted.

        Raises ValueError for that where nothing was counted.
        """
        if left_out is None:
            return self.get_buffer(f"look_up_{task}")[keys]
        if not len(self.counted_under):
            raise ValueError("a loaded network has no counts to leave a basket out of: count(cache) first")
        labels = left_out.labels[:, list(layout.LABELS).index(task)]
        under = self.counted_under[left_out.rows]
        counts, common = self.get_buffer(f"counts_{task}"), self.get_buffer(f"common_{task}")
        own = functional.one_hot(labels.clamp(min=0), len(common)) * ((labels != NO_TARGET) & (under >= 0))[:, None]
        # What is in sight now may have another key than what was in sight when it was counted.
        return _log_shares(counts[keys] - own * (under == keys)[:, None], common - own)

    def _keys(self, lengths: Tensor, departments: Tensor, count: Tensor) -> Tensor:
        """As `auxiliary_baselines` numbers them."""
        kinds = departments.shape[1]
        # Of equals the first, on every device.
        dominant = (departments * kinds - torch.arange(kinds, device=departments.device)).argmax(1)
        most, dominant = departments.amax(1), torch.where(count > 0, dominant, kinds)
        share = most / count.clamp(min=1)
        bucket = torch.bucketize(lengths.clamp(min=1), self.get_buffer("lengths"), right=True) - 1
        level = torch.bucketize(share, self.get_buffer("least_shares"), right=True) - 1
        return auxiliary_baselines.key(bucket, dominant, level, kinds)


def _log_shares(counts: Tensor, common: Tensor) -> Tensor:
    """[n, classes] float32 of [n, classes] baskets; `common` are those of all keys, alike for all n or each its own."""
    prior = (common + 1).double()
    smoothed = counts + PRIOR_BASKETS * prior / prior.sum(-1, keepdim=True)
    return (smoothed / smoothed.sum(-1, keepdim=True)).log().float()


def _columns(groups: Sequence[str], most: int | None) -> Tensor:
    """[P, values] float32, a column a group; those beyond `most` share the last. Tokens that are no product have none."""
    last = (most or len(groups)) - 1
    values = {value: min(index, last) for index, value in enumerate(sorted(set(groups)))}
    columns = torch.zeros(layout.FIRST_PRODUCT + len(groups), max(values.values(), default=0) + 1)
    for token, group in enumerate(groups, layout.FIRST_PRODUCT):
        columns[token, values[group]] = 1
    return columns
