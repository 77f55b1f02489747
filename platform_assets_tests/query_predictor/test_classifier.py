"""The trees: the same on any number of threads, around the natural mix, stopped early, weighed only where asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_assets.query_predictor import classifier, split_features
from platform_assets.query_predictor.classifier import Growth
from platform_assets.query_predictor.cross_validation import cross_validate, metrics
from platform_assets.query_predictor.split_features import SplitFeatures, read_week
from platform_assets.training.errors import TrainingError
from platform_assets_tests.query_predictor.small_features import NUMBERS, write_week

GROWTH = Growth(25, 0.3, 4, 1.0, 0.9, 0.8, 1.0, False, 0, 1)
Splits = dict[str, SplitFeatures]


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    return read_week(write_week(tmp_path_factory.mktemp("week")).features).splits


def fit(splits: Splits, growth: Growth = GROWTH, patience: int = 0, **changes: Any) -> classifier.Fitted:
    train = splits["train"]
    return classifier.fit(train, train.all_rows, growth, splits["validation"], patience, **changes)


def test_threads_and_chunks_change_no_bit(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = fit(splits).booster.save_raw("ubj")
    assert fit(splits, replace(GROWTH, threads=2)).booster.save_raw("ubj") == alone
    assert fit(splits, replace(GROWTH, seed=1)).booster.save_raw("ubj") != alone


def test_probabilities_are_around_the_natural_mix_and_not_the_samples(splits: Splits) -> None:
    train, validation = splits["train"], splits["validation"]
    fitted = fit(splits)
    natural = np.average(train.is_heavy, weights=train.weight)
    assert fitted.natural_share == pytest.approx(natural)
    assert train.is_heavy.mean() > 1.8 * natural, "the sample is another mix"
    scores = classifier.predict(fitted.booster, validation)
    assert scores.mean() == pytest.approx(validation.is_heavy.mean(), abs=0.04)
    # What a round says of the validation rows is what its trees say of them.
    odds = classifier.log_odds(fitted.booster, validation)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-odds)), atol=1e-6)
    loss = -np.log(np.where(validation.is_heavy, scores, 1 - scores)).mean()
    assert fitted.rounds[-1]["val_loss"] == pytest.approx(loss, rel=1e-4)


def test_it_stops_early_and_keeps_the_best_round(splits: Splits) -> None:
    heard: list[tuple[int, dict[str, float]]] = []
    growth = replace(GROWTH, n_estimators=200, learning_rate=0.9, max_depth=6)
    fitted = fit(splits, growth, patience=4, on_round=lambda *each: heard.append(each))
    losses = [each["val_loss"] for each in fitted.rounds]
    assert len(losses) == fitted.best_round + 1 + 4 < 200
    assert losses[fitted.best_round] == min(losses)
    assert fitted.booster.num_boosted_rounds() == fitted.best_round + 1
    assert heard == list(enumerate(fitted.rounds))
    assert fit(splits, replace(growth, n_estimators=10)).booster.num_boosted_rounds() == 10


def test_weights_enter_the_loss_only_where_asked(splits: Splits) -> None:
    train = splits["train"]
    other = {**splits, "train": replace(train, weight=np.where(train.is_heavy, 1.0, 9.0))}
    plain, weighed = (fit(splits, replace(GROWTH, weight_loss=each)) for each in (False, True))
    splits_of = [each.booster.trees_to_dataframe()["Split"].to_numpy() for each in (plain, fit(other), weighed)]
    np.testing.assert_array_equal(splits_of[0], splits_of[1])
    assert plain.natural_share != fit(other).natural_share
    assert len(splits_of[0]) != len(splits_of[2]) or (splits_of[0] != splits_of[2])[~np.isnan(splits_of[0])].any()


def test_missing_numbers_and_absent_terms_are_two_things(splits: Splits) -> None:
    train = splits["train"]
    rows = train.dense(train.all_rows[:200])
    rows[:, NUMBERS.index("where_ranges")] = 0
    fitted = fit(splits)
    zero = fitted.booster.inplace_predict(rows)
    rows[:, NUMBERS.index("where_ranges")] = np.nan
    assert (zero != fitted.booster.inplace_predict(rows)).any()


def test_gains_name_what_decides(splits: Splits) -> None:
    gains = classifier.importance(fit(splits).booster, splits["train"].columns)
    assert gains.sum() == pytest.approx(1)
    assert int(gains.argmax()) == NUMBERS.index("where_ranges")


def test_one_class_and_too_little_memory_are_refused_with_a_remedy(splits: Splits) -> None:
    train = splits["train"]
    with pytest.raises(TrainingError, match=r"rows hold no heavy query: name the features of a week with both"):
        classifier.fit(train, np.flatnonzero(~train.is_heavy), GROWTH)
    with pytest.raises(TrainingError, match=r"take about 41\.\d GiB, and --memory_gb is 4: raise it .* or lower tfidf"):
        classifier.require_memory(10_000_000, 1095, 4)
    classifier.require_memory(100_000, 1095, 4)


def test_cross_validation_weighs_rows_and_says_which_fold_lacks_a_class(splits: Splits) -> None:
    train, said = splits["train"], list[str]()
    folds = cross_validate(train, GROWTH, 10, 3, said.append)
    assert [fold.kind for fold in folds] == ["grouped"] * 3 + ["time"]
    assert sum(fold.rows for fold in folds[:3]) == len(train)
    found = metrics(folds)
    assert found["cv_grouped_auc"] > 0.8
    assert found["cv_time_auc"] > 0.8
    light = replace(train, weight=np.where(train.is_heavy, 1.0, 40.0))
    assert (
        metrics(cross_validate(light, GROWTH, 10, 3, said.append))["cv_grouped_log_loss"]
        < found["cv_grouped_log_loss"] / 2
    )
    one = replace(train, template=np.where(train.is_heavy, "heavy", train.template))
    assert [bool(fold.numbers) for fold in cross_validate(one, GROWTH, 2, 3, said.append)] == [False] * 3 + [True]
    assert said[-1] == "cross-validation: 1 folds, 3 without a class"
    assert cross_validate(train, GROWTH, 10, 0, said.append) == []


def test_a_split_is_binned_chunk_by_chunk(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantiles of few rows are exact whatever the chunks."""
    whole = classifier.predict(fit(splits).booster, splits["test"])
    dense: list[int] = []
    original = split_features.SplitFeatures.dense
    monkeypatch.setattr(classifier, "CHUNK", 100)
    monkeypatch.setattr(
        split_features.SplitFeatures, "dense", lambda self, rows: dense.append(len(rows)) or original(self, rows)
    )
    fitted = fit(splits)
    assert max(dense) == 100
    chunked = classifier.predict(fitted.booster, splits["test"])
    assert np.abs(chunked - whole).mean() < 0.02


def test_the_natural_share_survives_the_model_file(splits: Splits, tmp_path: Path) -> None:
    import xgboost

    fitted = fit(splits)
    (tmp_path / "model.ubj").write_bytes(fitted.booster.save_raw("ubj"))
    again = xgboost.Booster(model_file=str(tmp_path / "model.ubj"))
    expected = classifier.predict(fitted.booster, splits["test"])
    np.testing.assert_array_equal(classifier.predict(again, splits["test"]), expected)
