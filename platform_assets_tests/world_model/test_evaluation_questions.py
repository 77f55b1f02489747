"""What an evaluation asks: a product that the basket holds and does not show, by seed and basket alone, or a whole basket."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from platform_assets.world_model import evaluation_questions
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.evaluation_questions import Settings
from platform_assets.world_model.loader import EvaluationDataLoader
from platform_assets.world_model.questions import QuestionError, drawn, of_batch, of_next_baskets
from platform_assets_tests.world_model.evaluation_world import baskets_of, items_of, write_cache


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> WorldModelDataset:
    return WorldModelDataset(write_cache(tmp_path_factory.mktemp("cache") / "cache"), "test")


def test_what_is_hidden_is_a_product_of_the_basket_and_the_rest_is_what_is_visible(dataset: WorldModelDataset) -> None:
    for asked in evaluation_questions.questions(dataset, Settings()):
        for row, basket in zip(asked.rows, baskets_of(dataset.cache, dataset.arrays, asked), strict=True):
            products = {token for token in items_of(dataset.arrays, row)[:50] if token >= layout.FIRST_PRODUCT}
            assert basket.target in products
            assert basket.visible == products - {basket.target}


def test_another_seed_hides_something_else(dataset: WorldModelDataset) -> None:
    first, again, other = (
        {row: target for asked in evaluation_questions.questions(dataset, Settings(seed=seed, batch_size=size))
         for row, target in zip(asked.rows.tolist(), asked.targets.tolist(), strict=True)}
        for seed, size in ((0, 64), (0, 5), (1, 64))
    )  # fmt: skip
    assert first == again
    assert first.keys() == other.keys()
    assert first != other


def test_the_next_basket_shows_a_single_mask(dataset: WorldModelDataset) -> None:
    for _, batch in EvaluationDataLoader(dataset, 16, None, next_basket=True):
        assert (batch.indices.tokens == layout.MASK).all()
        assert batch.indices.tokens.shape[1] == 1
        assert not batch.trip_context.any()
        asked, answers = of_next_baskets(batch)
        assert not len(asked.visible_tokens)
        assert len(answers.tokens)


def test_grouped_evaluation_without_masks_cannot_pass_for_a_result(dataset: WorldModelDataset) -> None:
    for _, batch in EvaluationDataLoader(dataset, 16, "week", apply_masking=False):
        assert len(of_batch(batch)) == 0


def test_more_than_one_hidden_product_is_refused(dataset: WorldModelDataset) -> None:
    (_, batch), *_ = list(EvaluationDataLoader(dataset, 4, None))
    targets = torch.full((len(batch), 2), layout.FIRST_PRODUCT)
    twice = replace(batch, indices=batch.indices._replace(masked_targets=targets))
    with pytest.raises(QuestionError, match="more than one"):
        of_batch(twice)


def test_an_unknown_product_is_never_asked_for(dataset: WorldModelDataset) -> None:
    (_, batch), *_ = list(EvaluationDataLoader(dataset, 4, None))
    unknown = torch.full_like(batch.masked_targets, layout.UNK)
    with pytest.raises(QuestionError, match="no product"):
        of_batch(replace(batch, indices=batch.indices._replace(masked_targets=unknown)))


def test_a_sample_depends_on_ids_and_seed_and_a_larger_one_holds_a_smaller() -> None:
    ids = np.random.default_rng(1).permutation(np.arange(10_000, 11_000))
    order = np.random.default_rng(2).permutation(len(ids))
    chosen = drawn(ids, 100, seed=0)
    assert chosen.sum() == 100
    assert set(ids[order][drawn(ids[order], 100, seed=0)]) == set(ids[chosen])
    assert set(ids[chosen]) <= set(ids[drawn(ids, 300, seed=0)])
    assert set(ids[chosen]) != set(ids[drawn(ids, 100, seed=1)])
    assert drawn(ids, 0, seed=0).all()
