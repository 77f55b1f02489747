"""The customers of a split, what each was known for before every block of four weeks, and the values of their segments.

    customers.parquet        customer, cust_code, first_week
    customer_snapshots.npy   [K, C+1, 160] float16: history 96, affinity 32, habits 32 (customer_history.HABITS)
    segments.json            {"seg_1": [values], "seg_2": [values]}

Snapshot k serves the baskets of week indices 4k to 4k+3 and knows only the weeks before 4k. What vectors are scaled by, the
products' vectors, the categories and their shares, comes from the train weeks and is the same for every snapshot. A customer's
segments say nothing of when they were drawn up: they are the retailer's, and not point-in-time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model import customer_history, tensor_layout
from platform_assets.world_model.customer_history import AFFINITY_WIDTH, HISTORY_WIDTH, WIDTH, Floats, Histories, Ints
from platform_assets.world_model.extraction import SQL
from platform_assets.world_model.splits import Split

if TYPE_CHECKING:
    import pyarrow as pa

CODE_VERSION = transform.code_version(
    SQL / "customer_features.sql", Path(__file__), Path(customer_history.__file__), Path(tensor_layout.__file__)
)
CUSTOMERS, SNAPSHOTS, SEGMENTS = "customers.parquet", "customer_snapshots.npy", "segments.json"
BLOCK = tensor_layout.WEEKS_OF_SNAPSHOT
# Customers who came within as many weeks before a snapshot are shown as active.
ACTIVE_WEEKS = 13
_ITEM_COLUMNS = ["cust_code", "prod_code", "prod_code_30"]
_VISIT_COLUMNS = ["cust_code", "shop_hour", "shop_weekday", "basket_type", "num_products", "num_items", "spend"]


@dataclass(frozen=True)
class Weeks:
    """The rows of a split's weeks: week key -> local file, for every week of it."""

    split: Split
    transactions: Mapping[str, Path]
    baskets: Mapping[str, Path]

    def __post_init__(self) -> None:
        for name, files in (("transactions", self.transactions), ("baskets", self.baskets)):
            if missing := [week for week in self.split.weeks if week not in files]:
                raise ValueError(f"no {name} of {', '.join(missing)}: a split needs every week; publish them first")


@dataclass(frozen=True)
class Constants:
    """Fit on train weeks: `products` and their `vectors` [N, 96]; sorted `categories` and the `shares` [32] of their columns."""

    products: tuple[str, ...]
    vectors: Floats
    categories: tuple[str, ...]
    shares: Floats


@dataclass(frozen=True)
class CustomerFeatures:
    """What was written, and by snapshot how many customers were known, and how many of them active."""

    files: Mapping[str, Path]
    known: tuple[int, ...]
    active: tuple[int, ...]


def build_features(engine: Engine, weeks: Weeks, products: Path, embeddings: Path, folder: Path) -> CustomerFeatures:
    """Write the three files into `folder`; `products` and `embeddings` are those of the split's product_embeddings.

    Raises ValueError for files that do not belong together.
    """
    import pyarrow.parquet as pq

    tables = {name: folder / f"found_{name}.parquet" for name in ("customers", "categories", "segments")}
    train = weeks.split.train
    inputs = {
        "baskets": [weeks.baskets[week] for week in weeks.split.weeks],
        "train_baskets": [weeks.baskets[week] for week in train],
        "train_transactions": [weeks.transactions[week] for week in train],
    }
    engine.run(transform.load(SQL / "customer_features.sql"), inputs, tables)
    files = {name: folder / name for name in (CUSTOMERS, SNAPSHOTS, SEGMENTS)}
    # Published by its bytes, and those of the engine's own files depend on its threads.
    pq.write_table(pq.read_table(tables["customers"]), files[CUSTOMERS])
    files[SEGMENTS].write_text(json.dumps(_segments(tables["segments"]), indent=1) + "\n", encoding="utf-8")
    constants = fit_constants(products, embeddings, tables["categories"])
    known, active = write_snapshots(files[SNAPSHOTS], weeks, files[CUSTOMERS], constants)
    return CustomerFeatures(files, known, active)


def fit_constants(products: Path, embeddings: Path, categories: Path) -> Constants:
    """The constants; `categories` holds how many items of each the known customers of the train weeks bought."""
    import pyarrow.parquet as pq

    codes = pq.read_table(products, columns=["prod_code"])["prod_code"].to_pylist()
    vectors = np.load(embeddings, mmap_mode="r", allow_pickle=False)
    rows = tensor_layout.FIRST_PRODUCT + len(codes)
    if vectors.ndim != 2 or len(vectors) != rows or vectors.shape[1] < HISTORY_WIDTH:
        raise ValueError(
            f"{embeddings.name} is {list(vectors.shape)}, and {len(codes)} products need {rows} rows of {HISTORY_WIDTH} or more: "
            "materialise product_embeddings of this week again"
        )
    found = pq.read_table(categories).to_pydict()
    own = _category_columns(len(found["category"]))[:-1]
    items = np.bincount(own, np.asarray(found["items"], dtype=np.float64), minlength=AFFINITY_WIDTH)
    firsts = vectors[tensor_layout.FIRST_PRODUCT :, :HISTORY_WIDTH].astype(np.float64)
    return Constants(tuple(codes), firsts, tuple(found["category"]), items / max(items.sum(), 1.0))


def write_snapshots(
    path: Path, weeks: Weeks, customers: Path, constants: Constants
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Write every snapshot, a week at a time; by snapshot, how many customers are known and how many active."""
    import pyarrow.parquet as pq

    keys, table = weeks.split.weeks, pq.read_table(customers)
    first_week = np.asarray([keys.index(key) for key in table["first_week"].to_pylist()], dtype=np.int64)
    codes, blocks = table["cust_code"].combine_chunks(), -(-len(keys) // BLOCK)
    histories = Histories(first_week, constants.vectors, constants.shares)
    known, active = [0] * blocks, [0] * blocks
    np.lib.format.open_memmap(path, "w+", np.float16, (blocks, len(codes) + 1, WIDTH))  # zeros, not yet on the disk
    for block in range(1, blocks):
        begin = block * BLOCK
        for week in range(begin - BLOCK, begin):
            _add_week(histories, weeks, week, codes, constants)
        _write_snapshot(path, block, histories.vectors(begin))
        known[block], active[block] = histories.known(begin), histories.seen_since(max(begin - ACTIVE_WEEKS, 0))
    return tuple(known), tuple(active)


def _write_snapshot(path: Path, block: int, vectors: Floats) -> None:
    # Mapped anew for each: pages of the snapshots before would count as this process's memory.
    snapshots = np.lib.format.open_memmap(path, "r+")
    snapshots[block, 1 : len(vectors) + 1] = vectors
    snapshots.flush()


def _add_week(histories: Histories, weeks: Weeks, week: int, codes: pa.Array, constants: Constants) -> None:
    key = weeks.split.weeks[week]
    items = _known(weeks.transactions[key], _ITEM_COLUMNS)
    visits = _known(weeks.baskets[key], _VISIT_COLUMNS)
    category = _positions(items["prod_code_30"], constants.categories)
    histories.add_week(
        week,
        customer_history.Items(
            _customers(items, codes, f"transactions of {key}"),
            _positions(items["prod_code"], constants.products),
            _category_columns(len(constants.categories))[category],
        ),
        customer_history.Visits(
            _customers(visits, codes, f"baskets of {key}"),
            visits["shop_hour"].to_numpy(),
            visits["shop_weekday"].to_numpy(),
            _positions(visits["basket_type"], customer_history.BASKET_TYPES, len(customer_history.BASKET_TYPES)),
            *(visits[name].to_numpy().astype(np.float64) for name in ("num_products", "num_items", "spend")),
        ),
    )


def _category_columns(categories: int) -> NDArray[Any]:
    """[categories + 1] the column of each; those from the 32nd on share the last one with what train weeks do not have."""
    columns = np.minimum(np.arange(categories + 1), AFFINITY_WIDTH - 1)
    columns[-1] = AFFINITY_WIDTH - 1
    return columns


def _known(path: Path, columns: Sequence[str]) -> pa.Table:
    """Rows of customers, without the anonymous ones."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=list(columns))
    return table.filter(table["cust_code"].is_valid())


def _customers(table: pa.Table, codes: pa.Array, what: str) -> Ints:
    found = _positions(table["cust_code"], codes)
    if missing := int((found < 0).sum()):
        raise ValueError(f"{missing} rows in {what} are of customers without any basket: materialise its baskets again")
    return found


def _positions(values: pa.ChunkedArray, known: Sequence[str] | pa.Array, absent: int = -1) -> Ints:
    """Of each value its place among the known ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    value_set = known if isinstance(known, pa.Array) else pa.array(known, values.type)
    places = pc.call_function("index_in", [values], pc.SetLookupOptions(value_set))
    return places.fill_null(absent).to_numpy()


def _segments(path: Path) -> dict[str, list[str]]:
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return {name: [row["segment"] for row in rows if row["name"] == name] for name in tensor_layout.SEGMENTS}
