"""Puts the baskets of a split where they lie in a tensor cache, and the purchases of the customers one after the other.

A basket's row is drawn once a split (`tensor_layout`). Purchases are laid out by a counting sort: how many each customer has
is known from the first pass over the weeks, so that every basket of the second one knows where its items go, and how many
lie before them. What is large is written memory-mapped; in memory are a week, and one number a basket of the split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model import cache_files, ragged
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_files import SplitCounts, Vocabulary
from platform_assets.world_model.cache_inputs import CacheInputError, indices_of
from platform_assets.world_model.cache_items import WeekItems, customer_indices, days_since

if TYPE_CHECKING:
    import pyarrow as pa

# Rows of the sample index that are decoded at a time.
BATCH_ROWS = 500_000
# The columns of the sample index that an array comes from, and what makes it of a batch of them.
Encoded = tuple[tuple[str, ...], Callable[["pa.Table"], NDArray[Any]]]


class Purchases:
    """Every customer's purchases, filled in week by week, oldest first."""

    def __init__(self, folder: Path, counts: NDArray[np.int64]) -> None:
        """`counts` [C+1]: how many purchases each customer has; nobody has none."""
        self._offsets = ragged.offsets(counts)
        self._next = self._offsets[:-1].copy()
        cache_files.save(
            folder, layout.table_file("customer_offsets"), self._offsets, layout.TABLES["customer_offsets"]
        )
        self._tokens, self._days = (
            cache_files.create(folder, layout.table_file(name), layout.TABLES[name].dtype, (int(self._offsets[-1]),))
            for name in ("purchases", "purchase_days")
        )

    def add(self, week: WeekItems) -> NDArray[np.int64]:
        """Put a week's purchases behind those before it; returns [b] how many purchases come before each basket."""
        bought = known_purchases(week)
        # Baskets by customer, in the order of visits: each begins where the one before it ends.
        order = np.argsort(week.customer, kind="stable")
        customers = week.customer[order]
        before = ragged.offsets(bought[order])[:-1]
        begins = np.searchsorted(customers, customers)
        begin = np.empty(len(order), np.int64)
        begin[order] = self._next[customers] + before - before[begins]
        self._place(week, bought, begin)
        self._next += np.bincount(week.customer, bought, len(self._next)).astype(np.int64)
        return np.where(week.customer == layout.NOBODY, 0, begin - self._offsets[week.customer])

    def close(self) -> None:
        """Raises CacheInputError unless every purchase that was counted was placed."""
        if not np.array_equal(self._next, self._offsets[1:]):
            raise CacheInputError("the two passes over the weeks disagree: a file of the scratch folder was changed")
        for array in (self._tokens, self._days):
            if isinstance(array, np.memmap):
                array.flush()

    def _place(self, week: WeekItems, bought: NDArray[np.int64], begin: NDArray[np.int64]) -> None:
        known = np.repeat(week.customer != layout.NOBODY, week.lengths) & (week.tokens >= layout.FIRST_PRODUCT)
        places = ragged.places(begin, bought)
        self._tokens[places] = week.tokens[known]
        self._days[places] = np.repeat(week.day, bought)


def known_purchases(week: WeekItems) -> NDArray[np.int64]:
    """[b] how many items of each basket are purchases: of a known customer, of a product of the train weeks."""
    if not len(week.lengths):
        return np.zeros(0, np.int64)
    known = np.add.reduceat(week.tokens >= layout.FIRST_PRODUCT, week.starts, dtype=np.int64)
    return np.where(week.customer == layout.NOBODY, 0, known)


def draw_rows(seed: int, split: str, baskets: int) -> NDArray[np.int32]:
    """[B] the row of each basket of a split, the baskets counted in the order of visits."""
    rng = np.random.default_rng((seed, layout.SPLITS.index(split), 1))
    return rng.permutation(np.arange(baskets, dtype=np.int32))


def write_items(
    folder: Path, split: str, weeks: Iterable[Path], rows: NDArray[np.int32], purchases: Purchases
) -> SplitCounts:
    """The arrays of a split that come from its items, and their counts. `weeks` are the folders of its weeks, oldest first."""
    weeks = list(weeks)
    lengths = np.zeros(len(rows), np.int32)
    for place, path in _stretches(weeks):
        found = np.load(path / "lengths.npy", allow_pickle=False)
        lengths[rows[place : place + len(found)]] = found
    offsets = ragged.offsets(lengths)
    cache_files.save(folder, layout.split_file(split, "offsets"), offsets, layout.SPLIT_ARRAYS["offsets"])
    kind, name = layout.SPLIT_ARRAYS["items"], layout.split_file(split, "items")
    items = cache_files.create(folder, name, kind.dtype, (int(offsets[-1]),))
    prior, unknown = np.zeros(len(rows), np.int32), 0
    for place, path in _stretches(weeks):
        week = WeekItems.load(path)
        row = rows[place : place + len(week.lengths)]
        items[ragged.places(offsets[row], week.lengths)] = week.tokens
        prior[row] = purchases.add(week)
        unknown += int((week.tokens == layout.UNK).sum())
    if isinstance(items, np.memmap):
        items.flush()
    np.save(folder / layout.split_file(split, "prior_purchases"), prior)
    return SplitCounts(baskets=len(rows), items=int(offsets[-1]), unknown_products=unknown)


def write_columns(
    folder: Path, split: str, samples: Path, rows: NDArray[np.int32], vocabulary: Vocabulary, first_day: date
) -> dict[str, int]:
    """The arrays of a split that come from its sample index, one after the other; how many baskets have no known store, or
    customer."""
    counts = {}
    for name, (columns, encode) in _columns(vocabulary, first_day).items():
        kind = layout.SPLIT_ARRAYS[name]
        array = np.zeros(kind.shape_of({"B": len(rows)}), np.dtype(kind.dtype))
        for place, batch in _batches(samples, columns):
            array[rows[place : place + len(batch)]] = _held(encode(batch), array.dtype, samples, name)
        np.save(folder / layout.split_file(split, name), array)
        if name in ("store", "customer"):
            counts[name] = int((array == layout.NOBODY).sum())
    return {"unknown_stores": counts["store"], "anonymous": counts["customer"]}


def require_same_order(split: str, samples: Path, weeks: Iterable[Path]) -> int:
    """How many baskets a split has. Raises CacheInputError unless its sample index has those of the weeks, in their order."""
    ids = (np.load(path / "basket_id.npy", allow_pickle=False) for path in weeks)
    ahead, count = np.zeros(0, np.int64), 0
    for _, batch in _batches(samples, ("basket_id",)):
        while len(ahead) < len(batch) and (following := next(ids, None)) is not None:
            ahead = np.concatenate([ahead, following])
        if not np.array_equal(ahead[: len(batch)], batch["basket_id"].to_numpy()):
            raise CacheInputError(f"the samples of {split} are not its weeks' baskets in the order of visits")
        ahead, count = ahead[len(batch) :], count + len(batch)
    if len(ahead) or any(len(following) for following in ids):
        raise CacheInputError(f"the samples of {split} end before its weeks' baskets do")
    return count


def _columns(vocabulary: Vocabulary, first_day: date) -> dict[str, Encoded]:
    """Every array that comes from the sample index."""

    def plain(name: str, less: int = 0) -> Encoded:
        return (name,), lambda rows: rows[name].to_numpy() - less

    def classes(values: dict[str, Sequence[str]]) -> Encoded:
        return tuple(values), lambda rows: np.stack([indices_of(rows[name], values[name]) + 1 for name in values], 1)

    return {
        "basket_id": plain("basket_id"),
        "customer": (("customer_id",), lambda rows: customer_indices(rows["customer_id"], vocabulary.customers)),
        "store": (("store_id",), lambda rows: indices_of(rows["store_id"], vocabulary.stores) + 1),
        "week": plain("week", 1),
        "day": (("date",), lambda rows: days_since(first_day, rows["date"])),
        "weekday": plain("weekday"),
        "hour": plain("hour"),
        "labels": classes(dict(layout.LABELS)),
        "segments": classes({name: vocabulary.segments[name] for name in layout.SEGMENTS}),
        "trips": plain("history_length"),
        "days_since_previous": (
            ("days_since_previous",),
            lambda rows: rows["days_since_previous"].fill_null(layout.NO_DAY).to_numpy(),
        ),
    }


def _held(values: NDArray[Any], dtype: np.dtype, samples: Path, name: str) -> NDArray[Any]:
    """The values, once it is sure that the type holds them."""
    limits = np.iinfo(dtype)
    if len(values) and (values.min() < limits.min or values.max() > limits.max):
        raise CacheInputError(f"{samples.name}: {name} goes from {values.min()} to {values.max()}, too far for {dtype}")
    return values


def _batches(samples: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """Where each batch of rows begins, and the batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = 0
    with pq.ParquetFile(samples) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
            yield place, pa.Table.from_batches([batch])
            place += len(batch)


def _stretches(weeks: Sequence[Path]) -> Iterator[tuple[int, Path]]:
    """Where each week's baskets begin in the order of visits, and its folder."""
    place = 0
    for path in weeks:
        yield place, path
        place += len(np.load(path / "basket_id.npy", mmap_mode="r", allow_pickle=False))
