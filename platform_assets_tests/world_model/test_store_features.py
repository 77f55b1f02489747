"""Store features: one mark a value, standardised habits, the same bits every time, train weeks alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import feature_plots, feature_quality, store_features
from platform_assets.world_model.assets import store_features as asset
from platform_assets.world_model.store_features import FEATURES, OPERATIONAL, STORES, one_hot
from platform_assets_tests.world_model.feature_weeks import (
    FeatureWorld,
    Row,
    passed,
    reason_of_failure,
    sale,
    week_keys,
    write_baskets,
    write_weeks,
)

Files = dict[str, Path]
FIRST_OPERATIONAL, FIRST_IDENTITY = 48, 80


def rows_of_stores(weeks: int = 3, stores: int = 6, seed: int = 4) -> list[list[Row]]:
    """Stores that differ in baskets, hours, types and what they sell; the first is the smallest."""
    rng = np.random.default_rng(seed)
    return [
        [
            sale(
                week, 100 * store + basket, int(product), day=int(basket % 7), store_code=f"STORE{store:05}",
                store_format=("LS", "MS", None)[store % 3], store_region=f"E{store % 2:02}", shop_hour=8 + (store + basket) % 15,
                basket_type=("Top Up", "Full Shop", "XX")[store % 3], basket_size=("S", "L")[basket % 2],
                spend=float(store + 1),
            )
            for store in range(stores)
            for basket in range(3 + store)
            for product in rng.choice(10, 1 + store % 3, replace=False)
        ]
        for week in range(weeks)
    ]  # fmt: skip


def build(weeks: list[list[Row]], folder: Path, threads: int = 1) -> Files:
    engine = Engine(folder / "scratch", threads=threads)
    transactions = write_weeks(folder / "rows", weeks)
    baskets = write_baskets(engine, transactions, folder / "baskets")
    return store_features.build_store_features(engine, baskets, transactions, folder)


def outcomes(files: Files, folder: Path) -> dict[str, Outcome]:
    baskets = sorted((folder / "baskets").glob("*/baskets.parquet"))
    found = [
        feature_quality.stores_covered(Engine(folder / "scratch"), files, baskets),
        feature_quality.store_features_in_place(files),
    ]
    return {each.name: each for each in found}


def content(files: Files) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.items()}


def test_stores_are_numbered_from_one_in_order_of_their_codes(tmp_path: Path) -> None:
    files = build(rows_of_stores(), tmp_path)
    stores, features = pq.read_table(files[STORES]).to_pylist(), np.load(files[FEATURES])
    assert [row["store"] for row in stores] == [1, 2, 3, 4, 5, 6]
    assert [row["store_code"] for row in stores] == [f"STORE{number:05}" for number in range(6)]
    assert [row["baskets"] for row in stores] == [3 * (3 + store) for store in range(6)]
    assert (features.shape, features.dtype) == ((7, 96), "float32")
    assert not features[0].any()
    assert features[1:, :3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]] * 2
    assert features[1:, 24:27].tolist() == [[1, 0, 0], [0, 1, 0]] * 3
    assert all(each.passed for each in outcomes(files, tmp_path).values())
    assert feature_plots.store_map(files[STORES], files[FEATURES]).startswith(b"\x89PNG")


def test_operational_columns_are_what_a_walk_over_the_baskets_counts(tmp_path: Path) -> None:
    weeks = rows_of_stores()
    found = np.load(build(weeks, tmp_path)[FEATURES])[1:, FIRST_OPERATIONAL:FIRST_IDENTITY]
    raw = np.array([_operational(weeks, f"STORE{store:05}") for store in range(6)])
    deviation = raw.std(axis=0)
    wanted = np.divide(raw - raw.mean(axis=0), deviation, out=np.zeros_like(raw), where=deviation > 1e-9)
    assert found == pytest.approx(wanted, abs=1e-5)


def _operational(weeks: list[list[Row]], store: str) -> list[float]:
    """The slow oracle: OPERATIONAL of one store, not standardised."""
    rows = [row for week in weeks for row in week if row["store_code"] == store]
    baskets = list({row["basket_id"]: row for row in rows}.values())
    shares = {name: 0.0 for name in OPERATIONAL[3:]}
    for row in baskets:
        kind = row["basket_type"] if row["basket_type"] in ("Small Shop", "Top Up", "Full Shop") else "other"
        habits = (f"hour {row['shop_hour']}", f"weekday {row['shop_weekday']}", f"size {row['basket_size']}", f"type {kind}")  # fmt: skip
        for name in habits:
            shares[name] += 1 / len(baskets)
    active = sum(any(row["store_code"] == store for row in week) for week in weeks)
    means = (len(rows) / len(baskets), sum(row["spend"] for row in rows) / len(baskets))
    return [math.log(len(baskets) / active), *means, *shares.values()]


def test_stores_that_sell_alike_have_the_same_identity_and_others_another(tmp_path: Path) -> None:
    sold = {0: (1, 2), 1: (1, 2), 2: (3,), 3: (4, 3)}
    rows = [
        sale(0, 10 * store + number, product, store_code=f"STORE{store:05}")
        for store, products in sold.items()
        for number, product in enumerate(products)
    ]
    identity = np.load(build([rows], tmp_path)[FEATURES])[1:, FIRST_IDENTITY:]
    assert identity[0] == pytest.approx(identity[1], abs=1e-6)
    assert np.abs(identity[0] - identity[2]).max() > 0.1
    assert np.linalg.norm(identity, axis=1).mean() == pytest.approx(1, abs=1e-5)


def test_values_that_do_not_fit_share_the_last_column() -> None:
    marks = one_hot([f"W{number:02}" for number in range(30)], 24)
    assert np.flatnonzero(marks[:23]).tolist() == [row * 24 + row for row in range(23)]
    assert marks[23:].argmax(axis=1).tolist() == [23] * 7
    assert marks.sum(axis=1).tolist() == [1] * 30


def test_one_store_alone_is_like_all_stores(tmp_path: Path) -> None:
    files = build([[sale()]], tmp_path)
    assert not np.load(files[FEATURES])[1, FIRST_OPERATIONAL:].any()
    assert all(each.passed for each in outcomes(files, tmp_path).values())


def test_the_files_are_the_same_on_any_thread_count_and_order_of_rows(tmp_path: Path) -> None:
    weeks = rows_of_stores()
    once = content(build(weeks, tmp_path / "one"))
    assert content(build([week[::-1] for week in weeks], tmp_path / "two", threads=2)) == once


def test_a_week_less_changes_the_features_and_an_empty_one_does_not(tmp_path: Path) -> None:
    weeks = rows_of_stores()
    whole = content(build(weeks, tmp_path / "whole"))
    assert content(build([*weeks, []], tmp_path / "empty")) == whole
    less = content(build(weeks[:-1], tmp_path / "less"))
    assert less[STORES] != whole[STORES]
    assert less[FEATURES] != whole[FEATURES]


def test_weeks_without_a_basket_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no store in the 2 train weeks: all are empty"):
        build([[], []], tmp_path)


def _spoiled(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        values = np.load(path)
        change(values)
        np.save(path, values)

    return spoil


@pytest.mark.parametrize(
    ("check", "name", "spoil"),
    [
        ("stores_covered", STORES, lambda path: pq.write_table(pq.read_table(path).slice(1), path)),
        ("stores_covered", STORES, lambda path: pq.write_table(pq.read_table(path).take([1, 0, 2, 3, 4, 5]), path)),
        ("stores_covered", STORES, lambda path: pq.write_table(pq.read_table(path).take([0, 0, 1, 2, 3, 4, 5]), path)),
        ("store_features_in_place", FEATURES, _spoiled(lambda values: values.__setitem__((3, 95), np.inf))),
        ("store_features_in_place", FEATURES, _spoiled(lambda values: values.__setitem__(0, 1))),
        ("store_features_in_place", FEATURES, _spoiled(lambda values: values.__setitem__((1, 5), 1))),
        ("store_features_in_place", FEATURES, _spoiled(lambda values: values.__setitem__((1, 50), 9))),
    ],
)
def test_a_spoiled_file_fails_its_check(tmp_path: Path, check: str, name: str, spoil: Callable[[Path], None]) -> None:
    files = build(rows_of_stores(), tmp_path)
    spoil(files[name])
    assert not outcomes(files, tmp_path)[check].passed


def test_the_asset_reads_train_weeks_only(tmp_path: Path) -> None:
    world, week = FeatureWorld(tmp_path, 38), week_keys(38)[-1]
    world.publish({0: rows_of_stores(1)[0], **{later: [sale(later)] for later in range(1, 38)}})
    built = asset.build(world.settings)
    assert passed(world.run(built, week), asset.CHECKS)
    digest = world.revision(built, week).digest
    assert {each.partition for each in world.revision(built, week).lineage.inputs} == set(week_keys(1))
    world.publish({2: [sale(2, store_code="STORE00099")]})
    assert passed(world.run(built, week), asset.CHECKS)
    assert world.revision(built, week).digest == digest
    world.publish({0: rows_of_stores(1)[0]}, are_passed=False)
    assert "failed a blocking check" in reason_of_failure(world.run(built, week))
