"""What a tensor cache is built from, small: weekly files as published, and features that fit them, from a list of baskets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import log1p
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.world_model import cache_builder, snapshot_recount, splits
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.splits import Split

FIRST = date(2006, 4, 10)
# One week of train: the shortest calendar that can be split.
WEEKS = tuple((FIRST + timedelta(weeks=n)).isoformat() for n in range(splits.LEAST_WEEKS))
SPLIT = splits.split_weeks(WEEKS, WEEKS[-1])
SEGMENTS = {"seg_1": ["AZ", "CT"], "seg_2": ["FN"]}
ROWS = pa.schema([("basket_id", pa.int64()), ("prod_code", pa.string())])
BASKETS = pa.schema(
    [
        ("basket_id", pa.int64()), ("cust_code", pa.string()), ("store_code", pa.string()), ("shop_week", pa.int32()),
        ("shop_weekday", pa.int8()), ("shop_hour", pa.int8()), ("shop_date", pa.date32()), ("num_products", pa.int32()), ("num_items", pa.int64()),
        ("basket_type", pa.string()), ("basket_dominant_mission", pa.string()),
        ("basket_price_sensitivity", pa.string()), ("basket_size", pa.string()), ("seg_1", pa.string()),
        ("seg_2", pa.string()), ("cust_price_sensitivity", pa.string()), ("cust_lifestage", pa.string()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Basket:
    """One visit; `day` counts from the first day of the calendar."""

    basket_id: int
    day: int
    hour: int
    customer: str | None
    store: str
    products: tuple[str, ...]
    kind: str | None = "Top Up"
    seg_1: str | None = "CT"

    @property
    def week(self) -> int:
        """Its number, from 0."""
        return self.day // 7

    @property
    def moment(self) -> tuple[int, int, int]:
        """What visits are ordered by."""
        return self.day, self.hour, self.basket_id

    def row(self) -> dict[str, Any]:
        """As the weekly baskets have it."""
        return {
            "basket_id": self.basket_id, "cust_code": self.customer, "store_code": self.store,
            "shop_week": 200607 + self.week, "shop_weekday": (self.day % 7 + 1) % 7 + 1, "shop_hour": self.hour,
            "shop_date": FIRST + timedelta(days=self.day), "num_products": len(self.products), "num_items": 2 * len(self.products), "basket_type": self.kind,
            "basket_dominant_mission": "Fresh", "basket_price_sensitivity": "MM", "basket_size": "odd",
            "seg_1": self.seg_1, "seg_2": None, "cust_price_sensitivity": None, "cust_lifestage": None,
        }  # fmt: skip


def write_inputs(folder: Path, baskets: Sequence[Basket], split: Split = SPLIT) -> CacheInputs:
    """Weekly files and features of these baskets."""
    transactions, weekly = {}, {}
    for number, week in enumerate(split.weeks):
        found = sorted((each for each in baskets if each.week == number), key=lambda each: each.moment)
        rows = [{"basket_id": each.basket_id, "prod_code": code} for each in found for code in sorted(each.products)]
        transactions[week] = _write(folder / week / "transactions.parquet", rows, ROWS)
        weekly[week] = _write(folder / week / "baskets.parquet", [each.row() for each in found], BASKETS)
    features = write_features(folder, baskets, split)
    return CacheInputs(transactions, weekly, **features)


def write_features(folder: Path, baskets: Sequence[Basket], split: Split = SPLIT) -> dict[str, Path]:
    """Feature -> a folder with its files; the numbers are random, what is counted is counted."""
    rng = np.random.default_rng(7)
    train = [each for each in baskets if each.week < len(split.train)]
    return {
        "product_embeddings": _write_products(folder / "product_embeddings", train, rng),
        "customer_features": _write_customers(folder / "customer_features", baskets, split, rng),
        "store_features": _write_stores(folder / "store_features", train, rng),
        "prices": _write_prices(folder / "prices", baskets, split),
    }


def build(folder: Path, inputs: CacheInputs, split: Split = SPLIT, seed: int = 0, threads: int = 1) -> Path:
    """The cache of these inputs."""
    engine = Engine(folder / "spill", threads=threads)
    return cache_builder.build_cache(engine, inputs, split, folder / "cache", folder / "scratch", seed)


def some_baskets(count: int = 300, seed: int = 0) -> list[Basket]:
    """Baskets of every split; later ones have products, stores and customers that train weeks have not. Week 20 is empty."""
    rng, found = np.random.default_rng(seed), []
    for number in rng.permutation(count):
        day = 0 if number % 3 == 0 else int(rng.integers(7, 7 * len(WEEKS)))
        day = day + 7 if day // 7 == 20 else day
        codes, customers, stores = (8, 7, 3) if day < 7 else (11, 7 if day < 70 else 10, 4)
        products = rng.choice(codes, int(rng.integers(1, codes)), replace=False)
        found.append(
            Basket(
                1000 + int(number), day, int(rng.integers(8, 11)),
                None if number % 5 == 0 else f"CUST{int(rng.integers(1, customers))}",
                f"STORE{int(rng.integers(1, stores))}", tuple(f"PRD{product:02}" for product in products),
                kind=str(rng.choice(["Small Shop", "Full Shop", "XX", "odd"])),
                seg_1=None if number % 7 == 0 else "AZ",
            )
        )  # fmt: skip
    return found


def _write(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)
    return path


def _write_products(folder: Path, train: Sequence[Basket], rng: np.random.Generator) -> Path:
    codes = sorted({code for each in train for code in each.products})
    rows = [
        {
            "token": token, "prod_code": code, **{level: f"{level[-2:]}-{code[:4]}" for level in layout.PRODUCT_GROUPS},
            "baskets": sum(code in each.products for each in train),
        }
        for token, code in enumerate(codes, layout.FIRST_PRODUCT)
    ]  # fmt: skip
    kinds = [("token", pa.int32()), ("prod_code", pa.string())]
    kinds += [*((level, pa.string()) for level in layout.PRODUCT_GROUPS), ("baskets", pa.int64())]
    _write(folder / "products.parquet", rows, pa.schema(kinds))
    tokens = len(codes) + layout.FIRST_PRODUCT
    _random(folder, "product_embeddings", (tokens, 256), rng)
    _random(folder, "co_purchase", (tokens, tokens), rng)
    return folder


def _write_customers(folder: Path, baskets: Sequence[Basket], split: Split, rng: np.random.Generator) -> Path:
    first: dict[str, int] = {}
    for each in baskets:
        if each.customer:
            first[each.customer] = min(first.get(each.customer, each.week), each.week)
    ordered = sorted(first.items(), key=lambda item: (item[1], item[0]))
    rows = [
        {"customer": number, "cust_code": code, "first_week": split.weeks[week]}
        for number, (code, week) in enumerate(ordered, 1)
    ]
    kinds = [("customer", pa.int32()), ("cust_code", pa.string()), ("first_week", pa.string())]
    _write(folder / "customers.parquet", rows, pa.schema(kinds))
    (folder / "segments.json").write_text(json.dumps(SEGMENTS))
    snapshots = rng.normal(size=(layout.snapshots_of(len(split.weeks)), len(rows) + 1, 160)).astype(np.float16)
    weeks = np.array([len(split.weeks), *(week for _, week in ordered)])
    snapshots[layout.WEEKS_OF_SNAPSHOT * np.arange(len(snapshots))[:, None] <= weeks] = 0
    for number, snapshot in enumerate(snapshots):
        for row, (code, week) in enumerate(ordered, 1):
            if week < number * layout.WEEKS_OF_SNAPSHOT:
                snapshot[row, snapshot_recount.COLUMNS] = _habits(code, baskets, number * layout.WEEKS_OF_SNAPSHOT)
    np.save(folder / "customer_snapshots.npy", snapshots)
    return folder


def _habits(customer: str, baskets: Sequence[Basket], begin: int) -> list[float]:
    """`snapshot_recount.RECOUNTED` of a customer before a week."""
    own = [each for each in baskets if each.customer == customer and each.week < begin]
    weeks, items = [each.week for each in own], sum(each.row()["num_items"] for each in own)
    return [log1p(len(own)), log1p(items), (begin - max(weeks)) / 52, (begin - min(weeks)) / 52]


def _write_stores(folder: Path, train: Sequence[Basket], rng: np.random.Generator) -> Path:
    rows = [
        {"store": number, "store_code": code} for number, code in enumerate(sorted({each.store for each in train}), 1)
    ]
    _write(folder / "stores.parquet", rows, pa.schema([("store", pa.int32()), ("store_code", pa.string())]))
    _random(folder, "store_features", (len(rows) + 1, 96), rng)
    return folder


def _write_prices(folder: Path, baskets: Sequence[Basket], split: Split) -> Path:
    """Every product has a price in every week from its first one on: 10 times its number, plus the week."""
    first: dict[str, int] = {}
    for each in baskets:
        for code in each.products:
            first[code] = min(first.get(code, each.week), each.week)
    rows = [
        {
            "week": key, "week_index": week, "prod_code": code,
            **{name: place + week / 100 + 10 * int(code[3:]) for place, name in enumerate(layout.PRICES, 1)},
        }
        for code, began in sorted(first.items())
        for week, key in enumerate(split.weeks)
        if week >= began
    ]  # fmt: skip
    kinds = [("week", pa.string()), ("week_index", pa.int32()), ("prod_code", pa.string())]
    _write(folder / "prices.parquet", rows, pa.schema([*kinds, *((name, pa.float64()) for name in layout.PRICES)]))
    return folder


def _random(folder: Path, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    np.save(folder / layout.table_file(name), rng.normal(size=shape).astype(layout.TABLES[name].dtype))
