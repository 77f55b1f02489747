"""Writes what makes a folder of arrays a tensor cache: arrays by the layout, ids to indices, and the document that names every file.

`cache.json` is written last: a folder without it is no cache, whatever became of the process that was writing it. What is in
the arrays does not belong here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.digest import sha256_of
from platform_assets.core.folders import files_of
from platform_assets.world_model import tensor_layout as layout


@dataclass(frozen=True)
class Vocabulary:
    """Codes in the order of their indices: products from token 3, customers and stores from 1.

    `product_groups` has the group of each product, by level; `segments` the values of each segment, which are stored as 1 +
    their place here.
    """

    products: Sequence[str]
    customers: Sequence[str]
    stores: Sequence[str]
    segments: Mapping[str, Sequence[str]]
    product_groups: Mapping[str, Sequence[str]]

    @property
    def tokens(self) -> int:
        """P: the products and the three tokens before them."""
        return len(self.products) + layout.FIRST_PRODUCT

    def document(self) -> dict[str, Any]:
        """As vocab.json has it."""
        return {
            "products": _numbered(self.products, layout.FIRST_PRODUCT),
            "customers": _numbered(self.customers, layout.NOBODY + 1),
            "stores": _numbered(self.stores, layout.NOBODY + 1),
            "segments": {name: list(self.segments[name]) for name in layout.SEGMENTS},
            "product_groups": {level: list(self.product_groups[level]) for level in layout.PRODUCT_GROUPS},
        }


@dataclass(frozen=True)
class SplitCounts:
    """What cache.json says of a split. `items` counts the unknown products among them, too."""

    weeks: int = 0
    first_week: str = ""
    last_week: str = ""
    baskets: int = 0
    items: int = 0
    unknown_products: int = 0
    unknown_stores: int = 0
    anonymous: int = 0


@dataclass(frozen=True)
class Document:
    """What cache.json says beside the files."""

    weeks: Sequence[str]
    vocabulary: Vocabulary
    splits: Mapping[str, SplitCounts]
    seed: int


def create(folder: Path, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A new .npy file, memory-mapped, all zero. An array without elements cannot be mapped: it is written at once."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if 0 in shape:
        np.save(path, np.zeros(shape, np.dtype(dtype)))
        return np.zeros(shape, np.dtype(dtype))
    return np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)


def save(folder: Path, name: str, array: NDArray[Any], layout_of: layout.Array) -> None:
    """Write an array in the layout's type. Raises ValueError for a value that the type does not hold."""
    stored = np.ascontiguousarray(array, np.dtype(layout_of.dtype))
    if np.issubdtype(stored.dtype, np.integer) and not np.array_equal(stored, array):
        raise ValueError(f"{name} has values that {layout_of.dtype} does not hold: {array.min()} to {array.max()}")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    np.save(folder / name, stored)


def write_documents(folder: Path, document: Document) -> Path:
    """Write vocab.json, then cache.json, which names every file in the folder with its size and SHA-256."""
    vocabulary = document.vocabulary
    (folder / layout.VOCABULARY).write_text(_json(vocabulary.document()), encoding="utf-8")
    found = {name: path for name, path in files_of(folder).items() if name != layout.CACHE}
    content = {
        "version": layout.VERSION,
        "weeks": list(document.weeks),
        "first_day": document.weeks[0],
        "tokens": vocabulary.tokens,
        "customers": len(vocabulary.customers),
        "stores": len(vocabulary.stores),
        "splits": {split: asdict(document.splits[split]) for split in layout.SPLITS},
        "seed": document.seed,
        "files": {name: {"size": path.stat().st_size, "sha256": sha256_of(path)} for name, path in found.items()},
    }
    (folder / layout.CACHE).write_text(_json(content), encoding="utf-8")
    return folder


def _numbered(codes: Iterable[str], first: int) -> dict[str, int]:
    return {code: number for number, code in enumerate(codes, first)}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
