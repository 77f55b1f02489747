"""The encoder against a slow reference, and what it must not know: ids it cannot tell apart, prices of what is hidden."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.world_model import time_codes
from platform_assets.world_model.batch import NO_TARGET, Indices
from platform_assets.world_model.encoder import TensorEncoder
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT, LABELS, MASK, NOBODY, PAD, UNK
from platform_assets_tests.world_model import slow_encoder
from platform_assets_tests.world_model.small_cache import write_small_cache

EMPTY = torch.zeros(0, dtype=torch.int64)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> TensorCache:
    return TensorCache(write_small_cache(tmp_path_factory.mktemp("cache"), weeks=110))


@pytest.fixture(scope="module")
def encoder(cache: TensorCache) -> TensorEncoder:
    return TensorEncoder(cache, max_seq_len=12)


def baskets(cache: TensorCache, rows: list[dict[str, list[int] | int]]) -> Indices:
    """Indices of these baskets, padded to the longest."""
    longest = max(len(row["tokens"]) for row in rows)  # type: ignore[arg-type]
    tokens = [row["tokens"] + [PAD] * (longest - len(row["tokens"])) for row in rows]  # type: ignore[operator, arg-type]
    column = {name: torch.tensor([row[name] for row in rows]) for name in rows[0] if name != "tokens"}
    none = torch.zeros((len(rows), 0), dtype=torch.int64)
    return Indices(
        torch.tensor(tokens), none, none, snapshot=column["week"] // 4, own_tokens=EMPTY, own_rows=EMPTY,
        own_days=torch.zeros(0), rows=torch.arange(len(rows)), **column,
    )  # fmt: skip


def basket(**changed: object) -> dict[str, object]:
    given: dict[str, object] = {
        "tokens": [FIRST_PRODUCT, FIRST_PRODUCT + 1], "customer": 1, "store": 1, "week": 30, "day": 213, "weekday": 5,
        "hour": 12, "trips": 3, "days_since_previous": 2, "segments": [1, 2], "labels": [0, 1, 2, 0],
    }  # fmt: skip
    return given | changed


@st.composite
def any_basket(draw: st.DrawFn) -> dict[str, object]:
    day = draw(st.integers(0, 110 * 7 - 1))
    labels = [draw(st.sampled_from([NO_TARGET, *range(len(classes))])) for classes in LABELS.values()]
    return basket(
        tokens=draw(st.lists(st.integers(UNK, FIRST_PRODUCT + 49), min_size=1, max_size=12)),
        customer=draw(st.integers(0, 20)), store=draw(st.integers(0, 5)), week=day // 7, day=day,
        weekday=draw(st.integers(1, 7)), hour=draw(st.integers(0, 23)), trips=draw(st.integers(0, 400)),
        days_since_previous=draw(st.integers(-1, day)), segments=[draw(st.integers(0, 4)), draw(st.integers(0, 40))],
        labels=labels,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(any_basket(), min_size=1, max_size=4), st.booleans())
def test_all_tensors_equal_the_slow_reference(
    cache: TensorCache, encoder: TensorEncoder, rows: list[dict[str, object]], with_trip: bool
) -> None:
    indices = baskets(cache, rows)  # type: ignore[arg-type]
    dense, sequence = encoder.encode(indices, with_trip)
    assert dense.dtype == sequence.dtype == torch.float32
    np.testing.assert_allclose(dense.numpy(), slow_encoder.dense(cache, indices, with_trip), atol=2e-5)
    np.testing.assert_allclose(sequence.numpy(), slow_encoder.sequence(cache, indices), atol=2e-5)


def test_each_tensor_is_its_part_of_the_whole(cache: TensorCache, encoder: TensorEncoder) -> None:
    indices = baskets(cache, [basket(), basket(customer=0, tokens=[MASK, UNK, 9])])  # type: ignore[list-item]
    dense, sequence = encoder.encode(indices, with_trip=True)
    parts = [encoder.customer_context(indices), encoder.temporal_context(indices)]
    parts += [encoder.store_context(indices), encoder.trip_context(indices)]
    assert [part.shape[1] for part in parts] == [192, 64, 96, 48]
    assert torch.equal(torch.cat(parts, 1), dense)
    items = [encoder.product_embeddings(indices), encoder.price_features(indices)]
    assert [item.shape[2] for item in items] == [256, 64]
    assert torch.equal(torch.cat(items, 2), sequence)


def test_unknown_ids_are_no_real_entity(cache: TensorCache, encoder: TensorEncoder) -> None:
    """Defect 5: unknown ids mapped to index 0, a real one."""
    assert cache.product_id_to_idx("PRD9999999") == UNK < FIRST_PRODUCT
    assert cache.customer_id_to_idx("CUST9999999999") == cache.customer_id_to_idx(None) == NOBODY
    assert cache.store_id_to_idx("STORE99999") == NOBODY
    nobody = basket(customer=NOBODY, store=NOBODY, tokens=[UNK], segments=[0, 0], trips=0)
    known = [basket(customer=each, store=1 + each % 5, tokens=[FIRST_PRODUCT + each]) for each in range(1, 21)]
    dense, sequence = encoder.encode(baskets(cache, [nobody, *known]), with_trip=False)  # type: ignore[list-item]
    assert (dense[1:, :192] != dense[0, :192]).any(1).all()
    assert (dense[1:, 256:352] != dense[0, 256:352]).any(1).all()
    assert (sequence[1:, 0, :256] != sequence[0, 0, :256]).any(1).all()
    assert dense[0, 64:192].eq(0).all()
    assert dense[0, 256:352].eq(0).all()


def test_anonymous_baskets_have_a_row_of_their_own_whatever_their_segments(
    cache: TensorCache, encoder: TensorEncoder
) -> None:
    rows = [
        basket(customer=0, segments=[1, 3]),
        basket(customer=0, segments=[0, 0]),
        basket(customer=3, segments=[0, 0]),
    ]
    first, second, known = encoder.customer_context(baskets(cache, rows))  # type: ignore[arg-type]
    assert torch.equal(first, second)
    assert not torch.equal(first[:64], known[:64])


@pytest.mark.parametrize(("trips", "share"), [(0, 0.6), (4, 0.6), (5, 1 - 1 / np.log(6) / 2), (148, 0.9), (9_000, 0.9)])
def test_a_new_customers_vector_counts_less(
    cache: TensorCache, encoder: TensorEncoder, trips: int, share: float
) -> None:
    found = encoder.customer_context(baskets(cache, [basket(trips=trips)]))[0, 64:]  # type: ignore[list-item]
    stored = cache.table("customer_snapshots")[30 // 4, 1, :128].astype(np.float32)
    np.testing.assert_allclose(found.numpy(), stored * share, rtol=1e-5)


def test_padding_masks_and_missing_prices_are_zero(cache: TensorCache, encoder: TensorEncoder) -> None:
    late = int(np.flatnonzero((cache.table("prices")[0, FIRST_PRODUCT:] == 0).all(1))[0]) + FIRST_PRODUCT
    rows = [basket(week=0, tokens=[MASK, UNK, late]), basket(week=0, tokens=[3])]
    sequence = encoder.sequence(baskets(cache, rows))  # type: ignore[arg-type]
    assert sequence[0, :, 256:].eq(0).all()
    assert sequence[1, 1:].eq(0).all()
    assert not torch.equal(sequence[0, 0, 250:256], sequence[0, 1, 250:256]), "MASK and UNK can be told apart"


def test_a_cache_with_late_prices_stays_finite(cache: TensorCache, encoder: TensorEncoder) -> None:
    assert torch.isfinite(encoder.prices).all()
    assert (encoder.prices[:, 4] == 0).any()


def test_no_table_is_saved_with_a_checkpoint(encoder: TensorEncoder) -> None:
    assert encoder.state_dict() == {}
    assert list(encoder.parameters()) == []


def test_the_tables_are_those_of_the_file_and_are_not_copied(cache: TensorCache, encoder: TensorEncoder) -> None:
    mapped = cache.table("customer_snapshots")
    assert encoder.snapshots.shape == (mapped.shape[0] * mapped.shape[1], mapped.shape[2])
    maps = Path("/proc/self/maps")
    if maps.exists():
        ranges = [line.split() for line in maps.read_text().splitlines() if line.endswith("customer_snapshots.npy")]
        spans = [[int(end, 16) for end in line[0].split("-")] for line in ranges]
        assert any(low <= encoder.snapshots.data_ptr() < high for low, high in spans)


@pytest.mark.parametrize("year", range(1990, 2040))
def test_easter_is_a_sunday_in_its_season_and_known_ones_are_right(year: int) -> None:
    easter = time_codes.easter_sunday(year)
    assert easter.weekday() == 6
    assert date(year, 3, 22) <= easter <= date(year, 4, 25)
    known = {2006: (4, 16), 2007: (4, 8), 2008: (3, 23), 2011: (4, 24), 2019: (4, 21), 2024: (3, 31), 2038: (4, 25)}
    assert known.get(year, (easter.month, easter.day)) == (easter.month, easter.day)


def test_holidays_on_weekends_move_to_working_days() -> None:
    moved = {day for year in (2010, 2011, 2016, 2020, 2021, 2022) for day in time_codes.holidays(year)}
    assert all(day.weekday() < 5 for day in moved)
    assert {date(2010, 12, 27), date(2010, 12, 28), date(2011, 1, 3), date(2016, 12, 27), date(2020, 12, 28)} <= moved
    assert {date(2021, 12, 27), date(2021, 12, 28), date(2022, 1, 3), date(2022, 12, 27)} <= moved
    assert all(len(time_codes.holidays(year)) == 8 for year in range(2000, 2030))


@pytest.mark.parametrize(
    ("day", "week"),
    [
        ("2006-04-10", 6),
        ("2006-02-26", 51),
        ("2006-02-27", 0),
        ("2007-02-26", 0),
        ("2008-07-06", 18),
        ("2008-02-24", 51),
    ],
)
def test_the_fiscal_week_is_the_retailers(day: str, week: int) -> None:
    """SHOP_WEEK 200607 is that of 10 April 2006 and 200819 that of 6 July 2008."""
    assert time_codes.fiscal_week(date.fromisoformat(day)) == week
