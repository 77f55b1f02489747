"""Product embeddings: exact counts, the same bits every time, nothing from after train, planted complements found again."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.simulators.retailer import Scenario, World, draw_world, write_weeks
from platform_assets.simulators.retailer.scenario import Structure
from platform_assets.world_model import co_purchase, feature_plots, feature_quality, product_embeddings
from platform_assets.world_model.assets import product_embeddings as asset
from platform_assets.world_model.co_purchase import TooManyProducts
from platform_assets.world_model.product_embeddings import CO_PURCHASE, EMBEDDINGS, PRODUCTS
from platform_assets_tests.world_model import feature_weeks
from platform_assets_tests.world_model.feature_weeks import (
    FeatureWorld,
    Row,
    passed,
    reason_of_failure,
    sale,
    week_keys,
)

Files = dict[str, Path]
# More products than a dense decomposition takes, so that the iterative one is what two interpreters repeat.
THREADS_PROGRAM = """
import sys, hashlib, numpy as np
from platform_assets.world_model import product_embeddings
rng = np.random.default_rng(3)
upper = np.triu(rng.poisson(rng.gamma(0.2, 2, (1100, 1100))), 1).astype(np.int32)
vectors = product_embeddings.embed(upper + upper.T + np.diag(np.full(1100, 500, np.int32)), 24)
print(hashlib.sha256(vectors.tobytes()).hexdigest(), vectors.any())
"""


def baskets_rows(weeks: int = 4, seed: int = 5) -> list[list[Row]]:
    """Weeks of baskets of which each is from one of three sets of products."""
    rng = np.random.default_rng(seed)
    return [
        [
            sale(week, basket, int(product))
            for basket in range(30)
            for product in rng.choice(np.arange(8) + 8 * (basket % 3), 4, replace=False)
        ]
        for week in range(weeks)
    ]


def build(weeks: list[list[Row]], folder: Path, threads: int = 1) -> Files:
    engine = Engine(folder / "scratch", threads=threads)
    return product_embeddings.build_embeddings(engine, feature_weeks.write_weeks(folder / "rows", weeks), folder)


def content(files: Files) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.items()}


def outcomes(files: Files, transactions: Path) -> dict[str, Outcome]:
    found = [
        feature_quality.products_covered(
            Engine(transactions.parent / "scratch"), files, sorted(transactions.glob("*.parquet"))
        ),
        feature_quality.vectors_in_place(files),
        feature_quality.neighbours_bought_together(files),
    ]
    return {each.name: each for each in found}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Files]:
    """A small retailer whose customers buy many complements, and the embeddings of its weeks."""
    folder = tmp_path_factory.mktemp("simulated")
    structure = replace(Structure(), co_purchase=0.25, loyalty=0.2)
    world = draw_world(Scenario(rows=250_000, weeks=3, products=600, stores=20, structure=structure))
    list(write_weeks(world, folder / "raw", "parquet"))
    (folder / "rows").mkdir()
    files = {}
    for key, path in zip(week_keys(3), sorted((folder / "raw").glob("*.parquet")), strict=True):
        table = pq.read_table(path)
        files[key] = folder / "rows" / f"{key}.parquet"
        pq.write_table(table.rename_columns([name.lower() for name in table.column_names]), files[key])
    return world, product_embeddings.build_embeddings(Engine(folder / "scratch"), files, folder)


BASKETS = st.lists(st.sets(st.integers(0, 5), min_size=1), max_size=12)


@settings(max_examples=40, deadline=None)
@given(BASKETS, BASKETS, st.booleans())
def test_counts_are_those_of_looking_into_every_basket(first: list[set], second: list[set], repeat: bool) -> None:
    weeks = [
        [
            sale(week, number, product)
            for number, basket in enumerate(baskets)
            for product in sorted(basket) * (1 + repeat)
        ]
        for week, baskets in enumerate((first, second))
    ]
    codes = [f"PRD{product:07}" for product in range(6)]
    with TemporaryDirectory() as folder:
        counts = co_purchase.count_together(feature_weeks.write_weeks(Path(folder), weeks), codes)
    wanted = np.zeros((6, 6), int)
    for basket in first + second:
        for product in basket:
            wanted[product, product] += 1
        for one, other in combinations(basket, 2):
            wanted[[one, other], [other, one]] += 1
    assert np.array_equal(counts, wanted)
    norms = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)).clip(1)).astype(float)
    np.fill_diagonal(wanted, 0)
    assert co_purchase.cosine(counts) == pytest.approx(wanted / norms, abs=1e-3)


def test_tokens_follow_the_codes_and_special_rows_are_zero(tmp_path: Path) -> None:
    files = build(baskets_rows(), tmp_path)
    products = pq.read_table(files[PRODUCTS]).to_pylist()
    vectors, together = np.load(files[EMBEDDINGS]), np.load(files[CO_PURCHASE])
    assert [row["token"] for row in products] == list(range(3, 27))
    assert [row["prod_code"] for row in products] == sorted(row["prod_code"] for row in products)
    assert (vectors.shape, vectors.dtype, together.shape, together.dtype) == ((27, 256), "float32", (27, 27), "float16")
    assert not vectors[:3].any()
    assert not vectors[:, 24:].any()
    assert not together[:3].any()
    assert not together[:, :3].any()
    lengths = np.linalg.norm(vectors, axis=0)
    assert (np.diff(lengths) <= 1e-6).all()
    assert np.linalg.norm(vectors[3:], axis=1).mean() == pytest.approx(1, abs=1e-5)
    assert all(each.passed for each in outcomes(files, tmp_path / "rows").values())
    assert feature_plots.product_map(files[PRODUCTS], files[EMBEDDINGS]).startswith(b"\x89PNG")


def test_products_of_one_set_of_baskets_lie_together(tmp_path: Path) -> None:
    vectors = np.load(build(baskets_rows(), tmp_path)[EMBEDDINGS])[3:]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike, same = unit @ unit.T, np.arange(24)[:, None] // 8 == np.arange(24) // 8
    assert alike[same & ~np.eye(24, dtype=bool)].mean() > alike[~same].mean() + 0.1


def test_planted_complements_are_found_again_and_random_vectors_find_none(simulated: tuple[World, Files]) -> None:
    world, files = simulated
    partners = world.catalogue.partners
    grouped = np.flatnonzero(partners[:, 0] != np.arange(len(partners)))
    numbers = [int(code[3:]) - 900_000 for code in pq.read_table(files[PRODUCTS])["prod_code"].to_pylist()]
    vectors = np.zeros((len(partners), product_embeddings.WIDTH))
    vectors[numbers] = np.load(files[EMBEDDINGS])[3:]
    noise = np.random.default_rng(1).standard_normal(vectors.shape)
    assert _recall(vectors, partners, grouped) > 0.4
    assert _recall(noise, partners, grouped) < 0.05


def _recall(vectors: np.ndarray, partners: np.ndarray, grouped: np.ndarray) -> float:
    """Share of a product's three partners that are among the three nearest vectors."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    near = np.argsort(-alike, axis=1)[:, :3]
    return float(np.mean([len(set(near[product]) & set(partners[product])) / 3 for product in grouped]))


def test_random_vectors_fail_the_check_that_trained_ones_pass(simulated: tuple[World, Files], tmp_path: Path) -> None:
    files = simulated[1]
    trained = feature_quality.neighbours_bought_together(files)
    assert trained.passed
    assert trained.metadata["lift"] > 1.3
    noise = np.random.default_rng(2).standard_normal(np.load(files[EMBEDDINGS]).shape).astype(np.float32)
    noise[:3] = 0
    np.save(tmp_path / EMBEDDINGS, noise)
    random = feature_quality.neighbours_bought_together({**files, EMBEDDINGS: tmp_path / EMBEDDINGS})
    assert not random.passed
    assert "times as often as chance" in random.reason


def test_the_bits_are_the_same_in_one_thread_and_in_two() -> None:
    told = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", THREADS_PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        told.add(done.stdout.strip())
    assert len(told) == 1
    assert told.pop().endswith("True")


def test_the_files_are_the_same_on_any_thread_count_and_order_of_rows(tmp_path: Path) -> None:
    weeks = baskets_rows()
    once = content(build(weeks, tmp_path / "one"))
    assert content(build([week[::-1] for week in weeks], tmp_path / "two", threads=2)) == once


def test_a_week_less_changes_the_vectors_and_an_empty_one_does_not(tmp_path: Path) -> None:
    weeks = baskets_rows()
    whole = content(build(weeks, tmp_path / "whole"))
    assert content(build([*weeks, []], tmp_path / "empty")) == whole
    less = content(build(weeks[:-1], tmp_path / "less"))
    assert all(less[name] != whole[name] for name in whole)


def test_weeks_without_a_row_and_unknown_products_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="no product in the 2 train weeks: all are empty; check PLATFORM_RETAIL_SOURCE"
    ):
        build([[], []], tmp_path)
    files = feature_weeks.write_weeks(tmp_path, [[sale(product=1), sale(product=2)]])
    with pytest.raises(ValueError, match="week 2006-04-10 has product PRD0000002"):
        co_purchase.count_together(files, ["PRD0000001"])


def test_more_products_than_a_table_of_pairs_is_made_for_are_refused_before_anything_large_is_there() -> None:
    codes = [f"PRD{number:07}" for number in range(co_purchase.MOST_PRODUCTS + 1)]
    tracemalloc.start()
    try:
        with pytest.raises(
            TooManyProducts, match=r"15,001 products .* 1\.8 GB of memory.* coarser code, such as that of PROD"
        ):
            co_purchase.count_together({}, codes)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_asset_says_what_to_do_about_too_many_products(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(co_purchase, "MOST_PRODUCTS", 23)
    world, week = FeatureWorld(tmp_path, 38), week_keys(38)[-1]
    world.publish({0: baskets_rows(1)[0], **{later: [] for later in range(1, 38)}})
    told = reason_of_failure(world.run(asset.build(world.settings), week))
    assert "24 products in the train weeks, and at most 23 are counted" in told


def test_a_file_whose_dictionary_names_products_without_a_row_is_read(tmp_path: Path) -> None:
    path = feature_weeks.write_weeks(tmp_path, [[sale(product=product) for product in (1, 2, 3)]])["2006-04-10"]
    table = pq.read_table(path)
    table = table.set_column(
        table.column_names.index("prod_code"), "prod_code", table["prod_code"].combine_chunks().dictionary_encode()
    )
    pq.write_table(table.slice(0, 2), path)
    assert co_purchase.count_together({"2006-04-10": path}, ["PRD0000001", "PRD0000002"]).tolist() == [[1, 1], [1, 1]]


def test_products_that_are_never_bought_together_have_no_vector_and_pass(tmp_path: Path) -> None:
    files = build([[sale(0, product, product) for product in range(40)]], tmp_path)
    assert not np.load(files[EMBEDDINGS]).any()
    found = outcomes(files, tmp_path / "rows")
    assert all(each.passed for each in found.values())
    assert "too few to tell" in found["neighbours_bought_together"].reason


def _spoiled(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        values = np.load(path)
        change(values)
        np.save(path, values)

    return spoil


def _rows(change: Callable) -> Callable[[Path], None]:
    return lambda path: pq.write_table(change(pq.read_table(path)), path)


@pytest.mark.parametrize(
    ("check", "name", "spoil"),
    [
        ("products_covered", PRODUCTS, _rows(lambda table: table.slice(1))),
        ("products_covered", PRODUCTS, _rows(lambda table: table.take([0, *range(24)]))),
        ("products_covered", PRODUCTS, _rows(lambda table: table.set_column(0, "token", table["token"].take([1, 0, *range(2, 24)])))),
        ("products_covered", PRODUCTS, _rows(lambda table: table.set_column(6, "baskets", table["token"]))),
        ("vectors_in_place", EMBEDDINGS, _spoiled(lambda values: values.__setitem__((5, 0), np.nan))),
        ("vectors_in_place", EMBEDDINGS, _spoiled(lambda values: values.__setitem__(1, 1))),
        ("vectors_in_place", EMBEDDINGS, _spoiled(lambda values: values.__imul__(2))),
        ("vectors_in_place", CO_PURCHASE, _spoiled(lambda values: values.__setitem__((5, 5), 1))),
        ("vectors_in_place", CO_PURCHASE, _spoiled(lambda values: values.__setitem__((5, 6), 0.123))),
    ],
)  # fmt: skip
def test_a_spoiled_file_fails_its_check(tmp_path: Path, check: str, name: str, spoil: Callable[[Path], None]) -> None:
    files = build(baskets_rows(), tmp_path)
    spoil(files[name])
    assert not outcomes(files, tmp_path / "rows")[check].passed


def test_the_asset_reads_train_weeks_only(tmp_path: Path) -> None:
    world, week = FeatureWorld(tmp_path, 38), week_keys(38)[-1]
    world.publish({0: baskets_rows(1)[0], **{later: [sale(later)] for later in range(1, 38)}})
    built = asset.build(world.settings)
    assert passed(world.run(built, week), asset.CHECKS)
    digest = world.revision(built, week).digest
    assert [each.partition for each in world.revision(built, week).lineage.inputs] == week_keys(1)
    world.publish({2: [sale(2, basket, product=99) for basket in range(3)]})
    assert passed(world.run(built, week), asset.CHECKS)
    assert world.revision(built, week).digest == digest
    world.publish({0: baskets_rows(1)[0]}, are_passed=False)
    assert "failed a blocking check" in reason_of_failure(world.run(built, week))
