"""Customers' visits for tests: their weekly files, and what a walk over them finds before each block of weeks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import log1p, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.world_model import customer_features
from platform_assets.world_model.customer_features import CUSTOMERS, SNAPSHOTS, CustomerFeatures, Weeks
from platform_assets.world_model.splits import Split

MONDAY = date(2006, 4, 10)
WEEKS = [(MONDAY + timedelta(weeks=n)).isoformat() for n in range(38)]
TRAIN, LENGTH = 5, 14
SEEN = 4  # products with a vector; those from here on have none
TEXTS = ("cust_code", "seg_1", "seg_2", "cust_price_sensitivity", "cust_lifestage", "basket_type")
BASKET_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in TEXTS), ("basket_id", pa.int64()), ("shop_date", pa.date32()),
        ("shop_hour", pa.int8()), ("shop_weekday", pa.int8()), ("num_products", pa.int32()), ("num_items", pa.int64()),
        ("spend", pa.float64()),
    ]
)  # fmt: skip
ROW_SCHEMA = pa.schema([(name, pa.string()) for name in ("cust_code", "prod_code", "prod_code_30")])


@dataclass(frozen=True)
class Visit:
    """A basket: what it holds as (product, quantity, spend)."""

    week: int
    day: int
    hour: int
    customer: str | None
    kind: str | None
    items: tuple[tuple[int, int, float], ...]

    def row(self, number: int) -> dict[str, Any]:
        return {
            "basket_id": number, "cust_code": self.customer, "shop_date": MONDAY + timedelta(weeks=self.week, days=self.day),
            "shop_hour": self.hour, "shop_weekday": (self.day + 1) % 7 + 1, "basket_type": self.kind,
            "num_products": len(self.items), "num_items": sum(item[1] for item in self.items),
            "spend": sum(item[2] for item in self.items), "seg_1": "CT", "cust_lifestage": "YF",
        }  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"cust_code": self.customer, "prod_code": code(product), "prod_code_30": category(product)}
            for product, _, _ in self.items
        ]


def code(product: int) -> str:
    return f"PRD{product:03}"


def category(product: int) -> str:
    return f"G{product // 2:03}"


def a_split(length: int = LENGTH) -> Split:
    return Split(tuple(WEEKS[:TRAIN]), tuple(WEEKS[TRAIN : TRAIN + 1]), tuple(WEEKS[TRAIN + 1 : length]))


def write_weeks(visits: Sequence[Visit], split: Split, folder: Path) -> Weeks:
    """The weekly files of the visits; those of weeks that the split does not have are left out."""
    files: dict[str, dict[str, Path]] = {"transactions": {}, "baskets": {}}
    for number, week in enumerate(split.weeks):
        of_week = [(place, visit) for place, visit in enumerate(visits) if visit.week == number]
        baskets = [visit.row(place) for place, visit in of_week]
        rows = [row for _, visit in of_week for row in visit.rows()]
        for name, found, schema in (("transactions", rows, ROW_SCHEMA), ("baskets", baskets, BASKET_SCHEMA)):
            files[name][week] = folder / f"{name}_{week}.parquet"
            pq.write_table(pa.Table.from_pylist(found, schema), files[name][week])
    return Weeks(split, files["transactions"], files["baskets"])


def write_products(folder: Path) -> tuple[Path, Path]:
    """Products with vectors, as product_embeddings publishes them."""
    paths = folder / "products.parquet", folder / "product_embeddings.npy"
    pq.write_table(pa.table({"token": range(3, 3 + SEEN), "prod_code": [code(n) for n in range(SEEN)]}), paths[0])
    np.save(paths[1], vectors())
    return paths


def vectors() -> np.ndarray:
    found = np.random.default_rng(3).normal(size=(3 + SEEN, 256)).astype(np.float32)
    found[:3] = 0
    return found


def built(visits: Sequence[Visit], folder: Path, split: Split | None = None, threads: int = 1) -> CustomerFeatures:
    folder.mkdir(parents=True, exist_ok=True)
    weeks = write_weeks(visits, split or a_split(), folder)
    engine = Engine(folder / "scratch", threads=threads)
    return customer_features.build_features(engine, weeks, *write_products(folder), folder)


def codes(made: CustomerFeatures) -> list[str]:
    return pq.read_table(made.files[CUSTOMERS])["cust_code"].to_pylist()


def snapshots(made: CustomerFeatures) -> np.ndarray:
    return np.load(made.files[SNAPSHOTS])


def population(visits: Sequence[Visit]) -> tuple[list[str], list[float]]:
    """The categories of the train weeks, and the share of each of the 32 columns."""
    bought = [category(item[0]) for visit in visits if visit.customer and visit.week < TRAIN for item in visit.items]
    known, shares = sorted(set(bought)), [0.0] * 32
    for each in bought:
        shares[min(known.index(each), 31)] += 1 / len(bought)
    return known, shares


def expected(visits: Sequence[Visit], customer: str, begin: int) -> list[float]:
    """A customer's row as of the beginning of a week, by walking over all rows before it: the slow oracle."""
    own = [visit for visit in visits if visit.customer == customer and visit.week < begin]
    if not own:
        return [0.0] * 160
    known, shares = population(visits)
    table, history, seen = vectors()[3:, :96], np.zeros(96), 0.0
    bought, hours, days, kinds = [0.0] * 32, [0.0] * 15, [0.0] * 7, [0.0] * 4
    trips = products = spend = 0.0
    for visit in own:
        weight = 0.5 ** ((begin - visit.week) / 26)
        row = visit.row(0)
        for product, _, _ in visit.items:
            if product < SEEN:
                history, seen = history + weight * table[product], seen + weight
            place = known.index(category(product)) if category(product) in known else 31
            bought[min(place, 31)] += weight
        hours[min(max(visit.hour, 8), 22) - 8] += weight
        days[row["shop_weekday"] - 1] += weight
        kinds[{"Small Shop": 0, "Top Up": 1, "Full Shop": 2}.get(visit.kind or "", 3)] += weight
        trips, products, spend = (
            trips + weight, products + weight * row["num_products"], spend + weight * row["spend"],
        )  # fmt: skip
    affinity = [
        max(min((own_part / sum(bought) - share) / sqrt(share), 10), -10) if share else 0.0
        for own_part, share in zip(bought, shares, strict=True)
    ]
    weeks = [visit.week for visit in own]
    rest = [
        log1p(len(own)), log1p(sum(visit.row(0)["num_items"] for visit in own)), log1p(products / trips),
        log1p(max(spend / trips, 0)), (begin - max(weeks)) / 52, (begin - min(weeks)) / 52,
    ]  # fmt: skip
    return [*(history / (seen or 1)), *affinity, *(each / trips for each in (*hours, *days, *kinds)), *rest]


ITEM = st.tuples(st.sampled_from([0, 1, 2, 3, 4, 9]), st.integers(1, 3), st.sampled_from([-4.5, 0.5, 2.0, 30.25]))
VISITS = st.lists(
    st.builds(
        Visit,
        st.integers(0, LENGTH - 1),
        st.integers(0, 6),
        st.sampled_from([3, 8, 15, 22, 23]),
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from(["Small Shop", "Top Up", "Full Shop", "XX", None]),
        st.lists(ITEM, min_size=1, max_size=4, unique_by=lambda item: item[0]).map(tuple),
    ),
    max_size=25,
)
A_FEW = [
    Visit(week, 1, 10, name, "Top Up", ((0, 1, 1.0), (5, 2, 3.0)))
    for week, name in ((0, "a"), (0, "b"), (3, "a"), (5, "c"), (6, "b"), (9, "d"))
]
