"""What the retailer says about a basket: size, type, dominant mission and price sensitivity, all from its own lines.

Type follows from the length, size from length and spend, the dominant mission from the mix of product kinds, the
sensitivity from the price tiers of its products inside their categories. XX: nothing in the basket tells.
Legend: P products, B baskets, L lines. What does not belong here: the mission and class that the basket was drawn with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from platform_assets.simulators.retailer.baskets import Baskets
from platform_assets.simulators.retailer.lines import Lines
from platform_assets.simulators.retailer.products import FRESH, GROCERY, NO_TIER, NONFOOD, Catalogue

SIZES = ("S", "M", "L")
TYPES = ("Small Shop", "Top Up", "Full Shop", "XX")
FOCUSES = ("Fresh", "Grocery", "Nonfood", "Mixed", "XX")
SENSITIVITIES = ("LA", "MM", "UM", "XX")
_MIXED, _NO_FOCUS, _NO_TYPE, _NO_SENSITIVITY = 3, 4, 3, 3
# Share of the kinds' lines that makes a kind dominant.
_DOMINANT = 0.62
_TYPE_BOUNDS = np.array([4.6, 13.6])
_SIZE_BOUNDS = np.array([1.7, 6.0])
# Mean tier (0 cheap, 1 middle, 2 dear) that parts the sensitivities.
_TIER_BOUNDS = np.array([0.72, 1.25])
# Five counts of a basket, a byte each in one integer: a basket has at most 87 lines, so that no byte overflows.
_TIERED_BYTE, _TIER_SUM_BYTE = 3, 4


@dataclass(frozen=True)
class Attributes:
    """(B,) codes into SIZES, TYPES, FOCUSES and SENSITIVITIES."""

    size: np.ndarray
    type: np.ndarray
    focus: np.ndarray
    sensitivity: np.ndarray


def pack_traits(catalogue: Catalogue) -> np.ndarray:
    """(P,) what one line of a product adds to its basket's five counts: fresh, grocery, nonfood, tiered, sum of tiers."""
    counts = [catalogue.kind == kind for kind in (FRESH, GROCERY, NONFOOD)]
    counts += [catalogue.tier != NO_TIER, np.maximum(catalogue.tier, 0)]
    return sum(count.astype(np.int64) << 8 * byte for byte, count in enumerate(counts))  # pyright: ignore


def describe(baskets: Baskets, lines: Lines, traits: np.ndarray) -> Attributes:
    """The four attributes of every basket."""
    starts = baskets.starts
    counts = np.add.reduceat(traits[lines.product], starts)
    spend = np.add.reduceat(lines.cents, starts) / 100
    kinds = np.stack([_byte(counts, byte) for byte in (FRESH, GROCERY, NONFOOD)])
    service_only = kinds.sum(axis=0) == 0
    length = 0.8 * baskets.size + 0.1 * spend
    return Attributes(
        size=np.searchsorted(_SIZE_BOUNDS, 0.5 * baskets.size + 0.25 * spend, side="right").astype(np.int8),
        type=np.where(service_only, _NO_TYPE, np.searchsorted(_TYPE_BOUNDS, length, side="right")).astype(np.int8),
        focus=_focus(kinds, service_only),
        sensitivity=_sensitivity(_byte(counts, _TIERED_BYTE), _byte(counts, _TIER_SUM_BYTE)),
    )


def _byte(counts: np.ndarray, byte: int) -> np.ndarray:
    return (counts >> 8 * byte) & 255


def _focus(kinds: np.ndarray, service_only: np.ndarray) -> np.ndarray:
    largest = kinds.argmax(axis=0)
    dominant = kinds.max(axis=0) >= _DOMINANT * kinds.sum(axis=0)
    return np.where(service_only, _NO_FOCUS, np.where(dominant, largest, _MIXED)).astype(np.int8)


def _sensitivity(tiered: np.ndarray, tiers: np.ndarray) -> np.ndarray:
    mean = tiers / np.maximum(tiered, 1)
    return np.where(tiered == 0, _NO_SENSITIVITY, np.searchsorted(_TIER_BOUNDS, mean, side="right")).astype(np.int8)
