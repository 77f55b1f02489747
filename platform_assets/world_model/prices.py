"""A price of every product in every week, chain-wide: 9 of 10 rows of real data cost what most rows of their week cost.

Every row is made of its own week and of weeks before it, never of later ones: a week's rows stay when weeks are added. Prices
of single stores do not belong here, nor what a model makes of a price.

W weeks, P products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.world_model.extraction import SQL

CODE_VERSION = transform.code_version(SQL / "prices.sql", Path(__file__))
PRICES = "prices.parquet"
BASE_WEEKS = 13
# As many as need no spill, and few enough runs of the engine not to count.
_WEEKS_AT_ONCE = 13
_UNSOLD = np.iinfo(np.int64).max


@dataclass(frozen=True)
class PriceFiles:
    """`prices` is what is published; `observed` holds the weekly prices that it was made of, for the checks.

    observed: week_index, prod_code, prod_code_10, cents, lowest, highest.
    """

    prices: Path
    observed: Path


def build_prices(engine: Engine, transactions: Mapping[str, Path], folder: Path) -> PriceFiles:
    """The prices of all weeks, one row per product and week from the product's first priced week on.

    `transactions` has a file for every week of the calendar from its first on, oldest first; a week may have 0 rows. Rows are
    ordered by week and product. Where a product is not sold its last price holds (`sold` is false).
    """
    observed = _observe(engine, transactions, folder)
    files = PriceFiles(folder / PRICES, folder / "observed.parquet")
    pq.write_table(observed, files.observed)
    pq.write_table(_price_rows(observed, list(transactions)), files.prices)
    return files


def _observe(engine: Engine, transactions: Mapping[str, Path], folder: Path) -> pa.Table:
    found, sql, paths = [], transform.load(SQL / "prices.sql"), list(transactions.values())
    first_day = {"first_day": date.fromisoformat(next(iter(transactions)))}
    for start in range(0, len(paths), _WEEKS_AT_ONCE):
        target = folder / f"week_prices-{start}.parquet"
        engine.run(sql, {"transactions": paths[start : start + _WEEKS_AT_ONCE]}, {"week_prices": target}, first_day)
        found.append(pq.read_table(target))
    return pa.concat_tables(found)


def _price_rows(observed: pa.Table, weeks: list[str]) -> pa.Table:
    codes = np.unique(observed["prod_code"].to_numpy())
    categories, category = np.unique(observed["prod_code_10"].to_numpy(), return_inverse=True)
    place = observed["week_index"].to_numpy(), np.searchsorted(codes, observed["prod_code"].to_numpy())
    sold = np.full((len(weeks), len(codes)), _UNSOLD)
    sold[place] = observed["cents"].to_numpy()
    belongs = np.zeros(sold.shape, np.int64)
    belongs[place] = category
    last = _last_sold(sold != _UNSOLD)
    known = last >= 0
    actual = np.where(known, np.take_along_axis(sold, np.maximum(last, 0), axis=0), 0)
    belongs = np.take_along_axis(belongs, np.maximum(last, 0), axis=0)
    columns = {
        "actual": actual / 100,
        "prior": _prior(actual, known) / 100,
        "base": _base(sold, actual) / 100,
        "category_average": _category_average(actual, known, belongs, len(categories)) / 100,
        "sold": sold != _UNSOLD,
    }
    week, product = np.nonzero(known)
    return pa.table(
        {
            "week": pc.take(pa.array(weeks, pa.string()), pa.array(week)),
            "week_index": pa.array(week.astype(np.int32)),
            "prod_code": pc.take(pa.array(codes, pa.string()), pa.array(product)),
            **{name: pa.array(values[known]) for name, values in columns.items()},
        }
    )


def _last_sold(sold: np.ndarray) -> np.ndarray:
    """(W, P) the last week up to each in which the product was sold, -1 before the first."""
    return np.maximum.accumulate(np.where(sold, np.arange(len(sold))[:, None], -1), axis=0)


def _prior(actual: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(W, P) cents of the week before; of a product's first week its own."""
    before = np.vstack([actual[:1], actual[:-1]])
    return np.where(np.vstack([known[:1], known[:-1]]), before, actual)


def _base(sold: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """(W, P) median cents of the weeks with a sale among the BASE_WEEKS before; where there is none, `actual`."""
    found = actual.astype(np.float64)
    for week in range(1, len(sold)):
        window = np.sort(sold[max(0, week - BASE_WEEKS) : week], axis=0)  # unsold weeks come last
        count = (window != _UNSOLD).sum(axis=0)
        lower, upper = (
            np.take_along_axis(window, place[None], axis=0)[0] for place in (np.maximum(count - 1, 0) // 2, count // 2)
        )
        found[week] = np.where(count > 0, lower / 2 + upper / 2, found[week])
    return found


def _category_average(actual: np.ndarray, known: np.ndarray, belongs: np.ndarray, categories: int) -> np.ndarray:
    """(W, P) mean cents of the week's products of the same category. Sums of whole numbers: exact in any order."""
    found = np.zeros(actual.shape)
    for week, (cents, here, category) in enumerate(zip(actual, known, belongs, strict=True)):
        sums = np.bincount(category[here], cents[here], categories)
        counts = np.bincount(category[here], minlength=categories)
        found[week] = (sums / np.maximum(counts, 1))[category]
    return found
