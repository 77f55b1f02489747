"""Every baseline against a plain reading of the same cache, tuning on validation weeks alone, and a world where habit decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from platform_assets.world_model import auxiliary_baselines, baselines, ease, evaluation_questions
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.baselines import Weights
from platform_assets.world_model.dataset import WorldModelDataset
from platform_assets.world_model.evaluation_questions import Settings
from platform_assets.world_model.evidence import Evidence, EvidenceReader
from platform_assets.world_model.questions import Questions
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model.evaluation_world import Basket, baskets_of, items_of, plant
from platform_assets_tests.world_model.small_cache import write_small_cache

TIE = 1e-6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_cache(tmp_path_factory.mktemp("cache") / "cache", seed=3)


@pytest.fixture(scope="module")
def validation(folder: Path) -> WorldModelDataset:
    return WorldModelDataset(folder, "validation")


@pytest.fixture(scope="module")
def asked(validation: WorldModelDataset) -> list[Questions]:
    return evaluation_questions.questions(validation, Settings("validation", batch_size=16))


@pytest.fixture(scope="module")
def evidence(validation: WorldModelDataset, asked: list[Questions]) -> Evidence:
    return EvidenceReader(validation.cache, validation.arrays).read(asked[0])


@pytest.fixture(scope="module")
def world(validation: WorldModelDataset, asked: list[Questions]) -> list[Basket]:
    return baskets_of(validation.cache, validation.arrays, asked[0])


def popularity(cache: TensorCache) -> np.ndarray:
    """Shares of the train weeks' purchases, counted from the baskets."""
    train, counts = cache.split("train"), np.zeros(cache.tokens)
    for row in range(len(train)):
        for token in items_of(train, row):
            counts[token] += token >= layout.FIRST_PRODUCT
    return counts / counts.sum()


def neighbours(basket: Basket, cache: TensorCache) -> np.ndarray:
    cosine = np.asarray(cache.table("co_purchase"), np.float64)
    return sum((cosine[token] for token in sorted(basket.visible)), np.zeros(cache.tokens))


def own(basket: Basket, cache: TensorCache, half_life: float = np.inf) -> np.ndarray:
    counts = np.zeros(cache.tokens)
    for token, days in basket.bought:
        counts[token] += 0.5 ** (days / half_life)
    return counts


def last_day(basket: Basket, cache: TensorCache) -> np.ndarray:
    newest = min((days for _, days in basket.bought), default=0)
    bought = np.zeros(cache.tokens)
    bought[[token for token, days in basket.bought if days == newest]] = 1
    return bought


def mixed(basket: Basket, cache: TensorCache) -> np.ndarray:
    habit, near = own(basket, cache, 30.0), neighbours(basket, cache)
    known = near / near.sum() if near.sum() else near
    return habit / (habit.sum() + 20) + 2.0 * known + 0.5 * popularity(cache)


RANKERS: dict[str, tuple[Callable[[Evidence], np.ndarray], Callable[[Basket, TensorCache], np.ndarray]]] = {
    "popularity": (baselines.popularity, lambda basket, cache: popularity(cache)),
    "own_frequency": (baselines.own_frequency, lambda basket, cache: own(basket, cache) + TIE * popularity(cache)),
    "item_neighbours": (
        baselines.item_neighbours, lambda basket, cache: neighbours(basket, cache) + TIE * popularity(cache),
    ),
    "previous_basket": (baselines.previous_basket, lambda basket, cache: last_day(basket, cache) + TIE * popularity(cache)),
    "mixture": (lambda evidence: baselines.mixture(evidence, Weights(30.0, 20.0, 2.0, 0.5)), mixed),
}  # fmt: skip


@pytest.mark.parametrize("name", RANKERS)
def test_a_baseline_scores_as_a_plain_reading_of_the_cache_does(
    name: str, evidence: Evidence, world: list[Basket], validation: WorldModelDataset
) -> None:
    fast, slow = RANKERS[name]
    assert any(basket.bought for basket in world)
    assert any(not basket.bought for basket in world)
    expected = np.array([slow(basket, validation.cache) for basket in world])
    np.testing.assert_allclose(fast(evidence), expected, rtol=1e-4, atol=1e-7)


def test_the_counts_behind_ease_are_those_of_the_train_baskets(validation: WorldModelDataset) -> None:
    cache = validation.cache
    np.testing.assert_array_equal(ease.gram(cache), train_matrix(cache).T @ train_matrix(cache))


def test_ease_is_the_constrained_least_squares_solution(validation: WorldModelDataset) -> None:
    cache, strength = validation.cache, 50.0
    bought = train_matrix(cache)
    found = ease.weights(ease.gram(cache), strength)[layout.FIRST_PRODUCT :, layout.FIRST_PRODUCT :]
    assert not np.diag(found).any()
    for column in (0, 7, 31):
        others = np.delete(np.arange(bought.shape[1]), column)
        penalised = bought[:, others].T @ bought[:, others] + strength * np.eye(len(others))
        expected = np.linalg.solve(penalised, bought[:, others].T @ bought[:, column])
        np.testing.assert_allclose(found[others, column], expected, rtol=1e-3, atol=1e-6)


def train_matrix(cache: TensorCache) -> np.ndarray:
    train = cache.split("train")
    bought = np.zeros((len(train), cache.tokens))
    for row in range(len(train)):
        bought[row, items_of(train, row)] = 1
    return bought[:, layout.FIRST_PRODUCT :]


def test_ease_is_left_out_with_a_word_where_there_are_too_many_products(
    validation: WorldModelDataset, asked: list[Questions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "MOST_PRODUCTS", 10)
    said: list[str] = []
    tuned = baselines.tune(validation.cache, validation.arrays, asked[:1], said.append)
    assert tuned.ease_weights is None
    assert any("EASE is left out" in line for line in said)
    assert baselines.EASE not in dict(tuned.scores(EvidenceReader(validation.cache, validation.arrays).read(asked[0])))


def test_the_grid_is_counted_as_each_mixture_alone_would_be(evidence: Evidence, asked: list[Questions]) -> None:
    together = baselines._grid_hits(evidence, asked[0])
    alone = [baselines._hits(baselines.mixture(evidence, weights), asked[0]) for weights in baselines.GRID]
    assert together.tolist() == alone
    assert len(set(alone)) > 1


def test_the_tuned_mixture_is_the_best_of_the_grid_and_ease_of_its_strengths(
    validation: WorldModelDataset, asked: list[Questions]
) -> None:
    found = baselines.tune(validation.cache, validation.arrays, asked)
    reader = EvidenceReader(validation.cache, validation.arrays)
    hits = sum(baselines._grid_hits(reader.read(each), each) for each in asked)
    assert isinstance(hits, np.ndarray)
    assert found.weights == baselines.GRID[int(hits.argmax())]
    assert found.tuned["baskets"] == sum(map(len, asked))
    assert found.tuned["ease"]["strength"] in ease.STRENGTHS


def test_tuning_reads_validation_weeks_only(tmp_path: Path) -> None:
    kept = tuned_on(write_small_cache(tmp_path / "kept", seed=3))
    changed = write_small_cache(tmp_path / "changed", seed=3)
    test = TensorCache(changed).split("test")
    others = layout.FIRST_PRODUCT + (test.items.astype(np.int64) * 7) % 50
    plant(test, "items", others, changed)
    plant(test, "customer", np.zeros(len(test)), changed)
    again = tuned_on(changed)
    assert (again.weights, again.tuned) == (kept.weights, kept.tuned)


def tuned_on(folder: Path) -> baselines.Baselines:
    dataset = WorldModelDataset(folder, "validation")
    return baselines.tune(
        dataset.cache, dataset.arrays, evaluation_questions.questions(dataset, Settings("validation"))
    )


def test_nothing_to_tune_on_is_an_error_that_names_the_remedy(validation: WorldModelDataset) -> None:
    with pytest.raises(baselines.TuningError, match="more weeks"):
        baselines.tune(validation.cache, validation.arrays, [])


def test_where_habit_decides_own_frequency_is_always_right(tmp_path: Path) -> None:
    folder = write_small_cache(tmp_path / "cache", seed=4)
    cache = TensorCache(folder)
    test, offsets = cache.split("test"), cache.table("customer_offsets")
    # Whoever came before has only ever bought what is hidden now.
    purchases = np.array(cache.table("purchases"))
    items = np.array(test.items)
    for row in range(len(test)):
        customer = int(test.customer[row])
        favourite = layout.FIRST_PRODUCT + customer
        purchases[offsets[customer] : offsets[customer + 1]] = favourite
        items[test.offsets[row] : test.offsets[row + 1]] = favourite
    np.save(folder / layout.table_file("purchases"), purchases)
    plant(test, "items", items, folder)
    dataset = WorldModelDataset(folder, "test")
    reader, known = EvidenceReader(dataset.cache, dataset.arrays), 0
    for asked in evaluation_questions.questions(dataset, Settings()):
        came_before = dataset.arrays.prior_purchases[asked.rows] > 0
        # The hidden product is not visible: all items of a basket are the same one.
        alone = Questions(asked.rows, asked.targets, asked.visible_rows[:0], asked.visible_tokens[:0])
        scores = baselines.own_frequency(reader.read(alone))
        assert (scores.argmax(1) == asked.targets)[came_before].all()
        known += int(came_before.sum())
    assert known > 20


def test_the_look_up_says_the_most_frequent_class_of_train_baskets_that_are_alike(
    validation: WorldModelDataset, asked: list[Questions]
) -> None:
    cache, questions = validation.cache, asked[0]
    counted, train = auxiliary_baselines.count(cache), cache.split("train")
    seen: dict[object, list[Counter[int]]] = {}
    whole = [Counter[int]() for _ in layout.LABELS]
    for row in range(len(train)):
        items = items_of(train, row)
        if len(items) < 2:
            continue
        of_key = seen.setdefault(key(cache, len(items), items[:-1]), [Counter() for _ in layout.LABELS])
        for task, label in enumerate(train.labels[row].tolist()):
            if label:
                of_key[task][label - 1] += 1
                whole[task][label - 1] += 1
    lengths = validation.arrays.lengths[questions.rows]
    found = counted.predict(questions, lengths)
    for place, basket in enumerate(baskets_of(cache, validation.arrays, questions)):
        alike = seen.get(key(cache, int(lengths[place]), basket.visible), [Counter()] * 4)
        for task in range(len(layout.LABELS)):
            assert found[place, task] == most(alike[task] or whole[task])
    assert counted.majority.tolist() == [most(each) for each in whole]


def key(cache: TensorCache, length: int, visible: object) -> tuple[int, str, int]:
    groups = cache.product_groups["prod_code_40"]
    departments = Counter(groups[token - layout.FIRST_PRODUCT] for token in visible if token >= layout.FIRST_PRODUCT)  # type: ignore[attr-defined]
    bucket = max(edge for edge in auxiliary_baselines.LENGTHS if edge <= length)
    if not departments:
        return bucket, "", 0
    name, count = min(departments.items(), key=lambda each: (-each[1], each[0]))
    share = count / departments.total()
    return bucket, name, sum(share >= edge for edge in auxiliary_baselines.SHARES)


def most(counts: Counter[int]) -> int:
    return min(counts, key=lambda value: (-counts[value], value))
