"""What the auxiliary heads are shown besides the context's state: how long a basket is, and of which departments its visible items.

The classes nearly follow from these, which a state that is trained to name products need not keep. So a head starts as the
look-up in the train baskets that it has to beat (`world_model.auxiliary_baselines`): log shares of the classes among those that
are alike; the network learns what to add. Of what is hidden nothing is seen but that it is there.

B baskets, D departments (prod_code_40), G groups (prod_code_30), K keys of the look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from platform_assets.world_model import auxiliary_baselines
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.batch import Indices
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

    def __init__(self, cache: TensorCache, tasks: Sequence[str]) -> None:
        super().__init__()
        departments = _columns(cache.product_groups["prod_code_40"], None)
        self.register_buffer("departments", departments, persistent=False)
        self.register_buffer("groups", _columns(cache.product_groups["prod_code_30"], GROUPS), persistent=False)
        self.register_buffer("lengths", torch.tensor(auxiliary_baselines.LENGTHS), persistent=False)
        self.register_buffer("least_shares", torch.tensor(auxiliary_baselines.SHARES), persistent=False)
        keys = auxiliary_baselines.keys_of(departments.shape[1])
        for task in tasks:
            self.register_buffer(f"look_up_{task}", torch.zeros(keys, len(layout.LABELS[task])))

    @property
    def width(self) -> int:
        """Columns of the features."""
        return self.departments.shape[1] + self.groups.shape[1] + LENGTHS + 1

    def count(self, cache: TensorCache) -> None:
        """Fill the look-up with the train baskets; a network that is loaded has it already."""
        counted = auxiliary_baselines.count(cache).counts
        for task, counts in zip(layout.LABELS, counted, strict=True):
            if hasattr(self, f"look_up_{task}"):
                known = torch.from_numpy(counts).double()
                common = known.sum(0) + 1
                smoothed = known + PRIOR_BASKETS * common / common.sum()
                self.get_buffer(f"look_up_{task}").copy_((smoothed / smoothed.sum(1, keepdim=True)).log())

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

    def look_up(self, task: str, keys: Tensor) -> Tensor:
        """[B, classes] log shares."""
        return self.get_buffer(f"look_up_{task}")[keys]

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


def _columns(groups: Sequence[str], most: int | None) -> Tensor:
    """[P, values] float32, a column a group; those beyond `most` share the last. Tokens that are no product have none."""
    last = (most or len(groups)) - 1
    values = {value: min(index, last) for index, value in enumerate(sorted(set(groups)))}
    columns = torch.zeros(layout.FIRST_PRODUCT + len(groups), max(values.values(), default=0) + 1)
    for token, group in enumerate(groups, layout.FIRST_PRODUCT):
        columns[token, values[group]] = 1
    return columns
