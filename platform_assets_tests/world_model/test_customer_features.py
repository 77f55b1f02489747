"""Customers before each block of weeks: held to a walk over the rows, blind to what comes later, checked as written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.world_model import customer_features, customer_quality
from platform_assets.world_model.assets import customer_features as asset
from platform_assets.world_model.customer_features import CUSTOMERS, SEGMENTS, SNAPSHOTS, CustomerFeatures, Weeks
from platform_assets.world_model.customer_history import AFFINITY, HABIT, HABITS, HISTORY
from platform_assets.world_model.customer_quality import Written
from platform_assets.world_model.splits import Split
from platform_assets_tests.world_model.customer_visits import (
    A_FEW,
    BASKET_SCHEMA,
    LENGTH,
    TRAIN,
    VISITS,
    WEEKS,
    Visit,
    a_split,
    built,
    codes,
    expected,
    snapshots,
    vectors,
    write_products,
    write_weeks,
)

WIDE = Visit(0, 0, 9, "a", "XX", tuple((product, 1, 1.0) for product in range(0, 80, 2)))
NARROW = Visit(1, 0, 9, "b", "XX", ((76, 1, 1.0), (0, 1, 1.0)))


@settings(max_examples=15, deadline=None)
@given(VISITS)
@example([WIDE, NARROW])
def test_every_snapshot_is_what_a_walk_over_the_rows_before_it_finds(visits: list[Visit]) -> None:
    with TemporaryDirectory() as name:
        made = built(visits, Path(name))
        found, customers = snapshots(made), codes(made)
        assert customers == [customer for _, customer in sorted(firsts(visits))]
        assert found.shape == (4, len(customers) + 1, 160)
        assert found.dtype == np.float16
        assert not found[:, 0].any()
        for block in range(4):
            told = [expected(visits, customer, 4 * block) for customer in customers]
            np.testing.assert_allclose(found[block, 1:], np.reshape(told, (-1, 160)), rtol=2e-3, atol=1e-3)
        assert all(outcome.passed for outcome in checked(made, name) if outcome.name != "history_covered")


def firsts(visits: Sequence[Visit]) -> set[tuple[int, str]]:
    """(first week, customer)."""
    weeks = defaultdict(list)
    for visit in visits:
        weeks[visit.customer].append(visit.week)
    return {(min(found), customer) for customer, found in weeks.items() if customer}


def checked(made: CustomerFeatures, folder: str | Path, split: Split | None = None) -> list[Outcome]:
    weeks = (split or a_split()).weeks
    baskets = [Path(folder) / f"baskets_{week}.parquet" for week in weeks]
    return customer_quality.outcomes(Engine(Path(folder) / "scratch"), Written(made.files, weeks), baskets)


@settings(max_examples=10, deadline=None)
@given(VISITS, st.integers(TRAIN + 2, LENGTH - 1))
def test_adding_weeks_appends_customers_and_changes_no_earlier_snapshot(visits: list[Visit], length: int) -> None:
    with TemporaryDirectory() as name:
        shorter = built(visits, Path(name) / "shorter", a_split(length))
        longer = built(visits, Path(name) / "longer")
        customers, earlier = codes(shorter), snapshots(shorter)
        assert codes(longer)[: len(customers)] == customers
        same = snapshots(longer)[: len(earlier), : len(customers) + 1]
        assert same.tobytes() == earlier.tobytes()
        # A customer of a later week is known to no earlier snapshot, whatever block that week is in.
        assert not snapshots(longer)[: len(earlier), len(customers) + 1 :].any()


@settings(max_examples=10, deadline=None)
@given(VISITS, st.integers(0, 3))
def test_deleting_everything_later_changes_no_earlier_snapshot_even_inside_train(
    visits: list[Visit], block: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        whole = built(visits, folder)
        products = folder / "products.parquet", folder / "product_embeddings.npy"
        constants = customer_features.fit_constants(*products, folder / "found_categories.parquet")
        (folder / "cut").mkdir()
        cut = write_weeks([visit for visit in visits if visit.week < 4 * block], a_split(), folder / "cut")
        known = whole.known[block]
        pq.write_table(pq.read_table(whole.files[CUSTOMERS])[:known], folder / "cut" / CUSTOMERS)
        customer_features.write_snapshots(folder / "cut.npy", cut, folder / "cut" / CUSTOMERS, constants)
        same = np.load(folder / "cut.npy")[: block + 1]
        assert same.tobytes() == snapshots(whole)[: block + 1, : known + 1].tobytes()


def test_a_week_of_the_past_is_in_the_next_snapshot_and_not_in_its_own_block(tmp_path: Path) -> None:
    made = built([Visit(4, 6, 10, "a", "XX", ((0, 1, 1.0),))], tmp_path)
    np.testing.assert_array_equal(snapshots(made)[:, 1].any(axis=1), [False, False, True, True])
    assert made.known == made.active == (0, 0, 1, 1)
    np.testing.assert_allclose(snapshots(made)[2, 1, HISTORY], vectors()[3, :96], rtol=1e-3)


def test_what_was_bought_long_ago_counts_half_after_half_a_year(tmp_path: Path) -> None:
    split = Split(tuple(WEEKS[:TRAIN]), tuple(WEEKS[TRAIN:6]), tuple(WEEKS[6:38]))
    visits = [Visit(0, 0, 10, "a", "XX", ((0, 1, 1.0),)), Visit(26, 0, 10, "a", "XX", ((1, 1, 1.0),))]
    found = snapshots(built(visits, tmp_path, split))[-1, 1, HISTORY]
    np.testing.assert_allclose(found, (vectors()[3, :96] + 2 * vectors()[4, :96]) / 3, rtol=1e-3, atol=1e-3)


def test_the_same_bytes_come_out_of_one_thread_and_of_many(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    visits = [
        Visit(
            int(draw.integers(LENGTH)), int(draw.integers(7)), 9, f"{draw.integers(200):03}", "XX",
            tuple((int(product), 1, float(draw.normal())) for product in draw.permutation(60)[: draw.integers(1, 9)]),
        )
        for _ in range(2000)
    ]  # fmt: skip
    threads = pa.cpu_count()
    found = []
    try:
        for number in (1, 4):
            pa.set_cpu_count(number)
            made = built(visits, tmp_path / str(number), threads=number)
            found.append({name: path.read_bytes() for name, path in made.files.items()})
    finally:
        pa.set_cpu_count(threads)
    assert found[0] == found[1]


def test_weeks_without_rows_and_of_anonymous_baskets_alone_are_weeks_like_others(tmp_path: Path) -> None:
    only = [Visit(week, 0, 10, None, "XX", ((0, 1, 1.0),)) for week in (0, 1, 6)]
    nobody = built(only, tmp_path / "nobody")
    assert snapshots(nobody).shape == (4, 1, 160)
    assert not snapshots(nobody).any()
    assert all(outcome.passed for outcome in checked(nobody, tmp_path / "nobody"))
    later = built([*only, Visit(7, 0, 10, "a", "XX", ((0, 1, 1.0),))], tmp_path / "later")
    # Nobody bought anything in train weeks: there is no population to differ from.
    assert not snapshots(later)[:, :, AFFINITY].any()
    assert snapshots(later)[2, 1, HABIT].any()


def test_segments_are_the_values_of_train_weeks_under_either_release(tmp_path: Path) -> None:
    bought = ((0, 1, 1.0),)
    weeks = write_weeks([Visit(number, 0, 9, "a", "XX", bought) for number in (0, 1, 2, TRAIN)], a_split(), tmp_path)
    rows = [
        (0, {"seg_1": "UM", "seg_2": "OF"}),
        (1, {"cust_price_sensitivity": "LA", "cust_lifestage": "OF"}),
        (2, {"seg_1": "CT", "cust_price_sensitivity": "XX"}),
        (TRAIN, {"seg_1": "ZZ"}),
    ]
    for number, segments in rows:
        row = {**Visit(number, 0, 9, "a", "XX", bought).row(number), "seg_1": None, "cust_lifestage": None, **segments}
        pq.write_table(pa.Table.from_pylist([row], BASKET_SCHEMA), weeks.baskets[WEEKS[number]])
    made = customer_features.build_features(Engine(tmp_path / "scratch"), weeks, *write_products(tmp_path), tmp_path)
    assert json.loads(made.files[SEGMENTS].read_text()) == {"seg_1": ["CT", "LA", "UM"], "seg_2": ["OF"]}


def test_habits_have_one_name_each() -> None:
    assert len(HABITS) == len(set(HABITS)) == HABIT.stop - HABIT.start == 32


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    visits = [Visit(0, 0, 10, "a", "XX", ((0, 1, 1.0),))]
    weeks, products = write_weeks(visits, a_split(), tmp_path), write_products(tmp_path)
    with pytest.raises(ValueError, match=f"no baskets of {WEEKS[0]}, .*publish them first"):
        Weeks(a_split(), weeks.transactions, {})
    pq.write_table(pa.Table.from_pylist([], BASKET_SCHEMA), weeks.baskets[WEEKS[0]])
    with pytest.raises(ValueError, match=f"1 rows in transactions of {WEEKS[0]} are of customers without any basket"):
        customer_features.build_features(Engine(tmp_path / "scratch"), weeks, *products, tmp_path)
    np.save(products[1], vectors()[:-1])
    with pytest.raises(ValueError, match=r"product_embeddings.npy is \[6, 256\], and 4 products need 7 rows"):
        customer_features.build_features(Engine(tmp_path / "scratch"), weeks, *products, tmp_path)


def spoil_customers(made: CustomerFeatures, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    table = pq.read_table(made.files[CUSTOMERS])
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), table.schema), made.files[CUSTOMERS])


def spoil_snapshots(made: CustomerFeatures, where: Any, value: float) -> None:
    found = snapshots(made)
    found[where] = value
    np.save(made.files[SNAPSHOTS], found)


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("one_row_per_customer", lambda made: spoil_customers(made, lambda rows: [*rows[:3], {**rows[3], "cust_code": "a"}])),
        ("one_row_per_customer", lambda made: spoil_customers(made, lambda rows: [rows[1], rows[0], *rows[2:]])),
        ("population_covered", lambda made: spoil_customers(made, lambda rows: [*rows[:3], {**rows[3], "cust_code": "x"}])),
        ("population_covered", lambda made: spoil_customers(made, lambda rows: [*rows[:3], {**rows[3], "first_week": WEEKS[10]}])),
        ("snapshots_finite", lambda made: spoil_snapshots(made, (2, 1, 5), np.inf)),
        ("snapshots_finite", lambda made: spoil_snapshots(made, (3, 2, 159), np.nan)),
        ("nothing_before_first_visit", lambda made: spoil_snapshots(made, (2, 4, 100), 0.5)),
        ("nothing_before_first_visit", lambda made: spoil_snapshots(made, (3, 0, 0), 0.5)),
        ("visits_counted", lambda made: spoil_snapshots(made, (1, 1, slice(128, 143)), 0)),
        ("visits_counted", lambda made: spoil_snapshots(made, (2, 3, 159), 1)),
        ("history_covered", lambda made: spoil_snapshots(made, (3, slice(None), HISTORY), 0)),
    ],
)  # fmt: skip
def test_a_check_finds_what_it_is_there_for(
    tmp_path: Path, check: str, spoil: Callable[[CustomerFeatures], None]
) -> None:
    made = built(A_FEW, tmp_path)
    assert {outcome.name for outcome in checked(made, tmp_path)} == {each.name for each in asset.CHECKS}
    assert all(outcome.passed for outcome in checked(made, tmp_path))
    spoil(made)
    assert check in {outcome.name for outcome in checked(made, tmp_path) if not outcome.passed}
