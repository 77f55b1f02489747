"""A tensor cache holds what the published rows say, whatever their order, and nothing of it knows what comes later."""

from __future__ import annotations

import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.core.folders import files_of
from platform_assets.core.lake import Address, Lake, Lineage
from platform_assets.world_model import cache_builder, cache_inputs, cache_leaks, cache_quality
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.cache_inputs import CacheInputs
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model.cache_world import (
    SEGMENTS,
    SPLIT,
    WEEKS,
    Basket,
    build,
    some_baskets,
    write_inputs,
)

ADDRESS = Address("world_model/tensor_cache", WEEKS[-1])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[CacheInputs, Path, list[Basket]]:
    folder, baskets = tmp_path_factory.mktemp("world"), some_baskets()
    inputs = write_inputs(folder / "inputs", baskets)
    return inputs, build(folder, inputs), baskets


def read_back(cache: TensorCache) -> dict[int, dict[str, Any]]:
    """Every basket by its id, in codes; one row after the other."""
    codes = {0: None, **{number: code for code, number in cache._vocabulary["customers"].items()}}
    found = {}
    for name in layout.SPLITS:
        split = cache.split(name)
        for row in range(len(split)):
            items = split.items[split.offsets[row] : split.offsets[row + 1]].tolist()
            begin = int(cache.table("customer_offsets")[split.customer[row]])
            prior = slice(begin, begin + int(split.prior_purchases[row]))
            tokens, days = (cache.table(each)[prior].tolist() for each in ("purchases", "purchase_days"))
            segments = [
                (None, *cache.segment_values[each])[stored]
                for each, stored in zip(layout.SEGMENTS, split.segments[row], strict=True)
            ]
            labels = [(None, *values)[at] for values, at in zip(layout.LABELS.values(), split.labels[row], strict=True)]
            found[int(split.basket_id[row])] = {
                "split": name, "items": Counter(cache.product_ids[token] for token in items),
                "customer": codes[int(split.customer[row])], "store": int(split.store[row]),
                "moment": (int(split.week[row]), int(split.day[row]), int(split.weekday[row]), int(split.hour[row])),
                "labels": labels, "segments": segments, "trips": int(split.trips[row]),
                "since": int(split.days_since_previous[row]),
                "prior": Counter((cache.product_ids[token], day) for token, day in zip(tokens, days, strict=True)),
                "in_order": days == sorted(days),
            }  # fmt: skip
    return found


def expected(baskets: Sequence[Basket]) -> dict[int, dict[str, Any]]:
    """The same by walking through time: the slow oracle."""
    train = [each for each in baskets if each.week < len(SPLIT.train)]
    products, stores = {code for each in train for code in each.products}, sorted({each.store for each in train})
    before: dict[str, list[Basket]] = defaultdict(list)
    found = {}
    for each in sorted(baskets, key=lambda basket: basket.moment):
        earlier = before[each.customer] if each.customer else []
        bought = [(code, visit.day) for visit in earlier for code in visit.products if code in products]
        found[each.basket_id] = {
            "split": SPLIT.part(WEEKS[each.week]),
            "items": Counter(code if code in products else "UNK" for code in each.products),
            "customer": each.customer, "store": stores.index(each.store) + 1 if each.store in stores else 0,
            "moment": (each.week, each.day, (each.day + 1) % 7 + 1, each.hour),
            "labels": [each.kind if each.kind in layout.LABELS["mission_type"] else None, "Fresh", "MM", None],
            "segments": [each.seg_1 if each.seg_1 in SEGMENTS["seg_1"] else None, None], "trips": len(earlier),
            "since": each.day - earlier[-1].day if earlier else layout.NO_DAY, "prior": Counter(bought), "in_order": True,
        }  # fmt: skip
        earlier.append(each)
    return found


VISITS = st.lists(
    st.tuples(
        st.integers(0, 7 * len(WEEKS) - 1) | st.integers(0, 6), st.integers(8, 9), st.sampled_from([None, "a", "b"]),
        st.sampled_from("xy"), st.sets(st.sampled_from(["PRD01", "PRD02", "PRD03", "PRD04"]), min_size=1).map(tuple),
        st.sampled_from(["Top Up", "odd", None]), st.sampled_from(["AZ", "odd", None]),
    ),
    max_size=25,
).flatmap(
    lambda visits: st.permutations(range(len(visits))).map(
        lambda ids: [Basket(1 + number, *visit) for number, visit in zip(ids, visits, strict=True)]
    )
)  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(VISITS)
def test_the_cache_read_basket_by_basket_is_what_a_walk_through_time_says(baskets: list[Basket]) -> None:
    with TemporaryDirectory() as name:
        inputs = write_inputs(Path(name) / "inputs", baskets)
        folder = build(Path(name), inputs)
        cache = TensorCache(folder, verify=True)
        assert read_back(cache) == expected(baskets)
        for outcome in (
            cache_quality.arrays_whole(folder),
            cache_quality.counts_reconcile(cache, inputs.transactions),
            cache_leaks.no_leak(cache),
        ):
            assert outcome.passed, outcome


def test_unknown_products_and_stores_are_unk_and_counted_and_a_week_may_be_empty(world) -> None:
    _, folder, baskets = world
    cache = TensorCache(folder)
    assert read_back(cache) == expected(baskets)
    assert not any(20 in cache.split(name).week for name in layout.SPLITS)
    for name, told in cache.document["splits"].items():
        own = [each for each in baskets if SPLIT.part(WEEKS[each.week]) == name]
        assert told == {
            "weeks": len(getattr(SPLIT, name)), "first_week": getattr(SPLIT, name)[0],
            "last_week": getattr(SPLIT, name)[-1], "baskets": len(own),
            "items": sum(len(each.products) for each in own),
            "unknown_products": sum(code > "PRD07" for each in own for code in each.products),
            "unknown_stores": sum(each.store == "STORE3" for each in own),
            "anonymous": sum(each.customer is None for each in own),
        }  # fmt: skip
    later = cache.document["splits"]["validation"]
    assert all(later[name] for name in ("unknown_products", "unknown_stores", "anonymous"))


def test_tables_and_samples_are_those_of_the_features(world) -> None:
    inputs, folder, _ = world
    cache = TensorCache(folder)
    for name, feature in cache_inputs.COPIED.items():
        assert np.array_equal(cache.table(name), np.load(getattr(inputs, feature) / f"{name}.npy"))
    prices = cache.table("prices")
    for row in pq.read_table(inputs.prices / "prices.parquet").to_pylist():
        token = cache.product_id_to_idx(row["prod_code"])
        if token != layout.UNK:
            assert prices[row["week_index"], token].tolist() == [np.float32(row[name]) for name in layout.PRICES]
    assert not prices[:, : layout.FIRST_PRODUCT].any()
    for name in layout.SPLITS:
        rows, split = pq.read_table(cache.samples_path(name)).to_pylist(), cache.split(name)
        assert sorted(row["basket_id"] for row in rows) == sorted(split.basket_id.tolist())
        assert [row["basket_id"] for row in rows] != split.basket_id.tolist(), "rows are drawn, not in order of time"
        place = {number: row for row, number in enumerate(split.basket_id.tolist())}
        assert all(row["num_products"] == split.lengths[place[row["basket_id"]]] for row in rows)


def test_the_same_inputs_give_the_same_bytes_on_any_number_of_threads_and_another_seed_gives_others(
    world, tmp_path: Path
) -> None:
    inputs, folder, _ = world
    fingerprint = TensorCache(folder).fingerprint
    again = TensorCache(build(tmp_path / "again", inputs, threads=3))
    assert again.fingerprint == fingerprint
    other = TensorCache(build(tmp_path / "other", inputs, seed=1))
    assert other.fingerprint != fingerprint
    assert read_back(other) == read_back(again)


def test_later_weeks_change_nothing_of_what_earlier_baskets_know(world, tmp_path: Path) -> None:
    _, _, baskets = world
    earlier = [each for each in baskets if each.week < 30]
    inputs = write_inputs(tmp_path / "inputs", earlier)
    found = read_back(TensorCache(build(tmp_path, inputs)))
    assert found == {number: row for number, row in expected(baskets).items() if number in found}


def test_items_lie_in_a_random_order_and_rows_are_drawn_evenly(tmp_path: Path) -> None:
    codes = tuple(f"PRD{number:02}" for number in range(4))
    baskets = [Basket(number, 0, 9, None, "x", codes) for number in range(1200)]
    cache = TensorCache(build(tmp_path, write_inputs(tmp_path / "inputs", baskets)))
    orders = Counter(map(tuple, cache.split("train").items.reshape(-1, 4).tolist()))
    # 24 orders, 50 of each expected: five standard deviations.
    assert len(orders) == 24
    assert all(abs(count - 50) < 35 for count in orders.values())


def test_a_sample_index_keeps_its_rows_and_forgets_its_row_groups(tmp_path: Path) -> None:
    table = pa.table({"n": range(450_000), "text": [f"row {n % 97}" if n % 5 else None for n in range(450_000)]})
    written = []
    for rows in (1_000, 123_456, 450_000):
        pq.write_table(table, tmp_path / "in.parquet", row_group_size=rows)
        cache_builder.rewrite(tmp_path / "in.parquet", tmp_path / f"{rows}.parquet")
        written.append((tmp_path / f"{rows}.parquet").read_bytes())
    assert len(set(written)) == 1
    assert pq.read_table(tmp_path / "1000.parquet").equals(table)


def publish_own(inputs: CacheInputs, lake: Path, scratch: Path, barrier: Any) -> None:
    """What one of two processes does."""
    with TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        barrier.wait(60)
        engine = Engine(folder / "spill", threads=1)
        cache = cache_builder.build_cache(engine, inputs, SPLIT, folder / "cache", folder)
        barrier.wait(60)
        Lake(lake).publish_files(ADDRESS, files_of(cache), Lineage(), expected=None)


def test_two_processes_that_build_the_same_cache_publish_one_whole(world, tmp_path: Path) -> None:
    inputs, folder, _ = world
    context = multiprocessing.get_context("forkserver")
    barrier = context.Barrier(2)
    both = [context.Process(target=publish_own, args=(inputs, tmp_path / "lake", tmp_path, barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    published = TensorCache(tmp_path / "lake" / ADDRESS.path, verify=True)
    assert published.fingerprint == TensorCache(folder).fingerprint
    assert len(list((tmp_path / "lake" / ADDRESS.path / "revisions").iterdir())) == 1


def test_a_customers_purchases_do_not_hang_on_where_weeks_are_cut(tmp_path: Path) -> None:
    """The counting sort within a week, against the order of visits: all baskets of one customer on one day."""
    baskets = [Basket(90 - number, 0, 9, "a", "x", (f"PRD{number:02}", "PRD50")) for number in range(40)]
    cache = TensorCache(build(tmp_path, write_inputs(tmp_path / "inputs", baskets)))
    tokens = [cache.product_ids[token] for token in cache.table("purchases")]
    assert [set(tokens[at : at + 2]) for at in range(0, 80, 2)] == [
        {f"PRD{number:02}", "PRD50"} for number in range(39, -1, -1)
    ]
