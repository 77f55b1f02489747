"""A small random tensor cache, valid by the layout: for tests of whatever reads one.

Written straight into arrays, without the builder: baskets are drawn in the order of visits, and everything said of them
follows from them as in a real cache (co-purchases, product counts, purchases, trips, samples). Customers have tastes, a fifth
of the baskets is anonymous, some products and one store are unknown, and the second validation week is empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from platform_assets.world_model import cache_files, splits
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_files import Document, SplitCounts, Vocabulary

FIRST = date(2006, 4, 10)
ANONYMOUS_SHARE, UNKNOWN_SHARE = 0.2, 0.02
SEGMENT_VALUES = {"seg_1": ("AZ", "BG", "CT", "DI"), "seg_2": ("FN", "BU", "SV", "AT", "DY", "CZ")}


@dataclass
class Visit:
    """One basket; `items` are tokens. Indices as in the arrays, `split` by its place in the layout's SPLITS."""

    split: int
    week: int
    day: int
    hour: int
    customer: int
    store: int
    items: list[int]
    labels: list[int]
    basket_id: int = 0
    segments: list[int] = field(default_factory=lambda: [0, 0])
    trips: int = 0
    since: int = layout.NO_DAY
    prior: int = 0
    first_in_store: bool = True

    @property
    def weekday(self) -> int:
        """1 is Sunday; a week begins on Monday."""
        return (self.day % 7 + 1) % 7 + 1


def write_small_cache(
    folder: Path, seed: int = 0, baskets: tuple[int, int, int] = (400, 80, 120), products: int = 50, customers: int = 20,
    stores: int = 5, weeks: int = 40, longest: int = 60,
) -> Path:  # fmt: skip
    """Write the cache into `folder` and return it. `baskets` are of train, validation and test; lengths go up to `longest`,
    of which those above `products` are filled up with unknown products."""
    rng = np.random.default_rng(seed)
    keys = [(FIRST + timedelta(weeks=n)).isoformat() for n in range(weeks)]
    split = splits.split_weeks(keys, keys[-1])
    visits = _draw(rng, split, baskets, products, customers, stores, longest)
    first_weeks = _number_customers(visits, customers)
    histories = _look_back(rng, visits, customers)
    vocabulary = _vocabulary(products, customers, stores)
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(folder, rng, visits, histories, first_weeks, vocabulary, weeks)
    counts = {}
    for number, (name, part) in enumerate(zip(layout.SPLITS, (split.train, split.validation, split.test), strict=True)):
        chosen = [visit for visit in visits if visit.split == number]
        _write_samples(folder / layout.samples_file(name), chosen, name, vocabulary)
        order = rng.permutation(len(chosen))
        counts[name] = _write_split(folder, name, [chosen[place] for place in order], part)
    return cache_files.write_documents(folder, Document(keys, vocabulary, counts, seed))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taken over by name: `folder = small_cache.folder` in the module of the tests; its other fixtures likewise."""
    return write_small_cache(tmp_path_factory.mktemp("cache"))


def _draw(
    rng: np.random.Generator, split: splits.Split, baskets: tuple[int, int, int], products: int, customers: int, stores: int,
    longest: int,
) -> list[Visit]:  # fmt: skip
    """Every basket, in the order of visits."""
    tastes = rng.normal(0, 1.5, (customers + 1, products)) - np.log1p(np.arange(products))
    visits: list[Visit] = []
    for number, weeks in enumerate((split.train, split.validation, split.test)):
        first = split.weeks.index(weeks[0])
        empty = first + 1 if number == 1 else -1
        open_weeks = [week for week in range(first, first + len(weeks)) if week != empty]
        for place in range(baskets[number]):
            # Every product of a cache was bought in a train week.
            needed = [token for token in range(products) if not number and token % baskets[0] == place]
            customer = 0 if rng.random() < ANONYMOUS_SHARE else int(rng.integers(1, customers + 1))
            length = (
                longest if place == 1 else int(np.clip(rng.lognormal(np.log(4), 0.9), max(len(needed), 1), longest))
            )
            week, store = int(rng.choice(open_weeks)), int(rng.integers(1, stores + 1))
            visits.append(
                Visit(
                    number, week, 7 * week + int(rng.integers(7)), int(rng.integers(8, 23)), customer,
                    0 if number and rng.random() < UNKNOWN_SHARE else store, _items(rng, tastes[customer], needed, length),
                    [int(rng.integers(0, len(values) + 1)) for values in layout.LABELS.values()],
                )
            )  # fmt: skip
    # Ids say nothing of time.
    for visit, basket_id in zip(visits, rng.permutation(len(visits)), strict=True):
        visit.basket_id = 994100000000000 + int(basket_id)
    return sorted(visits, key=lambda visit: (visit.day, visit.hour, visit.basket_id))


def _items(rng: np.random.Generator, taste: NDArray[Any], needed: list[int], length: int) -> list[int]:
    """Tokens without repetition, by taste (Gumbel's top k), some of them unknown."""
    scores = taste + rng.gumbel(size=len(taste))
    scores[needed] = np.inf
    unknown = max(length - len(taste), int(rng.binomial(length, UNKNOWN_SHARE)) if length > len(needed) + 1 else 0)
    known = min(length - unknown, len(taste))
    tokens = [
        int(token) + layout.FIRST_PRODUCT for token in np.argsort(-scores, kind="stable")[: max(known, len(needed))]
    ]
    tokens += [layout.UNK] * (length - len(tokens))
    return [tokens[place] for place in rng.permutation(len(tokens))]


def _number_customers(visits: list[Visit], customers: int) -> NDArray[np.int64]:
    """Give the customers numbers in the order of their first weeks; returns those, [C+1], beyond the last week for nobody."""
    first = np.full(customers + 1, np.iinfo(np.int64).max)
    for visit in visits:
        if visit.customer:
            first[visit.customer] = min(first[visit.customer], visit.week)
    order = np.argsort(first[1:], kind="stable")
    new = {int(old) + 1: place + 1 for place, old in enumerate(order)}
    for visit in visits:
        visit.customer = new.get(visit.customer, layout.NOBODY)
    return np.concatenate([first[:1], first[1:][order]])


def _look_back(rng: np.random.Generator, visits: list[Visit], customers: int) -> dict[int, list[tuple[int, int]]]:
    """Fill in what a visit knows of the customer's earlier ones; returns each customer's (token, day)."""
    histories: dict[int, list[tuple[int, int]]] = {number: [] for number in range(1, customers + 1)}
    seen: dict[int, Visit] = {}
    stores: set[tuple[int, int]] = set()
    segments = {
        number: [int(rng.integers(0, len(values) + 1)) for values in SEGMENT_VALUES.values()] for number in histories
    }
    for visit in visits:
        if not visit.customer:
            continue
        bought, before = histories[visit.customer], seen.get(visit.customer)
        visit.segments, visit.prior = segments[visit.customer], len(bought)
        visit.trips, visit.since = (before.trips + 1, visit.day - before.day) if before else (0, layout.NO_DAY)
        visit.first_in_store = (visit.customer, visit.store) not in stores
        stores.add((visit.customer, visit.store))
        bought += [(token, visit.day) for token in visit.items if token >= layout.FIRST_PRODUCT]
        seen[visit.customer] = visit
    return histories


def _vocabulary(products: int, customers: int, stores: int) -> Vocabulary:
    groups = zip(layout.PRODUCT_GROUPS, ("CL", "DEP", "G", "D"), (4, 8, 12, 24), strict=True)
    return Vocabulary(
        [f"PRD{number:07}" for number in range(1, products + 1)],
        [f"CUST{number:010}" for number in range(1, customers + 1)],
        [f"STORE{number:05}" for number in range(1, stores + 1)],
        SEGMENT_VALUES,
        {level: [f"{name}{number // size + 1:05}" for number in range(products)] for level, name, size in groups},
    )


def _write_tables(
    folder: Path, rng: np.random.Generator, visits: list[Visit], histories: dict[int, list[tuple[int, int]]],
    first_weeks: NDArray[np.int64], vocabulary: Vocabulary, weeks: int,
) -> None:  # fmt: skip
    tokens, customers, stores = vocabulary.tokens, len(vocabulary.customers), len(vocabulary.stores)
    held = np.zeros((sum(visit.split == 0 for visit in visits), tokens))
    weekly = np.zeros((weeks, tokens), np.int64)
    for visit in visits:
        weekly[visit.week, [token for token in visit.items if token >= layout.FIRST_PRODUCT]] += 1
    for row, visit in enumerate(visit for visit in visits if visit.split == 0):
        held[row, [token for token in visit.items if token >= layout.FIRST_PRODUCT]] = 1
    baskets = held.sum(0)
    cosine = held.T @ held / np.sqrt(np.maximum(np.outer(baskets, baskets), 1))
    np.fill_diagonal(cosine, 0)
    vectors = rng.normal(0, 1, (tokens, 256)) * np.linspace(0.12, 0.01, 256)
    vectors[: layout.FIRST_PRODUCT] = 0
    blocks = -(-weeks // layout.WEEKS_OF_SNAPSHOT)
    snapshots = rng.normal(0, 0.5, (blocks, customers + 1, 160))
    # Known at block k: who came in a week before 4k.
    snapshots[layout.WEEKS_OF_SNAPSHOT * np.arange(blocks)[:, None] <= first_weeks[None, :]] = 0
    features = rng.normal(0, 1, (stores + 1, 96))
    features[layout.NOBODY] = 0
    lengths = [0, *(len(histories[number]) for number in range(1, customers + 1))]
    bought = [each for number in range(1, customers + 1) for each in histories[number]]
    tables: dict[str, NDArray[Any]] = {
        "product_embeddings": vectors, "co_purchase": cosine, "product_baskets": baskets,
        "weekly_baskets": weekly,
        "customer_snapshots": snapshots, "store_features": features, "prices": _prices(rng, weeks, tokens),
        "customer_offsets": np.concatenate([[0], np.cumsum(lengths)]),
        "purchases": np.array([token for token, _ in bought], np.int64),
        "purchase_days": np.array([day for _, day in bought], np.int64),
    }  # fmt: skip
    for name, array in tables.items():
        cache_files.save(folder, layout.table_file(name), array, layout.TABLES[name])


def _prices(rng: np.random.Generator, weeks: int, tokens: int) -> NDArray[Any]:
    """Prices around a product's own; some products are first sold after some weeks, and have none before."""
    own = rng.lognormal(0.5, 0.6, tokens)
    prices = own[None, :, None] * rng.uniform(0.8, 1.2, (weeks, tokens, len(layout.PRICES)))
    late = rng.random(tokens) < 0.1
    prices[:2, late] = 0
    prices[:, : layout.FIRST_PRODUCT] = 0
    return prices.round(2)


def _write_split(folder: Path, name: str, visits: list[Visit], weeks: tuple[str, ...]) -> SplitCounts:
    items = [token for visit in visits for token in visit.items]
    columns: dict[str, Any] = {
        "offsets": np.concatenate([[0], np.cumsum([len(visit.items) for visit in visits])]), "items": items,
        "basket_id": [visit.basket_id for visit in visits], "customer": [visit.customer for visit in visits],
        "store": [visit.store for visit in visits], "week": [visit.week for visit in visits],
        "day": [visit.day for visit in visits], "weekday": [visit.weekday for visit in visits],
        "hour": [visit.hour for visit in visits], "labels": [visit.labels for visit in visits],
        "segments": [visit.segments for visit in visits], "trips": [visit.trips for visit in visits],
        "days_since_previous": [visit.since for visit in visits], "prior_purchases": [visit.prior for visit in visits],
    }  # fmt: skip
    for column, values in columns.items():
        kind = layout.SPLIT_ARRAYS[column]
        shape = (-1, *(size for size in kind.shape if isinstance(size, int)))
        array = np.asarray(values, np.int64).reshape(shape)
        cache_files.save(folder, layout.split_file(name, column), array, kind)
    unknown = sum(visit.store == layout.NOBODY for visit in visits)
    anonymous = sum(visit.customer == layout.NOBODY for visit in visits)
    return SplitCounts(
        len(weeks), weeks[0], weeks[-1], len(visits), len(items), items.count(layout.UNK), unknown, anonymous
    )


def _write_samples(path: Path, visits: list[Visit], name: str, vocabulary: Vocabulary) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from platform_assets.world_model.samples import BUCKET_EDGES

    def value(values: tuple[str, ...], stored: int) -> str | None:
        return values[stored - 1] if stored else None

    rows = [
        {
            "basket_id": visit.basket_id,
            "customer_id": vocabulary.customers[visit.customer - 1] if visit.customer else None,
            "store_id": vocabulary.stores[visit.store - 1] if visit.store else "STORE99999",
            "shop_week": 200607 + visit.week, "week": visit.week + 1, "weekday": visit.weekday, "hour": visit.hour,
            "date": FIRST + timedelta(days=visit.day), "num_products": len(visit.items), "history_length": visit.trips,
            "is_first_basket": visit.trips == 0 if visit.customer else None,
            "is_first_in_store": visit.first_in_store if visit.customer else None,
            "days_since_previous": None if visit.since == layout.NO_DAY else visit.since,
            "bucket_id": sum(len(visit.items) > edge for edge in BUCKET_EDGES),
            **{
                task: value(values, stored)
                for (task, values), stored in zip(layout.LABELS.items(), visit.labels, strict=True)
            },
            **{
                segment: value(values, stored)
                for (segment, values), stored in zip(SEGMENT_VALUES.items(), visit.segments, strict=True)
            },
            "split": name,
        }
        for visit in visits
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)
