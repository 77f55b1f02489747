"""While a basket is trained on, the look-up of the auxiliary heads is that of all other baskets."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from platform_assets.world_model import network
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.basket_evidence import BasketEvidence
from platform_assets.world_model.batch import NO_TARGET, Indices
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.fitting import fresh_network
from platform_assets.world_model.network import NetworkOptions, WorldModelNetwork
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model import small_training

train, batch = small_training.train, small_training.batch


def untrained(train: WorldModelDataset) -> WorldModelNetwork:
    return fresh_network(NetworkOptions(width=16, heads=2, layers=1), train.cache, 0).eval()


def without_label(cache: TensorCache, row: int, folder: Path) -> TensorCache:
    """The cache, of one of whose train baskets nothing is known."""
    shutil.copytree(cache.folder, folder)
    path = folder / layout.split_file("train", "labels")
    labels = np.load(path)
    labels[row] = 0
    np.save(path, labels)
    return TensorCache(folder)


def test_while_it_is_trained_on_a_basket_finds_itself_in_no_look_up(
    train: WorldModelDataset, batch: Indices, tmp_path: Path
) -> None:
    evidence = untrained(train).evidence
    keys, rows = evidence(batch).keys, batch.rows.tolist()
    same = evidence.counted_under[batch.rows] == keys
    assert 0 < int(same.sum()) < len(rows), "another item may be hidden than the one that was left out for the count"
    for number, row in enumerate(rows):
        other = BasketEvidence(train.cache, tuple(layout.LABELS))
        other.count(without_label(train.cache, row, tmp_path / str(row)))
        for task in layout.LABELS:
            ours = evidence.look_up(task, keys, left_out=batch)[number]
            torch.testing.assert_close(ours, other.look_up(task, keys)[number])
    whole, ours = (
        torch.cat([evidence.look_up(task, keys, each) for task in layout.LABELS], 1) for each in (None, batch)
    )
    assert (whole - ours).abs().max() > 0.05, "with so few baskets each of them is felt"


def test_a_train_basket_of_any_class_finds_the_same_in_its_look_up(
    train: WorldModelDataset, batch: Indices, tmp_path: Path
) -> None:
    """Its label is changed in the cache that is counted and in the batch alike, as it is when a basket has another label."""
    first = untrained(train).evidence
    shutil.copytree(train.cache.folder, tmp_path / "cache")
    path = tmp_path / "cache" / layout.split_file("train", "labels")
    labels, row = np.load(path), int(batch.rows[3])
    labels[row] = (labels[row] + 1) % 3
    np.save(path, labels)
    second = BasketEvidence(train.cache, tuple(layout.LABELS))
    second.count(TensorCache(tmp_path / "cache"))
    changed = batch.labels.clone()
    changed[3] = torch.from_numpy(labels[row].astype(np.int64)) - 1
    changed[changed < 0] = NO_TARGET
    keys = first(batch).keys
    for task in layout.LABELS:
        ours, other = (
            each.look_up(task, keys, left_out=given)[3]
            for each, given in ((first, batch), (second, batch._replace(labels=changed)))
        )
        assert torch.equal(ours, other)


def test_a_batch_that_is_trained_on_is_answered_without_itself_and_one_that_is_judged_with_all(
    train: WorldModelDataset, batch: Indices
) -> None:
    model = untrained(train)
    keys = model.evidence(batch).keys
    with torch.no_grad():
        trained, judged = (model(batch, train.encoder, leave_one_out=each).auxiliary for each in (True, False))
    for task in layout.LABELS:
        assert torch.equal(trained[task], model.evidence.look_up(task, keys, left_out=batch))
        assert torch.equal(judged[task], model.evidence.look_up(task, keys))


def test_a_loaded_network_leaves_nothing_out_before_it_has_counted(
    train: WorldModelDataset, batch: Indices, tmp_path: Path
) -> None:
    model = untrained(train)
    network.save(model, tmp_path, {"cache_fingerprint": train.cache.fingerprint})
    assert not any("count" in name or "common" in name for name in model.state_dict())
    again, _ = network.load(tmp_path, train.cache)
    with pytest.raises(ValueError, match=r"no counts to leave a basket out of: count\(cache\) first"):
        again(batch, train.encoder, leave_one_out=True)
