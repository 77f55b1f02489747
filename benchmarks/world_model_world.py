"""A tensor cache from raw rows, by the world model's own domain functions, week by week and without Dagster.

The rows are a simulated retailer's, or those of a folder with a calendar. What is trained on the cache and how it does is
`benchmarks.world_model_quality`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.world_model import (
    baskets,
    cache_builder,
    customer_features,
    extraction,
    prices,
    product_embeddings,
    splits,
    store_features,
)
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.raw_files import RawFolder
from platform_assets.world_model.raw_weeks import RawWeeks

FEATURES = ("product_embeddings", "customer_features", "store_features", "prices")


def build_world(raw: str, folder: Path, start: date | None = None) -> Path:
    """The cache of the raw folder as of its last week with rows; `start` leaves out the weeks before it."""
    engine = Engine(_made(folder / "spill"))
    calendar = RawFolder(raw).calendar()
    weeks = [week.key for week in calendar.weeks if start is None or week.first >= start]
    transactions, visits = _extract(RawWeeks(RawFolder(raw), engine, weeks, _made(folder / "parts")), folder, engine)
    # A calendar may go on beyond what has been sold.
    split = splits.split_weeks(weeks, max(week for week in weeks if pq.read_metadata(visits[week]).num_rows))
    transactions, visits = ({week: files[week] for week in split.weeks} for files in (transactions, visits))
    _build_features(engine, split, transactions, visits, folder)
    inputs = CacheInputs(transactions, visits, **{name: folder / name for name in FEATURES})
    return cache_builder.build_cache(engine, inputs, split, folder / "tensor_cache", folder / "scratch")


def _build_features(
    engine: Engine, split: splits.Split, transactions: Mapping[str, Path], visits: Mapping[str, Path], folder: Path
) -> None:
    """Each feature into its own folder."""
    products, customers, stores, priced = (_made(folder / name) for name in FEATURES)
    train = {week: transactions[week] for week in split.train}
    files = product_embeddings.build_embeddings(engine, train, products)
    weeks = customer_features.Weeks(split, transactions, visits)
    named = files[product_embeddings.PRODUCTS], files[product_embeddings.EMBEDDINGS]
    customer_features.build_features(engine, weeks, *named, customers)
    store_features.build_store_features(engine, {week: visits[week] for week in split.train}, train, stores)
    prices.build_prices(engine, transactions, priced)


def _extract(raw: RawWeeks, folder: Path, engine: Engine) -> tuple[dict[str, Path], dict[str, Path]]:
    """Transactions and baskets of every week."""
    transactions, visits = {}, {}
    for week in raw.keys:
        place = _made(folder / "weeks" / week)
        transactions[week] = extraction.extract_week(raw.read(week, place), engine, place).transactions
        visits[week] = baskets.build_week(engine, transactions[week], place)
    return transactions, visits


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
