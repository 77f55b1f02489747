"""What is in a training's batch: what is hidden can be seen nowhere, and all else is what the cache says of the baskets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from platform_assets.world_model.batch import NO_POSITION, NO_ROW, NO_TARGET, T2, WorldModelBatch
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.loader import WorldModelDataLoader
from platform_assets.world_model.tensor_layout import FIRST_PRODUCT, MASK, PAD, UNK
from platform_assets_tests.world_model import small_loader
from platform_assets_tests.world_model.small_loader import loader, own

folder, dataset = small_loader.folder, small_loader.dataset


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
                position = data.encoder.items[data.cache.tokens :][: tokens.shape[1], T2]
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
