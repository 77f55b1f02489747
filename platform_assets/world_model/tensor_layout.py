"""What a tensor cache is made of: files, types, tokens, labels. Whoever writes one and whoever reads one agree here.

A cache is a folder: `vocab.json` (ids to indices), `cache.json` (sizes, weeks, and every file with its SHA-256, written last),
tables that all splits share, and a folder of flat arrays for each split. Baskets of a split lie in a random order that was
drawn once; the items of basket b are `items[offsets[b]:offsets[b + 1]]`, in a random order, too: sorted by code, an item's
neighbours would betray what is hidden between them. Everything is read memory-mapped, nothing is pickled.

B baskets of a split, I its items, C known customers, S stores, N products, P tokens (N + 3), W weeks, K snapshots, H purchases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

VERSION = 1
CACHE, VOCABULARY = "cache.json", "vocab.json"

PAD, UNK, MASK = 0, 1, 2
FIRST_PRODUCT = 3
# Of customers and stores: nobody that the cache knows; a customer's 0 is also the anonymous one's.
NOBODY = 0
# A day without an earlier basket of the customer.
NO_DAY = -1
WEEKS_OF_SNAPSHOT = 4

# Auxiliary task -> its classes. Stored as 1 + the class; 0: the row says nothing, or something else.
LABELS = {
    "mission_type": ("Small Shop", "Top Up", "Full Shop", "XX"),
    "mission_focus": ("Fresh", "Grocery", "Mixed", "Nonfood", "XX"),
    "price_sensitivity": ("LA", "MM", "UM", "XX"),
    "basket_size": ("S", "M", "L"),
}
SEGMENTS = ("seg_1", "seg_2")
PRODUCT_GROUPS = ("prod_code_10", "prod_code_20", "prod_code_30", "prod_code_40")
PRICES = ("actual", "prior", "base", "category_average")


@dataclass(frozen=True)
class Array:
    """One .npy file: its type, the shape (letters as in the module's docstring), and what it holds."""

    dtype: str
    shape: tuple[str | int, ...]
    meaning: str

    def shape_of(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape in numbers, where `sizes` says what each letter stands for."""
        return tuple(each if isinstance(each, int) else _resolved(each, sizes) for each in self.shape)


TABLES = {
    "product_embeddings": Array("float32", ("P", 256), "rows 0..2 are zero"),
    "co_purchase": Array("float16", ("P", "P"), "cosine of train baskets that hold both, 0 on the diagonal"),
    "product_baskets": Array("int64", ("P",), "train baskets that hold the product"),
    "weekly_baskets": Array("int32", ("W", "P"), "baskets of the week that hold the token: for weeks after it alone"),
    "customer_snapshots": Array("float16", ("K", "C+1", 160), "history 96, affinity 32, habits 32"),
    "store_features": Array("float32", ("S+1", 96), "format 24, region 24, operational 32, identity 16"),
    "prices": Array("float32", ("W", "P", 4), "PRICES in their order; 0: no price is known"),
    "customer_offsets": Array("int64", ("C+2",), "where each customer's purchases begin; nobody has none"),
    "purchases": Array(
        "uint16", ("H",), "tokens of train products that customers bought, by customer, in the order of visits"
    ),
    "purchase_days": Array("int16", ("H",), "days since the first day of the first week"),
}
SPLIT_ARRAYS = {
    "offsets": Array("int64", ("B+1",), "where each basket's items begin"),
    "items": Array("uint16", ("I",), "tokens; a product that train weeks do not have is UNK"),
    "basket_id": Array("int64", ("B",), "of the raw data"),
    "customer": Array("int32", ("B",), "0: anonymous"),
    "store": Array("uint16", ("B",), "0: a store that train weeks do not have"),
    "week": Array("uint16", ("B",), "index of the week, from 0; weeks without rows count"),
    "day": Array("int16", ("B",), "days since the first day of the first week"),
    "weekday": Array("uint8", ("B",), "1 is Sunday"),
    "hour": Array("uint8", ("B",), "0..23"),
    "labels": Array("uint8", ("B", 4), "LABELS in their order: 1 + the class, 0 unknown"),
    "segments": Array("uint8", ("B", 2), "SEGMENTS in their order: 1 + the value's index, 0 unknown"),
    "trips": Array("int32", ("B",), "the customer's own baskets before this one"),
    "days_since_previous": Array("int16", ("B",), "NO_DAY: none before this one"),
    "prior_purchases": Array("int32", ("B",), "how many of the customer's purchases come before this basket"),
}
SPLITS = ("train", "validation", "test")


def _resolved(size: str, sizes: Mapping[str, int]) -> int:
    """`C+1` is one more than C."""
    letter, _, more = size.partition("+")
    return sizes[letter] + int(more or 0)


def table_file(name: str) -> str:
    """Where a table lies in the cache."""
    return f"{name}.npy"


def split_file(split: str, name: str) -> str:
    """Where an array of a split lies in the cache."""
    return f"{split}/{name}.npy"


def snapshots_of(weeks: int) -> int:
    """K: a snapshot for every block of four weeks, the last of which may be shorter."""
    return -(-weeks // WEEKS_OF_SNAPSHOT)


def samples_file(split: str) -> str:
    """The documented sample index of a split."""
    return f"{split}_samples.parquet"
