"""A tensor cache, opened: memory-mapped tables and arrays, ids to indices, vectors by id or by the batch.

Opening reads the two documents and checks that every file is there in its full size: under a second, whatever the cache's
size; `verify` reads all bytes and compares their SHA-256. Looked up is what was written (`world_model.tensor_layout` says what);
tensors of a batch are computed from it (`world_model.encoder`), not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from platform_assets.core.digest import digest_files, sha256_of
from platform_assets.core.folders import local_manifest, remedy
from platform_assets.world_model import tensor_layout as layout

Floats = NDArray[np.floating[Any]]
ASSET = "world_model/tensor_cache"
_DOCUMENTED = {"version", "weeks", "first_day", "tokens", "customers", "stores", "splits", "seed", "files"}


class TensorCacheError(ValueError):
    """A folder that is no whole tensor cache; the message says what is wrong with it and what to do."""


@dataclass(frozen=True)
class SplitArrays:
    """The flat arrays of one split (`tensor_layout.SPLIT_ARRAYS`), memory-mapped."""

    name: str
    offsets: NDArray[np.int64]
    items: NDArray[np.uint16]
    basket_id: NDArray[np.int64]
    customer: NDArray[np.int32]
    store: NDArray[np.uint16]
    week: NDArray[np.uint16]
    day: NDArray[np.int16]
    weekday: NDArray[np.uint8]
    hour: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    segments: NDArray[np.uint8]
    trips: NDArray[np.int32]
    days_since_previous: NDArray[np.int16]
    prior_purchases: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.customer)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[B] items of each basket."""
        return np.diff(self.offsets)


class TensorCache:
    """The cache in a folder: one that was published to a lake on this machine (its manifest leads to the files), or a copy.

    Raises TensorCacheError for a folder that is none, lacks a file or has one that is not whole.
    """

    def __init__(self, folder: str | Path, verify: bool = False) -> None:
        self.folder = Path(folder)
        self._paths = _published_paths(self.folder)
        self.document = self._read(layout.CACHE)
        if self.document.get("version") != layout.VERSION:
            raise TensorCacheError(
                f"{self.folder} has version {self.document.get('version')} of a tensor cache, this code reads "
                f"{layout.VERSION}: materialise world_model/tensor_cache again"
            )
        if missing := sorted(_DOCUMENTED - set(self.document)):
            path = self._path(layout.CACHE)
            raise TensorCacheError(f"{path} lacks {', '.join(missing)}: {remedy(path, ASSET)}")
        self._check(verify)
        self._vocabulary = self._read(layout.VOCABULARY)

    @cached_property
    def fingerprint(self) -> str:
        """Of every byte: equal for two caches exactly if their files are."""
        files = self.document["files"].items()
        return digest_files((name, file["sha256"]) for name, file in files)

    @property
    def weeks(self) -> tuple[str, ...]:
        """Keys (Mondays) of the weeks, oldest first; an index into it is what arrays call week."""
        return tuple(self.document["weeks"])

    @property
    def tokens(self) -> int:
        """P: products and the three tokens before them."""
        return len(self.product_ids)

    @cached_property
    def product_ids(self) -> tuple[str, ...]:
        """Token -> code; PAD, UNK and MASK by their names."""
        return ("PAD", "UNK", "MASK", *sorted(self._products, key=self._products.__getitem__))

    @property
    def segment_values(self) -> dict[str, tuple[str, ...]]:
        """Segment -> its values; stored is 1 + the index."""
        return {name: tuple(values) for name, values in self._vocabulary["segments"].items()}

    @property
    def product_groups(self) -> dict[str, tuple[str, ...]]:
        """Level (prod_code_10 ..) -> the group of each product, by token from 3."""
        return {level: tuple(values) for level, values in self._vocabulary["product_groups"].items()}

    def table(self, name: str) -> NDArray[Any]:
        """A table that all splits share (`tensor_layout.TABLES`), memory-mapped. Raises TensorCacheError for another name."""
        if name not in layout.TABLES:
            raise TensorCacheError(f"table is one of {', '.join(layout.TABLES)}, not {name!r}")
        return self._load(layout.table_file(name))

    def split(self, name: str) -> SplitArrays:
        """The arrays of train, validation or test. Raises TensorCacheError for another name."""
        if name not in layout.SPLITS:
            raise TensorCacheError(f"split is one of {', '.join(layout.SPLITS)}, not {name!r}")
        arrays = {each: self._load(layout.split_file(name, each)) for each in layout.SPLIT_ARRAYS}
        return SplitArrays(name, **arrays)

    def samples_path(self, split: str) -> Path:
        """The documented sample index of a split."""
        return self._path(layout.samples_file(split))

    def product_id_to_idx(self, product_id: str) -> int:
        """The token of a product; UNK for one that train weeks do not have."""
        return self._products.get(product_id, layout.UNK)

    def customer_id_to_idx(self, customer_id: str | None) -> int:
        """The index of a customer; 0 for an unknown or an anonymous one."""
        return self._customers.get(customer_id or "", layout.NOBODY)

    def store_id_to_idx(self, store_id: str) -> int:
        """The index of a store; 0 for one that train weeks do not have."""
        return self._stores.get(store_id, layout.NOBODY)

    def get_product_embedding(self, product_id: str) -> Floats:
        """[256] float32; that of UNK, all zero, for an unknown product."""
        return self.get_product_embeddings_batch([self.product_id_to_idx(product_id)])[0]

    def get_product_embeddings_batch(self, indices: ArrayLike) -> Floats:
        """[n, 256] float32, by token."""
        return self.table("product_embeddings")[_checked(indices, self.tokens, "token")]

    def get_customer_embedding(self, customer_id: str | None, week: int | None = None) -> tuple[Floats, Floats]:
        """([160], [160]) float32: the customer as of a week, and as of the end of the train weeks.

        `week` is an index; the newest when left out. As of a week means: by the weeks before the four-week block that it
        is in. All zero for nobody, and before a customer's first visit.
        """
        newest, static = self.get_customer_embeddings_batch([self.customer_id_to_idx(customer_id)], week)
        return newest[0], static[0]

    def get_customer_embeddings_batch(self, indices: ArrayLike, week: int | None = None) -> tuple[Floats, Floats]:
        """([n, 160], [n, 160]) float32, by index; see `get_customer_embedding`."""
        snapshots = self.table("customer_snapshots")
        rows = _checked(indices, snapshots.shape[1], "customer")
        last = self._week(len(self.weeks) - 1 if week is None else week)
        first_validation = self.document["splits"]["train"]["weeks"]
        wanted = [last // layout.WEEKS_OF_SNAPSHOT, first_validation // layout.WEEKS_OF_SNAPSHOT]
        newest, static = (snapshots[each][rows].astype(np.float32) for each in wanted)
        return newest, static

    def get_store_embedding(self, store_id: str) -> Floats:
        """[96] float32; all zero for an unknown store."""
        return self.get_store_embeddings_batch([self.store_id_to_idx(store_id)])[0]

    def get_store_embeddings_batch(self, indices: ArrayLike) -> Floats:
        """[n, 96] float32, by index."""
        stores = self.table("store_features")
        return stores[_checked(indices, len(stores), "store")]

    def get_prices_batch(self, indices: ArrayLike, week: int) -> Floats:
        """[n, 4] float32 of products in a week: `tensor_layout.PRICES` in money; 0: no price is known."""
        prices = self.table("prices")
        return prices[self._week(week)][_checked(indices, self.tokens, "token")]

    @property
    def _products(self) -> Mapping[str, int]:
        return self._vocabulary["products"]

    @property
    def _customers(self) -> Mapping[str, int]:
        return self._vocabulary["customers"]

    @property
    def _stores(self) -> Mapping[str, int]:
        return self._vocabulary["stores"]

    def _week(self, week: int) -> int:
        if not 0 <= week < len(self.weeks):
            raise TensorCacheError(f"week is an index from 0 to {len(self.weeks) - 1}, not {week}")
        return week

    def _path(self, name: str) -> Path:
        return self._paths.get(name, self.folder / name)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._path(name).read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it is no JSON object")
            return found
        except FileNotFoundError:
            raise TensorCacheError(
                f"{self.folder} has no {name}: it is no tensor cache, or not a whole one; materialise world_model/tensor_cache"
            ) from None
        except ValueError as error:
            raise TensorCacheError(
                f"{self._path(name)} cannot be read ({error}): {remedy(self._path(name), ASSET)}"
            ) from None

    def _load(self, name: str) -> NDArray[Any]:
        path = self._path(name)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, SyntaxError, TokenError) as error:  # numpy reads a header as Python's own words
            raise TensorCacheError(f"{path} cannot be read ({error}): {remedy(path, ASSET)}") from None

    def _check(self, verify: bool) -> None:
        for name, wrong in self._differences(self.document["files"], verify):
            raise TensorCacheError(f"{self._path(name)} {wrong}: {remedy(self._path(name), ASSET)}")

    def _differences(self, files: Mapping[str, Mapping[str, Any]], verify: bool) -> Iterator[tuple[str, str]]:
        for name, file in files.items():
            path = self._path(name)
            if not path.is_file():
                yield name, "is missing"
            elif (size := path.stat().st_size) != file["size"]:
                yield name, f"has {size:,} bytes of {file['size']:,}"
            elif verify and sha256_of(path) != file["sha256"]:
                yield name, "has other bytes than were written"


def _published_paths(folder: Path) -> dict[str, Path]:
    """Name -> file, where a published folder's manifest says; nothing of any other folder."""
    return {file["name"]: folder / file["path"] for file in local_manifest(folder).get("files", ())}


def _checked(indices: ArrayLike, size: int, what: str) -> NDArray[np.int64]:
    """Indices that are there: a negative one would silently be taken from the end."""
    found = np.asarray(indices, dtype=np.int64)
    if found.size and (found.min() < 0 or found.max() >= size):
        raise TensorCacheError(f"{what} indices go from 0 to {size - 1}, not {found.min()} to {found.max()}")
    return found
