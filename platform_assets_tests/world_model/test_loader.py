"""The training's loader: every basket once, whatever the ranks; resumed anywhere; nothing hidden can be seen."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.training.errors import OtherFingerprint
from platform_assets.world_model.batch import NO_POSITION, NO_ROW, NO_TARGET, WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import WorldModelDataLoader
from platform_assets.world_model.prefetch import ahead
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT, MASK, PAD, UNK
from platform_assets.world_model.windows import Windows, cut
from platform_assets_tests.world_model.small_cache import write_small_cache

# 400 train baskets in batches of 16: windows of 6 batches, 25 batches in all, the last window of one.
SMALL = {"batch_size": 16, "window": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def dataset(folder: Path) -> WorldModelDataset:
    return WorldModelDataset(folder)


def loader(dataset: WorldModelDataset, **changed: object) -> WorldModelDataLoader:
    return WorldModelDataLoader(dataset, **SMALL | changed)  # type: ignore[arg-type]


def digest(batch: WorldModelBatch) -> str:
    """Of all that a batch is."""
    sha = hashlib.sha256(repr(batch.counts).encode())
    for tensor in batch.indices:
        sha.update(repr(tensor.shape).encode() + tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def rows_of(batches: Iterator[WorldModelBatch]) -> list[int]:
    return [row for batch in batches for row in batch.indices.rows.tolist() if row != NO_ROW]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_ranks_together_have_every_basket_once(folder: Path, split: str, world_size: int) -> None:
    data = WorldModelDataset(folder, split)
    ranks = [loader(data, rank=rank, world_size=world_size, window=50) for rank in range(world_size)]
    assert sorted(row for rank in ranks for row in rows_of(iter(rank))) == list(range(len(data)))


@pytest.mark.parametrize("world_size", [2, 4, 7])
def test_the_global_batches_are_the_same_for_every_number_of_ranks(dataset: WorldModelDataset, world_size: int) -> None:
    alone = list(loader(dataset, purchase_history=4))
    ranks = [list(loader(dataset, rank=rank, world_size=world_size, purchase_history=4)) for rank in range(world_size)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        for rank, share in enumerate(shares):
            assert share.counts == whole.counts
            if rank >= len(whole):
                continue
            mine = slice(rank, None, world_size)
            plain = [name for name in whole.indices._fields if not name.startswith("own_")]
            for name in plain:
                assert torch.equal(getattr(share.indices, name), getattr(whole.indices, name)[mine]), name
            assert own(share) == own(whole)[mine]


def own(batch: WorldModelBatch) -> list[list[tuple[int, float]]]:
    """Each basket's history."""
    indices = batch.indices
    found: list[list[tuple[int, float]]] = [[] for _ in range(len(batch))]
    for token, row, days in zip(indices.own_tokens, indices.own_rows, indices.own_days, strict=True):
        found[int(row)].append((int(token), float(days)))
    return found


def test_a_rank_without_a_basket_computes_one_for_nothing(dataset: WorldModelDataset) -> None:
    """400 baskets in batches of 133: the last has one, and the second rank of two none of it."""
    shares = [loader(dataset, batch_size=133, window=133, rank=rank, world_size=2) for rank in range(2)]
    for first, second in zip(*shares, strict=True):
        assert first.counts == second.counts
        if first.global_baskets == 1:
            assert len(first) == len(second) == 1
            assert second.indices.rows.tolist() == [NO_ROW]
            assert second.masked_positions.eq(NO_POSITION).all()
            assert second.masked_targets.eq(NO_TARGET).all()
            assert all(labels.eq(NO_TARGET).all() for labels in second.auxiliary_labels.values())
            return
    pytest.fail("there was no batch of one basket")


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize(
    "stops", [[0], [3], [6], [12], [24], [25], [2, 9], [5, 5]], ids=lambda stops: "-".join(map(str, stops))
)
def test_a_resumed_epoch_has_the_batches_of_an_unbroken_one(folder: Path, stops: list[int], prefetch: bool) -> None:
    """Stopped at its start, within a window, at a window's edge, before and at its end, and twice."""
    unbroken = loader(WorldModelDataset(folder), seed=3)
    expected = [digest(batch) for _ in range(2) for batch in unbroken]
    found: list[str] = []
    state = unbroken.state_dict() | {"epoch": 0, "batches": 0}
    for stop in [*stops, None]:
        resumed = loader(WorldModelDataset(folder), seed=3, prefetch=prefetch)
        resumed.load_state_dict(state)
        taken = stop if stop is None else stop - len(found)
        found += [digest(batch) for batch in islice(resumed, taken)]
        state = resumed.state_dict()
    assert found == expected[:25]
    assert [digest(batch) for batch in resumed] == expected[25:]


def test_any_batch_can_be_the_first_one(dataset: WorldModelDataset) -> None:
    """Windows of 60 batches, prepared three at a time."""
    data = loader(dataset, batch_size=4, window=240)
    expected = [digest(batch) for batch in data.epoch_batches(1)]
    assert len(set(expected)) == len(data) == 100
    assert [digest(next(data.epoch_batches(1, start))) for start in range(100)] == expected
    assert list(data.epoch_batches(1, 100)) == []


def test_after_an_epochs_last_batch_comes_the_next_epoch(dataset: WorldModelDataset) -> None:
    data = loader(dataset)
    first = [digest(batch) for batch in data]
    assert (data.state_dict()["epoch"], data.state_dict()["batches"]) == (1, 0)
    second = [digest(batch) for batch in data]
    assert set(first).isdisjoint(second)
    data.set_epoch(0)
    assert [digest(batch) for batch in data] == first


def test_set_epoch_keeps_a_restored_position_in_its_own_epoch(dataset: WorldModelDataset) -> None:
    data = loader(dataset)
    data.load_state_dict(data.state_dict() | {"epoch": 2, "batches": 7})
    data.set_epoch(2)
    assert data.state_dict()["batches"] == 7
    data.set_epoch(3)
    assert (data.state_dict()["epoch"], data.state_dict()["batches"]) == (3, 0)


def test_epochs_differ_in_order_company_and_masks_and_repeat_exactly(dataset: WorldModelDataset) -> None:
    data = loader(dataset)
    first, again, other = (list(data.epoch_batches(epoch)) for epoch in (4, 4, 5))
    assert [digest(batch) for batch in first] == [digest(batch) for batch in again]
    assert rows_of(iter(first)) != rows_of(iter(other))
    assert {frozenset(rows_of(iter([batch]))) for batch in first}.isdisjoint(
        frozenset(rows_of(iter([batch]))) for batch in other
    )


def test_without_shuffle_every_epoch_is_the_same_and_the_first_batches_are_of_all_lengths(
    dataset: WorldModelDataset,
) -> None:
    data = loader(dataset, shuffle=False, window=400)
    first, second = ([digest(batch) for batch in data.epoch_batches(epoch)] for epoch in (0, 1))
    assert first == second
    widths = [batch.indices.tokens.shape[1] for batch in data.epoch_batches(0)]
    assert widths != sorted(widths)
    assert widths != sorted(widths, reverse=True)


def test_without_shuffle_and_length_batching_the_order_is_the_files(dataset: WorldModelDataset) -> None:
    data = loader(dataset, shuffle=False, bucket_batching=False)
    assert rows_of(iter(data)) == list(range(400))


@pytest.mark.parametrize(
    "changed",
    [
        {"batch_size": 8},
        {"window": 99},
        {"shuffle": False},
        {"apply_masking": False},
        {"seed": 1},
        {"purchase_history": 2},
    ],
    ids=str,
)
def test_the_state_of_other_settings_is_refused(dataset: WorldModelDataset, changed: dict[str, object]) -> None:
    state = loader(dataset).state_dict()
    with pytest.raises(OtherFingerprint, match="begin anew"):
        loader(dataset, **changed).load_state_dict(state)


def test_the_state_of_another_cache_is_refused(dataset: WorldModelDataset, tmp_path: Path) -> None:
    other = WorldModelDataset(write_small_cache(tmp_path, seed=1))
    with pytest.raises(OtherFingerprint, match="another tensor cache"):
        loader(other).load_state_dict(loader(dataset).state_dict())


def test_the_state_serves_any_number_of_ranks(dataset: WorldModelDataset) -> None:
    loader(dataset, rank=1, world_size=4).load_state_dict(loader(dataset).state_dict())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.integers(1, 40), st.integers(1, 120), st.integers(0, 3))
def test_windows_and_length_in_closed_form(baskets: int, batch_size: int, window: int, epoch: int) -> None:
    """Every basket is in one window; all batches but one are full; and there are as many as were said."""
    windows = Windows(baskets, batch_size, window)
    order, sizes, seen = windows.order(0, epoch), [], []
    for number in range(len(windows)):
        rows = order.rows(number)
        found = cut(
            rows, np.ones(len(rows), np.int64), batch_size, True, np.random.default_rng(0), np.random.default_rng(1)
        )
        assert sorted(found.rows) == sorted(rows)
        sizes += np.diff(found.bounds).tolist()
        seen += rows.tolist()
    assert sorted(seen) == list(range(baskets))
    assert len(sizes) == windows.batches
    assert sum(size != batch_size for size in sizes) <= 1


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 500])
def test_len_is_the_number_of_batches(folder: Path, split: str, batch_size: int) -> None:
    data = loader(WorldModelDataset(folder, split), batch_size=batch_size)
    assert len(data) == sum(1 for _ in data) == sum(1 for _ in data.indices())


@pytest.mark.parametrize("mask_prob", [0.15, 0.9])
def test_a_hidden_item_is_nowhere_but_among_the_targets(folder: Path, mask_prob: float) -> None:
    """Defect 1: tokens were masked while their embeddings and prices stayed visible."""
    data = WorldModelDataset(folder, mask_prob=mask_prob)
    vectors, prices = data.cache.table("product_embeddings"), data.encoder.prices.view(-1, data.cache.tokens, 5)
    for batch in loader(data):
        tokens, vector = batch.indices.tokens, batch.product_embeddings
        for row in range(len(batch)):
            for place, target in zip(batch.masked_positions[row], batch.masked_targets[row], strict=True):
                if target == NO_TARGET:
                    continue
                assert target not in tokens[row]
                position = data.encoder.positions[: tokens.shape[1]]
                apart = (vector[row] - position - torch.from_numpy(np.array(vectors[target]))).abs().amax(1)
                assert apart.min() > 1e-3
                if tokens[row, place] == MASK:
                    assert batch.price_features[row, place].eq(0).all()
                own_price = prices[batch.indices.week[row], target]
                shown = prices[batch.indices.week[row], tokens[row]]
                assert not own_price[4] or not (shown == own_price).all(1).any()


def test_targets_are_what_the_basket_holds_and_the_rest_is_shown(dataset: WorldModelDataset) -> None:
    for batch in loader(dataset):
        for row, basket in enumerate(batch.indices.rows.tolist()):
            start, end = dataset.arrays.offsets[basket : basket + 2]
            items = dataset.arrays.items[start : min(end, start + 50)].tolist()
            tokens = batch.indices.tokens[row].tolist()
            hidden = {int(place): int(target) for place, target in pairs(batch, row)}
            restored = [hidden.get(place, token) for place, token in enumerate(tokens)]
            assert restored == items + [PAD] * (len(tokens) - len(items))
            assert bool(hidden) == any(item >= FIRST_PRODUCT for item in items)
            assert UNK not in hidden.values()


def pairs(batch: WorldModelBatch, row: int) -> list[tuple[int, int]]:
    places, targets = batch.masked_positions[row].tolist(), batch.masked_targets[row].tolist()
    assert [place == NO_POSITION for place in places] == [target == NO_TARGET for target in targets]
    return [(place, target) for place, target in zip(places, targets, strict=True) if target != NO_TARGET]


def test_every_basket_with_a_known_product_has_a_target(folder: Path) -> None:
    """Defect 10: Bernoulli masking leaves about half of the baskets without one."""
    data = WorldModelDataset(folder, mask_prob=0.0)
    counts = [(batch.masked_targets != NO_TARGET).sum(1) for batch in loader(data)]
    known = sum(
        any(item >= FIRST_PRODUCT for item in data.arrays.items[start:end])
        for start, end in zip(data.arrays.offsets[:-1], data.arrays.offsets[1:], strict=True)
    )
    assert sum(int(count.sum()) for count in counts) == known > 390
    assert max(int(count.max()) for count in counts) == 1


def test_batches_are_of_one_length_and_not_of_one_week(folder: Path) -> None:
    """Defect 6: buckets by week, which save no padding."""
    waste = {}
    for by_length in (True, False):
        tokens = [
            batch.indices for batch in WorldModelDataLoader(WorldModelDataset(folder), 4, bucket_batching=by_length)
        ]
        shown = sum(int((each.tokens != PAD).sum()) for each in tokens)
        waste[by_length] = 1 - shown / sum(each.tokens.numel() for each in tokens)
        assert np.mean([len(set(each.week.tolist())) > 1 for each in tokens]) > 0.8
    assert waste[True] < 0.1 < 0.5 < waste[False]


def test_counts_are_of_the_whole_batch(dataset: WorldModelDataset) -> None:
    ranks = [list(loader(dataset, rank=rank, world_size=3)) for rank in range(3)]
    for shares in zip(*ranks, strict=True):
        assert {share.counts for share in shares} == {shares[0].counts}
        assert shares[0].global_targets == sum(int((each.masked_targets != NO_TARGET).sum()) for each in shares)
        assert shares[0].global_baskets == sum(int((each.indices.rows != NO_ROW).sum()) for each in shares)
        labels = torch.stack([(each.indices.labels != NO_TARGET).sum(0) for each in shares]).sum(0)
        assert shares[0].global_labels == tuple(labels.tolist())


@pytest.mark.parametrize("newest", [0, 1, 7, 10_000])
def test_histories_are_the_newest_purchases_before_the_basket(dataset: WorldModelDataset, newest: int) -> None:
    arrays, cache = dataset.arrays, dataset.cache
    for batch in loader(dataset, purchase_history=newest):
        for row, found in zip(batch.indices.rows.tolist(), own(batch), strict=True):
            first = int(cache.table("customer_offsets")[arrays.customer[row]])
            prior = int(arrays.prior_purchases[row])
            places = range(first, first + prior)[-newest:] if newest else []
            day = int(arrays.day[row])
            tokens, days = cache.table("purchases"), cache.table("purchase_days")
            assert found == [(int(tokens[place]), day - int(days[place])) for place in places]
            assert all(before >= 0 for _, before in found)


def test_columns_are_those_of_the_basket(dataset: WorldModelDataset) -> None:
    arrays = dataset.arrays
    names = ("customer", "store", "week", "day", "weekday", "hour", "trips", "days_since_previous", "segments")
    for indices in loader(dataset).indices():
        rows = indices.rows.numpy()
        for name in names:
            assert getattr(indices, name).tolist() == getattr(arrays, name)[rows].tolist(), name
        assert indices.snapshot.tolist() == (arrays.week[rows] // 4).tolist()
        stored = arrays.labels[rows].astype(int)
        assert indices.labels.tolist() == np.where(stored == 0, NO_TARGET, stored - 1).tolist()


@pytest.mark.parametrize("changed", [{"rank": 2, "world_size": 2}, {"batch_size": 0}, {"window": 0}])
def test_impossible_settings_are_refused(dataset: WorldModelDataset, changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        loader(dataset, **changed)


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def ends(deadline: float = 5.0) -> bool:
    until = time.monotonic() + deadline
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    return not threads()


def test_the_prefetching_thread_ends_with_its_iterator(dataset: WorldModelDataset) -> None:
    batches = iter(loader(dataset))
    next(batches)
    assert threads() == 1
    del batches
    assert ends()
    list(loader(dataset))
    assert ends()


def test_an_error_while_preparing_reaches_the_consumer_after_what_came_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    found: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(ahead(source()))
    assert found == [1, 2]
    assert ends()


def test_no_more_than_one_element_is_prepared_ahead() -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    for number in ahead(source()):
        time.sleep(0.02)
        assert made[-1] <= number + 1
    assert made == list(range(10))


def test_an_error_in_the_loaders_arrays_reaches_the_consumer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = WorldModelDataset(folder)
    monkeypatch.setattr("platform_assets.world_model.loader.prepare", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(iter(loader(data)))
    assert ends()
