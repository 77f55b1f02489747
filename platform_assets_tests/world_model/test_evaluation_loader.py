"""The evaluation's loader: groups that cover the split, and questions that nothing but seed and basket decide."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest
import torch

from platform_assets.world_model import groups
from platform_assets.world_model.batch import NO_TARGET, WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import EvaluationDataLoader
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT, MASK
from platform_assets_tests.world_model.small_cache import write_small_cache

GROUPS = ["date", "hour", "week", None]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> WorldModelDataset:
    return WorldModelDataset(write_small_cache(tmp_path_factory.mktemp("cache")), "test")


def evaluation(dataset: WorldModelDataset, **changed: object) -> EvaluationDataLoader:
    return EvaluationDataLoader(dataset, **{"batch_size": 8} | changed)  # type: ignore[arg-type]


def long_enough(dataset: WorldModelDataset, least: int = 2) -> list[int]:
    return np.flatnonzero(dataset.arrays.lengths >= least).tolist()


def questions(batches: EvaluationDataLoader) -> dict[int, tuple[int, ...]]:
    """Basket -> (place, target), or nothing where nothing is asked."""
    found: dict[int, tuple[int, ...]] = {}
    for _, batch in batches:
        assert batch.masked_targets.shape[1] <= 1
        for row, places, targets in zip(
            batch.indices.rows.tolist(), batch.masked_positions.tolist(), batch.masked_targets.tolist(), strict=True
        ):
            assert row not in found
            found[row] = (*places, *targets) if targets and targets[0] != NO_TARGET else ()
    return found


@pytest.mark.parametrize("group_by", GROUPS)
def test_groups_cover_every_basket_of_two_or_more_once_and_keys_are_right(
    dataset: WorldModelDataset, group_by: str | None
) -> None:
    arrays, rows, keys = dataset.arrays, [], []
    for key, batch in evaluation(dataset, group_by=group_by):
        rows += batch.indices.rows.tolist()
        keys.append(key)
        first = date.fromisoformat(dataset.cache.document["first_day"])
        for row in batch.indices.rows.tolist():
            day = first + timedelta(days=int(arrays.day[row]))
            expected = {
                "date": day.isoformat(), "hour": int(arrays.hour[row]),
                "week": (day - timedelta(days=day.weekday())).isoformat(), None: None,
            }  # fmt: skip
            assert key == expected[group_by]
    assert sorted(rows) == long_enough(dataset)
    assert group_by is None or keys == sorted(keys)  # type: ignore[type-var]


@pytest.mark.parametrize("group_by", GROUPS)
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_len_is_the_number_of_batches(dataset: WorldModelDataset, group_by: str | None, batch_size: int) -> None:
    batches = evaluation(dataset, group_by=group_by, batch_size=batch_size, window=30)
    assert len(batches) == sum(1 for _ in batches)


def test_exactly_one_product_of_every_basket_is_hidden_behind_mask(dataset: WorldModelDataset) -> None:
    """Defect 7: grouped evaluation without masks always gives 0."""
    asked = questions(evaluation(dataset))
    for row, question in asked.items():
        start, end = dataset.arrays.offsets[row : row + 2]
        items = dataset.arrays.items[start : min(end, start + 50)]
        assert bool(question) == (items >= FIRST_PRODUCT).any()
        assert not question or items[question[0]] == question[1] >= FIRST_PRODUCT
    assert sum(map(bool, asked.values())) > 60
    for _, batch in evaluation(dataset):
        assert ((batch.indices.tokens == MASK).sum(1) == (batch.masked_targets != NO_TARGET).sum(1)).all()
        for row in range(len(batch)):
            assert not torch.isin(batch.indices.tokens[row], batch.masked_targets[row]).any()


def test_what_is_hidden_depends_on_neither_batch_nor_group_nor_order(dataset: WorldModelDataset) -> None:
    expected = questions(evaluation(dataset))
    for group_by in GROUPS:
        for batch_size in (1, 3, 64):
            assert questions(evaluation(dataset, group_by=group_by, batch_size=batch_size, window=20)) == expected
    assert questions(evaluation(dataset, minimum_items=1)).items() >= expected.items()


def test_another_seed_asks_other_questions_and_the_same_seed_the_same(dataset: WorldModelDataset) -> None:
    first, again, other = (questions(evaluation(dataset, seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert sum(first[row] != other[row] for row in first) > len(first) / 3


def test_without_masking_nothing_is_hidden(dataset: WorldModelDataset) -> None:
    for _, batch in evaluation(dataset, apply_masking=False):
        assert batch.masked_targets.numel() == 0
        assert not (batch.indices.tokens == MASK).any()


def test_a_next_basket_shows_one_mask_and_tells_neither_length_nor_trip(dataset: WorldModelDataset) -> None:
    rows: list[int] = []
    for _, batch in evaluation(dataset, next_basket=True, minimum_items=1, purchase_history=3):
        assert batch.indices.tokens.tolist() == [[MASK]] * len(batch)
        assert batch.masked_positions.tolist() == [[0]] * len(batch)
        assert batch.masked_targets.eq(NO_TARGET).all()
        assert batch.trip_context.eq(0).all()
        assert batch.price_features.eq(0).all()
        assert_holds_whole_baskets(dataset, batch)
        rows += batch.indices.rows.tolist()
    assert sorted(rows) == list(range(len(dataset)))


def assert_holds_whole_baskets(dataset: WorldModelDataset, batch: WorldModelBatch) -> None:
    """Those beyond the longest sequence, too."""
    assert batch.next_items is not None
    for number, row in enumerate(batch.indices.rows.tolist()):
        start, end = dataset.arrays.offsets[row : row + 2]
        mine = batch.next_items.tokens[batch.next_items.rows == number]
        assert mine.tolist() == dataset.arrays.items[start:end].tolist()


def test_where_items_are_hidden_no_whole_basket_is_told(dataset: WorldModelDataset) -> None:
    assert all(batch.next_items is None for _, batch in evaluation(dataset))


def test_groups_larger_than_a_window_and_scans_smaller_than_a_split_change_nothing(
    dataset: WorldModelDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = questions(evaluation(dataset, group_by="week"))
    counts = Counter(key for key, batch in evaluation(dataset, group_by="week") for _ in range(len(batch)))
    monkeypatch.setattr(groups, "SCANNED", 7)
    small = evaluation(dataset, group_by="week", batch_size=2, window=4)
    assert questions(small) == expected
    assert Counter(key for key, batch in small for _ in range(len(batch))) == counts
    assert max(counts.values()) > 4


def test_an_unknown_group_is_refused(dataset: WorldModelDataset) -> None:
    with pytest.raises(ValueError, match="group_by is one of date, hour, week"):
        evaluation(dataset, group_by="month")
