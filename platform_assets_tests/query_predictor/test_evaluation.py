"""What is said of a split: end to end, beside baselines at the same recall, by seen and unseen template; and the baselines' ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_assets.query_predictor import query_baselines, ranking_metrics
from platform_assets.query_predictor.evaluation import evaluate
from platform_assets.query_predictor.split_features import NUMBERS, SplitFeatures, read_week
from platform_assets.query_predictor.threshold import Threshold
from platform_assets.query_predictor.zero_cost import ZeroCostCategories
from platform_assets_tests.query_predictor.small_features import write_week

HALF = Threshold(0.5, 0.0, 0.0, 0.0, 1, 1, 100.0, 1.0)
NONE_FREE = ZeroCostCategories()


@pytest.fixture(scope="module")
def test_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[SplitFeatures, ZeroCostCategories]:
    week = write_week(tmp_path_factory.mktemp("week"))
    free = ZeroCostCategories.from_json(week.zero_cost.read_text())
    return read_week(week.features).splits["test"], free


def with_numbers(split: SplitFeatures, **columns: Any) -> SplitFeatures:
    numbers = np.array(split.numbers)
    for name, values in columns.items():
        numbers[: len(values), NUMBERS.index(name)] = values
    return replace(split, numbers=numbers)


def test_the_templates_rate_ranks_first_the_users_breaks_ties_and_stands_in(test_days: Any) -> None:
    split = with_numbers(
        test_days[0], template_queries=[1, 1, 1, 0, np.nan, 1], template_heavy_rate=[0.9, 0.2, 0.2, 0.99, 0.99, np.nan],
        user_heavy_rate=[0.0, 0.4, 0.1, 0.5, 0.3, 0.0],
    )  # fmt: skip
    ranks = query_baselines.fingerprint(split)[:6]
    assert np.argsort(-ranks).tolist() == [0, 3, 4, 1, 2, 5]


def test_the_rule_routes_long_texts_and_many_joins(test_days: Any) -> None:
    split = with_numbers(test_days[0], characters=[2000, 2001, 10, 10, 4000], joins=[3, 0, 4, np.nan, np.nan])
    assert query_baselines.follows_rule(split)[:5].tolist() == [False, True, True, False, True]
    assert query_baselines.rule(split)[:5].tolist() == pytest.approx([1.0, 1.0005, 4 / 3, 0.005, 2.0])


def test_perfect_scores_need_no_more_than_the_heavy_share(test_days: Any) -> None:
    split, free = test_days
    found = evaluate(split, split.is_heavy.astype(np.float32), HALF, free)
    share, heavy = split.is_heavy.mean(), int(split.is_heavy.sum())
    assert (found.model["recall"], found.model["precision"], found.model["auc"]) == (1, 1, 1)
    assert found.model["routed_share"] == share
    # Certified with what may be missed; the tie of all heavy ones is drawn from.
    assert found.model["routed_share_at_certified_recall"] < share
    assert found.fingerprint_share is not None
    assert found.fingerprint_share > 0.5
    judged = found.judge()
    assert (judged.outcome, heavy > 149) == ("pass", True)


def test_free_rows_are_never_routed_and_their_heavy_ones_are_missed(test_days: Any) -> None:
    split, free = test_days
    hidden = replace(
        split, category=np.where(split.is_heavy & (np.arange(len(split)) % 10 == 0), "show", split.category)
    )
    scores = split.is_heavy.astype(np.float32)
    found = evaluate(hidden, scores, HALF, free, dropped_heavy=3)
    lost = int((hidden.is_heavy & (hidden.category == "show")).sum())
    assert lost > 5
    assert found.model["missed"] == found.model["missed_before_the_model"] == lost + 3
    assert found.model["heavy"] == split.is_heavy.sum() + 3
    assert found.model["auc"] == 1, "of those that reach the model"
    assert found.model["routed_share_at_certified_recall"] is None, "no threshold can catch enough"
    assert found.judge().outcome == "fail"
    assert evaluate(hidden, scores, HALF, NONE_FREE).model["missed"] == 0


def test_seen_and_unseen_templates_add_up_to_the_whole(test_days: Any) -> None:
    split, free = test_days
    scores = np.random.default_rng(0).random(len(split), np.float32)
    found = evaluate(split, scores, HALF, free)
    for name in ("rows", "heavy", "missed"):
        parts = [part["model"][name] for part in found.by_template.values()]
        assert sum(parts) == found.model[name]
    reach = split.seen_template & (split.category != "show")
    expected = ranking_metrics.auc(scores[reach], split.is_heavy[reach])
    assert found.by_template["seen"]["model"]["auc"] == pytest.approx(expected)
    assert set(found.by_template["unseen"]) == {"model", "fingerprint", "rule"}
    flat = found.metrics("test")
    assert flat["test_seen_templates_auc"] == found.by_template["seen"]["model"]["auc"]
    assert flat["test_rule_recall"] == found.baselines["rule"]["recall"]


def test_without_rows_nothing_is_defined_and_nothing_fails(tmp_path: Path) -> None:
    week = write_week(tmp_path, {"train": 50, "validation": 20, "test": 0})
    split = read_week(week.features).splits["test"]
    found = evaluate(split, np.empty(0, np.float32), HALF, NONE_FREE)
    assert found.model["auc"] is None
    assert found.judge().outcome == "inconclusive"
