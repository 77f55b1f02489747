"""What the network is told, what it may not be told, what it starts as, and how it is kept."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from platform_assets.world_model import auxiliary_baselines, mixture, model_files, network
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.basket_evidence import LENGTHS, BasketEvidence
from platform_assets.world_model.batch import NO_POSITION, NO_TARGET, Indices
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.fitting import fresh_network
from platform_assets.world_model.model_files import ModelError
from platform_assets.world_model.network import NetworkOptions, WorldModelNetwork
from platform_assets_tests.world_model import small_training
from platform_assets_tests.world_model.small_training import stirred

train, batch = small_training.train, small_training.batch


def logits(model: WorldModelNetwork, train: WorldModelDataset, indices: Indices, **asked: Any) -> Tensor:
    with torch.no_grad():
        return model(indices, train.encoder, **asked).logits


def untrained(train: WorldModelDataset, **options: Any) -> WorldModelNetwork:
    given = {"width": 16, "heads": 2, "layers": 1, **options}
    return fresh_network(NetworkOptions(**given), train.cache, 0).eval()


def test_an_untrained_network_is_the_mixture_in_which_it_speaks_for_what_is_popular(
    train: WorldModelDataset, batch: Indices
) -> None:
    model = untrained(train)
    with torch.no_grad():
        found = model(batch, train.encoder)
        shares, weights = model.shares(batch), model.mixture_weights(batch)  # type: ignore[misc]
    baskets = torch.from_numpy(train.cache.table("product_baskets"))[layout.FIRST_PRODUCT :].float() + 1
    popular = (baskets / baskets.sum()).expand(len(found.logits), -1)
    torch.testing.assert_close(found.network_logits.softmax(1)[:, layout.FIRST_PRODUCT :], popular)
    torch.testing.assert_close(weights, torch.tensor(mixture.START).expand_as(weights))
    left = mixture.LEFT_OVER / (train.cache.tokens - layout.FIRST_PRODUCT)
    counted = (weights[:, :-1, None] * shares).sum(1)[network.hidden(batch)[0]][:, layout.FIRST_PRODUCT :]
    torch.testing.assert_close(
        found.logits[:, layout.FIRST_PRODUCT :], (counted + mixture.START[-1] * popular + left).log()
    )
    assert torch.equal(logits(untrained(train, without_mixture=True), train, batch), found.network_logits)


def test_padding_unknown_and_mask_are_no_candidates(train: WorldModelDataset, batch: Indices) -> None:
    found = stirred(train)(batch, train.encoder)
    for each in (found.logits, found.network_logits):
        assert (each[:, : layout.FIRST_PRODUCT] == -math.inf).all()
        assert torch.isfinite(each[:, layout.FIRST_PRODUCT :]).all()


def test_predictions_come_by_basket_and_then_by_position(train: WorldModelDataset, batch: Indices) -> None:
    rows, places = network.hidden(batch)
    expected = [
        (row, place)
        for row, given in enumerate(batch.masked_positions.tolist())
        for place in given
        if place != NO_POSITION
    ]
    assert list(zip(rows.tolist(), places.tolist(), strict=True)) == expected
    assert len(logits(stirred(train), train, batch)) == len(expected) == len(network.targets(batch))


def test_what_is_hidden_is_not_asked_of_whoever_knows_it(train: WorldModelDataset, batch: Indices) -> None:
    other = torch.where(batch.masked_targets == NO_TARGET, NO_TARGET, (batch.masked_targets + 5) % 20 + 3)
    model = stirred(train)
    assert torch.equal(logits(model, train, batch), logits(model, train, batch._replace(masked_targets=other)))


def with_labels(indices: Indices) -> Indices:
    return indices._replace(labels=(indices.labels.clamp(min=0) + 1) % 3)


def test_with_heads_the_trip_is_withheld_and_with_the_trip_there_are_no_heads(
    train: WorldModelDataset, batch: Indices
) -> None:
    assert not torch.equal(batch.labels, with_labels(batch).labels)
    for options in ({}, {"auxiliary": ()}):
        model = stirred(train, **options)
        first, second = (model(each, train.encoder) for each in (batch, with_labels(batch)))
        assert torch.equal(first.logits, second.logits)
        assert all(torch.equal(first.auxiliary[task], second.auxiliary[task]) for task in first.auxiliary)
    told = stirred(train, auxiliary=(), with_trip=True)
    assert told(batch, train.encoder).auxiliary == {}
    assert not torch.equal(logits(told, train, batch), logits(told, train, with_labels(batch)))
    with pytest.raises(ValueError, match="given T6 or learns them, not both"):
        NetworkOptions(with_trip=True)


def other_customer(indices: Indices) -> Indices:
    return indices._replace(
        customer=torch.where(indices.customer == 0, 3, 0), trips=indices.trips + 9, segments=(indices.segments + 1) % 4,
        days_since_previous=indices.days_since_previous + 8, own_tokens=indices.own_tokens.flip(0),
    )  # fmt: skip


def other_time(indices: Indices) -> Indices:
    return indices._replace(day=(indices.day + 40) % 200, weekday=indices.weekday % 7 + 1, hour=(indices.hour + 3) % 24)


ABLATIONS = {
    "without_customer": other_customer,
    "without_time": other_time,
    "without_segments": lambda indices: indices._replace(segments=(indices.segments + 1) % 4),
    "without_price": lambda indices: indices._replace(week=(indices.week + 11) % 30),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_what_is_withheld_changes_nothing_and_would_change_something(
    name: str, train: WorldModelDataset, batch: Indices
) -> None:
    # Recent popularity hangs on the week, too.
    alone = {"without_mixture": name == "without_price"}
    blind, whole = stirred(train, **{name: True}, **alone), stirred(train, **alone)
    other = ABLATIONS[name](batch)
    assert torch.equal(logits(blind, train, batch), logits(blind, train, other))
    assert not torch.equal(logits(whole, train, batch), logits(whole, train, other))
    assert not torch.equal(logits(blind, train, batch), logits(whole, train, batch))


def test_a_basket_is_answered_alike_alone_and_beside_longer_ones(train: WorldModelDataset, batch: Indices) -> None:
    model, found = stirred(train), logits(stirred(train), train, batch)
    rows, _ = network.hidden(batch)
    lengths = (batch.tokens != layout.PAD).sum(1)
    for row in range(0, len(batch.tokens), 5):
        mine = batch.own_rows == row
        flat = {"own_tokens", "own_rows", "own_days"}
        alone = Indices(
            **{name: value[row : row + 1] for name, value in batch._asdict().items() if name not in flat},
            own_tokens=batch.own_tokens[mine], own_rows=batch.own_rows[mine] * 0, own_days=batch.own_days[mine],
        )  # fmt: skip
        alone = alone._replace(tokens=alone.tokens[:, : int(lengths[row])])
        torch.testing.assert_close(logits(model, train, alone), found[rows == row], rtol=1e-4, atol=1e-4)


def test_visible_items_are_left_out_of_a_ranking_and_hidden_ones_are_not(
    train: WorldModelDataset, batch: Indices
) -> None:
    found = network.exclude_visible(logits(stirred(train), train, batch), batch)
    rows, _ = network.hidden(batch)
    for line, row, target in zip(found, rows.tolist(), network.targets(batch).tolist(), strict=True):
        seen = set(batch.tokens[row][mixture.visible(batch)[row]].tolist())
        barred = {int(each) for each in torch.nonzero(line == -math.inf)} - {0, 1, 2}
        assert barred == seen
        assert target == NO_TARGET or target not in barred


def test_a_saved_network_answers_as_before(train: WorldModelDataset, batch: Indices, tmp_path: Path) -> None:
    model = stirred(train, without_price=True)
    network.save(model, tmp_path, {"cache_fingerprint": train.cache.fingerprint, "more": 1})
    again, document = network.load(tmp_path, train.cache)
    assert document["more"] == 1
    assert torch.equal(logits(again, train, batch), logits(model, train, batch))
    assert not again.training


def test_a_model_of_another_cache_is_refused_and_so_is_half_a_model(train: WorldModelDataset, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no network.json: .* name a folder that"):
        network.load(tmp_path, train.cache)
    network.save(stirred(train), tmp_path, {"cache_fingerprint": "another"})
    with pytest.raises(
        ModelError, match=r"trained on a tensor cache with fingerprint another, this one has .*name that"
    ):
        network.load(tmp_path, train.cache)
    network.save(stirred(train), tmp_path, {"cache_fingerprint": train.cache.fingerprint})
    weights = tmp_path / model_files.WEIGHTS
    whole = weights.read_bytes()
    for broken in (whole[:-10], b""):
        weights.write_bytes(broken)
        with pytest.raises(ModelError, match=r"cannot be loaded .*: copy the model again, or train it again"):
            network.load(tmp_path, train.cache)
    document = json.loads((tmp_path / model_files.NETWORK).read_text())
    (tmp_path / model_files.NETWORK).write_text(json.dumps({**document, "version": 9}))
    with pytest.raises(ModelError, match="has version 9 of a world model"):
        network.load(tmp_path, train.cache)


def test_options_that_do_not_go_together_are_named() -> None:
    with pytest.raises(ValueError, match=r"auxiliary tasks are mission_type.*, not mood"):
        NetworkOptions(auxiliary=("mood",))
    with pytest.raises(ValueError, match="width 10 is no multiple of heads 4"):
        NetworkOptions(width=10)


def test_heads_see_the_length_and_the_groups_of_what_is_visible_and_nothing_of_what_is_hidden(
    train: WorldModelDataset, batch: Indices
) -> None:
    evidence = BasketEvidence(train.cache, ())
    found, levels = evidence(batch).features, [train.cache.product_groups[f"prod_code_{n}"] for n in (40, 30)]
    for row in range(len(batch.tokens)):
        hidden = set(batch.masked_positions[row].tolist())
        tokens = [token for token in batch.tokens[row].tolist() if token != layout.PAD]
        seen = [t for place, t in enumerate(tokens) if t >= layout.FIRST_PRODUCT and place not in hidden]
        start = 0
        for groups in levels:
            for group in sorted(set(groups)):
                share = sum(groups[token - layout.FIRST_PRODUCT] == group for token in seen) / max(1, len(seen))
                assert math.isclose(float(found[row, start]), share, abs_tol=1e-6)
                start += 1
        assert found[row, start:-1].argmax() == min(len(tokens), LENGTHS) - 1
        assert math.isclose(float(found[row, -1]), math.log1p(len(tokens)), rel_tol=1e-5)
    assert found.shape[1] == evidence.width


def test_untrained_heads_say_what_the_look_up_in_the_train_baskets_says(
    train: WorldModelDataset, batch: Indices
) -> None:
    model, counted = untrained(train), auxiliary_baselines.count(train.cache)
    with torch.no_grad():
        found = model(batch, train.encoder).auxiliary
    seen = mixture.visible(batch)
    rows, places = torch.nonzero(seen, as_tuple=True)
    lengths = (batch.tokens != layout.PAD).sum(1).numpy()
    keys = auxiliary_baselines._keys(counted.departments, lengths, rows.numpy(), batch.tokens[rows, places].numpy())
    assert np.array_equal(model.evidence(batch).keys.numpy(), keys)
    for number, (task, classes) in enumerate(layout.LABELS.items()):
        counts = counted.counts[number].astype(float)
        common = counts.sum(0) + 1
        smoothed = counts[keys] + 5 * common / common.sum()
        expected = np.log(smoothed / smoothed.sum(1, keepdims=True))
        assert expected.shape[1] == len(classes)
        np.testing.assert_allclose(found[task].numpy(), expected, rtol=1e-4, atol=1e-5)
