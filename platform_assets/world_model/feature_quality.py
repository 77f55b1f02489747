"""The checks of product embeddings, prices and store features: read from the files as they are published.

Each returns an Outcome; which of them block is said with the assets. Counts are compared with the rows themselves, not with
what building them counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import product_embeddings, singular_vectors, store_features
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT

NEIGHBOURS = 10
# Measured: random vectors 0.91 to 1.04, trained ones 1.4 to 1.8 on simulated rows and 15 on real ones.
LEAST_LIFT = 1.2
# With fewer pairs expected among neighbours, luck alone reaches the limit.
LEAST_EXPECTED_PAIRS = 50
SHOWN = 10


def products_covered(engine: Engine, files: Mapping[str, Path], transactions: Sequence[Path]) -> Outcome:
    """Every product of the train weeks has one row, with as many baskets as it has rows there, by token and by code."""
    table = pq.read_table(files[product_embeddings.PRODUCTS])
    numbers = FIRST_PRODUCT, table["token"].to_pylist()
    return _covered(engine, "products_covered", "prod_code", table, numbers, transactions)


def stores_covered(engine: Engine, files: Mapping[str, Path], baskets: Sequence[Path]) -> Outcome:
    """Every store of the train weeks has one row, with its baskets, by number and by code."""
    table = pq.read_table(files[store_features.STORES])
    return _covered(engine, "stores_covered", "store_code", table, (1, table["store"].to_pylist()), baskets)


def vectors_in_place(files: Mapping[str, Path]) -> Outcome:
    """Vectors and co-purchase are finite, of their shapes, zero for tokens that are no product, vectors 1 long on average."""
    vectors, together = (
        np.load(files[name], mmap_mode="r") for name in (product_embeddings.EMBEDDINGS, product_embeddings.CO_PURCHASE)
    )
    products = pq.read_metadata(files[product_embeddings.PRODUCTS]).num_rows
    rows = products + FIRST_PRODUCT
    norm = np.linalg.norm(vectors[FIRST_PRODUCT:], axis=1).mean() if products else 0.0
    faults = {
        "shape": vectors.shape != (rows, product_embeddings.WIDTH) or together.shape != (rows, rows),
        "type": vectors.dtype != np.float32 or together.dtype != np.float16,
        "not finite": not (np.isfinite(vectors).all() and np.isfinite(together).all()),
        "special tokens": any(part.any() for part in (vectors[:FIRST_PRODUCT], together[:FIRST_PRODUCT])),
        "mean length": bool(np.any(vectors)) and abs(norm - 1) > 1e-3,
        "diagonal": bool(np.diagonal(together).any()),
        "not symmetric": together.shape[0] == together.shape[-1] and not np.array_equal(together, together.T),
    }
    return _in_place("vectors_in_place", faults, {"products": products, "mean_length": float(norm)})


def neighbours_bought_together(files: Mapping[str, Path]) -> Outcome:
    """A product's nearest vectors are of products bought with it more often than chance: vectors that nothing trained fail.

    Lift: pairs counted among neighbours over pairs expected there if products met at random, given how many pairs each has.
    """
    vectors = np.load(files[product_embeddings.EMBEDDINGS])[FIRST_PRODUCT:]
    baskets = pq.read_table(files[product_embeddings.PRODUCTS])["baskets"].to_numpy()
    together = np.load(files[product_embeddings.CO_PURCHASE])[FIRST_PRODUCT:, FIRST_PRODUCT:]
    if not len(baskets) == len(vectors) == len(together):
        numbers = f"{len(baskets)} products, {len(vectors)} vectors, {len(together)} rows of co-purchase"
        return Outcome("neighbours_bought_together", False, f"files of one split disagree: {numbers}")
    with_vector = np.flatnonzero(vectors.any(axis=1))
    near = _nearest(vectors[with_vector], min(NEIGHBOURS, (len(with_vector) - 1) // 4))
    counts = together.astype(np.float32) * np.sqrt(baskets)[:, None].astype(np.float32) * np.sqrt(baskets)
    of_product = counts.sum(axis=1)
    first, second = np.repeat(with_vector, near.shape[1]), with_vector[near.ravel()]
    found = float(counts[first, second].sum())
    expected = float((of_product[first] * of_product[second]).sum() / max(of_product.sum(), 1))
    lift = found / expected if expected else 0.0
    enough = expected >= LEAST_EXPECTED_PAIRS
    reason = (
        f"neighbours are bought together {lift:.2f} times as often as chance, least {LEAST_LIFT}"
        if enough
        else f"{expected:.1f} pairs expected among neighbours, too few to tell vectors from random ones"
    )
    figures = {"lift": lift, "pairs_expected": expected, "without_vector": len(vectors) - len(with_vector)}
    return Outcome("neighbours_bought_together", not enough or lift >= LEAST_LIFT, reason, figures)


def store_features_in_place(files: Mapping[str, Path]) -> Outcome:
    """Features are finite, of their shape, row 0 zero; one mark for format and region; operational columns standardised."""
    features = np.load(files[store_features.FEATURES])
    stores = pq.read_table(files[store_features.STORES])
    edges = np.cumsum([store_features.FORMAT_WIDTH, store_features.REGION_WIDTH, len(store_features.OPERATIONAL)])
    formats, regions, operational, _ = np.split(features[1:], edges, axis=1)
    marks = {"store_format": formats, "store_region": regions}
    known = {name: stores[name].is_valid().to_numpy() for name in marks}
    deviation = operational.std(axis=0)
    faults = {
        "shape": features.shape != (stores.num_rows + 1, store_features.WIDTH) or features.dtype != np.float32,
        "not finite": not np.isfinite(features).all(),
        "row 0": bool(features[0].any()),
        "marks": any(not np.array_equal(part.sum(axis=1), known[name]) for name, part in marks.items()),
        "not standardised": bool(
            (np.abs(operational.mean(axis=0)) > 1e-3).any() or ((np.abs(deviation - 1) > 1e-3) & (deviation > 0)).any()
        ),
    }
    return _in_place("store_features_in_place", faults, {"stores": stores.num_rows})


def _nearest(vectors: np.ndarray, count: int) -> np.ndarray:
    """(N, count) rows of the nearest other vectors by cosine."""
    if count < 1:
        return np.zeros((len(vectors), 0), np.int64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    with singular_vectors.one_thread():
        alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    return np.argpartition(-alike, count - 1, axis=1)[:, :count]


def _in_place(name: str, faults: Mapping[str, object], figures: Mapping[str, object]) -> Outcome:
    bad = [fault for fault, is_there in faults.items() if is_there]
    return Outcome(name, not bad, f"wrong: {', '.join(bad)}" if bad else "every value in its place", figures)


def _covered(
    engine: Engine, name: str, code: str, table: pa.Table, numbers: tuple[int, list[int]], rows: Sequence[Path]
) -> Outcome:
    """The table's codes and their baskets against the rows of each code; `numbers` are the first one, and what stands there."""
    counted = engine.rows(f"SELECT {code} AS code, count(*) AS rows FROM rows GROUP BY 1", {"rows": rows})
    known = {row["code"]: row["rows"] for row in counted}
    told = dict(zip(table[code].to_pylist(), table["baskets"].to_pylist(), strict=True))
    wrong = sorted(each for each in {*known, *told} if known.get(each) != told.get(each))
    faults = {
        f"missing, unknown or miscounted {wrong[:SHOWN]}": wrong,
        "codes repeat or are not in order": table[code].to_pylist() != sorted(told),
        f"numbers do not count from {numbers[0]}": numbers[1] != list(range(numbers[0], numbers[0] + len(told))),
    }
    bad = "; ".join(fault for fault, is_there in faults.items() if is_there)
    return Outcome(name, not bad, bad or f"all {len(told)} of the train weeks", {"rows": table.num_rows})
