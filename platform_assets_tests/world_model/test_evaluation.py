"""The evaluation: what is asked is fixed and asked of all alike, no number depends on batches or groups, and nothing leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from platform_assets.world_model import auxiliary_baselines, baselines, evaluation, evaluation_questions
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.auxiliary_baselines import AuxiliaryBaselines
from platform_assets.world_model.baselines import Baselines
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.evaluation import Evaluated, EvaluationError
from platform_assets.world_model.evaluation_questions import Settings
from platform_assets.world_model.groups import Groups
from platform_assets.world_model.loader import EvaluationDataLoader
from platform_assets.world_model.network import WorldModelNetwork
from platform_assets.world_model.questions import of_batch
from platform_assets_tests.world_model.evaluation_world import baskets_of, items_of, plant, write_cache, write_model
from platform_assets_tests.world_model.small_cache import write_small_cache

HISTORY = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache") / "cache")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> WorldModelDataset:
    return WorldModelDataset(folder, "test")


@pytest.fixture(scope="module")
def network(dataset: WorldModelDataset, tmp_path_factory: pytest.TempPathFactory) -> WorldModelNetwork:
    return write_model(tmp_path_factory.mktemp("model") / "model", dataset.cache)


@pytest.fixture(scope="module")
def tuned(folder: Path) -> Baselines:
    validation = WorldModelDataset(folder, "validation")
    return baselines.tune(
        validation.cache, validation.arrays, evaluation_questions.questions(validation, Settings("validation"))
    )


@pytest.fixture(scope="module")
def counted(dataset: WorldModelDataset) -> AuxiliaryBaselines:
    return auxiliary_baselines.count(dataset.cache)


@pytest.fixture(scope="module")
def found(
    network: WorldModelNetwork, dataset: WorldModelDataset, tuned: Baselines, counted: AuxiliaryBaselines
) -> Evaluated:
    return evaluation.evaluate(network, HISTORY, dataset, tuned, counted, Settings())


def same(one: Evaluated, other: Evaluated) -> None:
    assert one.rows.tolist() == other.rows.tolist()
    assert one.excluded == other.excluded
    for name in one.ranks:
        assert one.ranks[name].tolist() == other.ranks[name].tolist(), name
    for name in one.next_found:
        assert one.next_found[name].tolist() == other.next_found[name].tolist(), name
    for task, classes in one.classes.items():
        assert all(classes[who].tolist() == other.classes[task][who].tolist() for who in classes)


@pytest.mark.parametrize(
    "changed", [{"group_by": "date"}, {"group_by": "hour"}, {"group_by": "week"}, {"batch_size": 7}]
)
def test_neither_groups_nor_batches_change_a_number(
    changed: dict[str, object], found: Evaluated, network: WorldModelNetwork, dataset: WorldModelDataset, tuned: Baselines,
    counted: AuxiliaryBaselines,
) -> None:  # fmt: skip
    settings = replace(Settings(), **changed)  # type: ignore[arg-type]
    same(evaluation.evaluate(network, HISTORY, dataset, tuned, counted, settings), found)


def test_every_basket_is_asked_once_or_is_counted_among_the_excluded(
    found: Evaluated, dataset: WorldModelDataset
) -> None:
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert len(found.rows) + sum(found.excluded.values()) == len(dataset)
    assert found.excluded["only unknown products"] > 3
    assert found.excluded["one item"] == int((dataset.arrays.lengths == 1).sum()) > 0
    assert set(found.ranks) == {
        "model", "network", "popularity", "own_frequency", "item_neighbours", "untuned_mixture", "mixture", "ease",
    }  # fmt: skip
    assert set(found.next_found) == {"model", "popularity", "own_frequency", "previous_basket", "mixture"}


def test_the_models_rank_is_the_place_of_the_hidden_product_in_its_sorted_logits(
    found: Evaluated, network: WorldModelNetwork, dataset: WorldModelDataset
) -> None:
    ranks = dict(zip(found.rows.tolist(), found.ranks["model"].tolist(), strict=True))
    (_, batch), *_ = list(EvaluationDataLoader(dataset, 8, None, purchase_history=HISTORY))
    asked = of_batch(batch)
    with torch.inference_mode():
        logits = network(batch, dataset.encoder).logits.tolist()
    for row, scores, basket in zip(asked.rows, logits, baskets_of(dataset.cache, dataset.arrays, asked), strict=True):
        candidates = [t for t in range(layout.FIRST_PRODUCT, dataset.cache.tokens) if t not in basket.visible]
        candidates.sort(key=lambda token: (-scores[token], token))
        assert ranks[int(row)] == 1 + candidates.index(basket.target)


def test_the_next_basket_is_held_against_all_its_known_products(found: Evaluated, dataset: WorldModelDataset) -> None:
    counts = np.asarray(dataset.cache.table("product_baskets"))
    first = sorted(range(layout.FIRST_PRODUCT, len(counts)), key=lambda token: (-counts[token], token))[:10]
    for place, row in enumerate(found.rows):
        products = {token for token in items_of(dataset.arrays, row) if token >= layout.FIRST_PRODUCT}
        assert found.next_size[place] == len(products)
        assert found.next_found["popularity"][place] == len(products & set(first))


def test_a_split_in_which_nothing_can_be_asked_is_an_error(
    tmp_path: Path, tuned: Baselines, counted: AuxiliaryBaselines
) -> None:
    folder = write_small_cache(tmp_path / "cache", seed=5)
    whole = WorldModelDataset(folder, "test")
    plant(whole.arrays, "items", np.full(len(whole.arrays.items), layout.UNK), folder)
    unknown = WorldModelDataset(folder, "test")
    network = write_model(tmp_path / "model", unknown.cache)
    with pytest.raises(EvaluationError, match="nothing to rank"):
        evaluation.evaluate(network, HISTORY, unknown, tuned, counted, Settings())


def test_a_model_that_wants_to_be_told_the_trip_is_refused(
    tmp_path: Path, dataset: WorldModelDataset, tuned: Baselines, counted: AuxiliaryBaselines
) -> None:
    told = write_model(tmp_path / "model", dataset.cache, with_trip=True, auxiliary=())
    with pytest.raises(EvaluationError, match="with_trip"):
        evaluation.evaluate(told, HISTORY, dataset, tuned, counted, Settings())


def test_labels_change_no_rank_for_they_are_not_shown(
    tmp_path: Path, found: Evaluated, network: WorldModelNetwork, tuned: Baselines, counted: AuxiliaryBaselines
) -> None:
    folder = write_cache(tmp_path / "cache")
    arrays = WorldModelDataset(folder, "test").arrays
    plant(arrays, "labels", np.ones_like(arrays.labels), folder)
    changed = evaluation.evaluate(network, HISTORY, WorldModelDataset(folder, "test"), tuned, counted, Settings())
    assert changed.ranks["model"].tolist() == found.ranks["model"].tolist()
    assert changed.next_found["model"].tolist() == found.next_found["model"].tolist()
    assert (changed.labels["basket_size"] == 0).all()


def test_a_sample_asks_the_same_of_fewer_baskets(
    found: Evaluated, network: WorldModelNetwork, dataset: WorldModelDataset, tuned: Baselines, counted: AuxiliaryBaselines
) -> None:  # fmt: skip
    few = evaluation.evaluate(network, HISTORY, dataset, tuned, counted, Settings(sample=20))
    assert len(few.rows) + few.excluded["only unknown products"] == 20
    places = np.searchsorted(found.rows, few.rows)
    assert found.rows[places].tolist() == few.rows.tolist()
    assert found.ranks["model"][places].tolist() == few.ranks["model"].tolist()
    assert len(few.rows) + sum(few.excluded.values()) == len(dataset)


def test_baskets_that_get_lost_on_the_way_do_not_pass_for_excluded_ones(
    found: Evaluated, network: WorldModelNetwork, dataset: WorldModelDataset, tuned: Baselines, counted: AuxiliaryBaselines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    usual = Groups._members
    monkeypatch.setattr(Groups, "_members", lambda *given: (rows[3:] for rows in usual(*given)))
    fewer = evaluation.evaluate(network, HISTORY, dataset, tuned, counted, Settings())
    assert fewer.excluded == found.excluded
    assert len(fewer.rows) + sum(fewer.excluded.values()) < len(dataset)
