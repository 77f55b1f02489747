"""What the tests of the evaluation share: a small cache, an untrained network on it, and a slow reading of its baskets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from platform_assets.world_model import network as networks
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.network import NetworkOptions, WorldModelNetwork
from platform_assets.world_model.questions import Questions
from platform_assets.world_model.tensor_cache import SplitArrays, TensorCache
from platform_assets_tests.world_model.small_cache import write_small_cache


@dataclass(frozen=True)
class Basket:
    """One question, read slowly: what is hidden, what is visible, what the customer bought before."""

    target: int
    visible: set[int]
    bought: list[tuple[int, int]]
    """(token, days before the basket), oldest first."""


def write_cache(folder: Path) -> Path:
    """A small cache, some of whose test baskets hold nothing that train weeks know."""
    write_small_cache(folder, seed=5)
    arrays = WorldModelDataset(folder, "test").arrays
    items, several = np.array(arrays.items), np.flatnonzero(arrays.lengths >= 2)
    for row in several[::9]:
        items[arrays.offsets[row] : arrays.offsets[row + 1]] = layout.UNK
    plant(arrays, "items", items, folder)
    return folder


def items_of(arrays: SplitArrays, row: int) -> list[int]:
    return arrays.items[arrays.offsets[row] : arrays.offsets[row + 1]].tolist()


def baskets_of(cache: TensorCache, arrays: SplitArrays, asked: Questions) -> list[Basket]:
    """The baskets of a batch of questions; visible is what the batch shows."""
    found = []
    for place, row in enumerate(asked.rows.tolist()):
        begin = int(cache.table("customer_offsets")[arrays.customer[row]])
        end = begin + int(arrays.prior_purchases[row])
        tokens, days = cache.table("purchases")[begin:end], cache.table("purchase_days")[begin:end]
        ago = [int(arrays.day[row]) - int(day) for day in days]
        visible = set(asked.visible_tokens[asked.visible_rows == place].tolist())
        found.append(Basket(int(asked.targets[place]), visible, list(zip(tokens.tolist(), ago, strict=True))))
    return found


def write_model(folder: Path, cache: TensorCache, seed: int = 0, **options: object) -> WorldModelNetwork:
    """An untrained network, with a little noise in its projection so that it ranks in an order of its own."""
    torch.manual_seed(seed)
    chosen = NetworkOptions(width=16, heads=2, layers=1, **options)  # type: ignore[arg-type]
    network = WorldModelNetwork(chosen, cache).eval()
    with torch.no_grad():
        network.projection.weight.normal_(0, 0.3)
    folder.mkdir(parents=True)
    asked = {"max_length": 50, "purchase_history": 100, "with_trip": chosen.with_trip, "precision": "32-true"}
    networks.save(network, folder, {"cache_fingerprint": cache.fingerprint, "fingerprint": "f" * 32, "options": asked})
    return network


def plant(arrays: SplitArrays, name: str, values: object, folder: Path) -> None:
    """Overwrite an array of a split of a cache in a folder."""
    kind = layout.SPLIT_ARRAYS[name]
    np.save(folder / layout.split_file(arrays.name, name), np.asarray(values, np.dtype(kind.dtype)))
