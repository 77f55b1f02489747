"""Stores: format, region, how much each sells, and what its region and format prefer.

Legend: N stores, P products, 48 places = 12 regions x 4 formats. What does not belong here: who shops where (customers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.products import LEAVES, Catalogue
from platform_assets.simulators.retailer.slots import apportion, slot_tables

FORMATS = ("LS", "MS", "SS", "XLS")
REGIONS = tuple(f"{side}{number:02d}" for side in "ENSW" for number in (1, 2, 3))
_FORMAT_STORES = np.array([0.46, 0.31, 0.19, 0.04])
_FORMAT_TRAFFIC = np.array([47.0, 26.0, 8.0, 74.0])
_FORMAT_BASKET = np.array([1.06, 0.87, 0.56, 1.04])
# Share of the range, from the best-selling product down, that fits into a store of the format.
_FORMAT_RANGE = np.array([1.0, 0.7, 0.4, 1.0])
LOCAL_SLOT_BITS = 12


@dataclass(frozen=True)
class Stores:
    """N stores; `basket_factor` (4,) multiplies a format's basket sizes; `local` is one slot table per place."""

    format: np.ndarray
    region: np.ndarray
    traffic: np.ndarray
    basket_factor: np.ndarray
    local: np.ndarray

    def __len__(self) -> int:
        return len(self.format)

    @property
    def place(self) -> np.ndarray:
        """(N,) which of the 48 local tables is a store's."""
        return self.region * len(FORMATS) + self.format

    @property
    def codes(self) -> list[str]:
        """STORE_CODE by number."""
        return [f"STORE{number:05d}" for number in range(1, len(self) + 1)]


def draw_stores(rng: np.random.Generator, catalogue: Catalogue, count: int, differences: float) -> Stores:
    """`count` stores, in every format and region where there are enough of them."""
    formats = np.repeat(np.arange(len(FORMATS), dtype=np.int8), apportion(count, _FORMAT_STORES))
    formats = rng.permutation(formats)
    region = rng.permutation(np.arange(count, dtype=np.int8) % len(REGIONS))
    traffic = _FORMAT_TRAFFIC[formats] * rng.lognormal(0, 0.4, count)
    factor = _FORMAT_BASKET if differences else np.ones(len(FORMATS))
    return Stores(formats, region, traffic / traffic.sum(), factor, _draw_local(rng, catalogue))


def _draw_local(rng: np.random.Generator, catalogue: Catalogue) -> np.ndarray:
    """48 slot tables: each region has its favourite categories, each format keeps the top of the range."""
    liking = np.exp(rng.normal(0, 1.2, (len(REGIONS), LEAVES)))[:, catalogue.leaf]
    rank = np.empty(len(catalogue))
    rank[np.argsort(-catalogue.popularity)] = np.arange(len(catalogue))
    kept = rank < _FORMAT_RANGE[:, None] * len(catalogue)
    weights = (catalogue.popularity * liking)[:, None, :] * kept
    return slot_tables(weights.reshape(-1, len(catalogue)), 1 << LOCAL_SLOT_BITS)
