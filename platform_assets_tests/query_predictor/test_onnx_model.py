"""ONNX says what the trees say, next to splits as well, and a conversion that is wrong is found out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from platform_assets.query_predictor import classifier, onnx_model, threshold
from platform_assets.query_predictor.onnx_model import Agreement, OnnxModel, convert, next_to_splits, validate
from platform_assets.query_predictor.split_features import SplitFeatures, read_week
from platform_assets_tests.query_predictor.small_features import write_week
from platform_assets_tests.query_predictor.test_classifier import GROWTH


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[xgboost.Booster, SplitFeatures, bytes]:
    splits = read_week(write_week(tmp_path_factory.mktemp("week")).features).splits
    fitted = classifier.fit(splits["train"], splits["train"].all_rows, GROWTH)
    return fitted.booster, splits["test"], convert(fitted.booster, splits["test"].columns)


def test_scores_are_within_a_hundred_thousandth_and_no_label_flips(trained: Any) -> None:
    booster, test, content = trained
    model = OnnxModel(content)
    rows = test.dense(test.all_rows)
    frozen = threshold.choose(model.scores(rows), test.is_heavy, 100, 1)
    found = validate(booster, model, [rows[:1000], rows[1000:]], frozen.value, rows)
    assert found.is_close
    assert found.all_rows.rows == 2500
    assert (found.all_rows.flips, found.next_to_splits.flips, found.next_to_threshold.flips) == (0, 0, 0)
    assert found.all_rows.largest_difference <= found.next_to_splits.largest_difference + 1e-6 <= 1e-5
    assert found.next_to_splits.rows > 3 * GROWTH.n_estimators
    assert found.metrics()["onnx_rows"] == 2500


def test_small_scores_keep_their_digits_and_the_file_has_a_probability_too(trained: Any) -> None:
    """A threshold lies among them: ONNX Runtime's own probabilities have steps of 6e-8, a thousandth of such a score."""
    import onnxruntime

    booster, test, _ = trained
    document = json.loads(booster.save_raw("json"))
    document["learner"]["learner_model_param"]["base_score"] = "[1e-4]"
    rare = xgboost.Booster()
    rare.load_model(bytearray(json.dumps(document).encode()))
    rows, content = test.dense(test.all_rows), convert(rare, test.columns)
    scores, trees = OnnxModel(content).scores(rows), rare.inplace_predict(rows)
    assert scores.min() < 1e-4
    assert (np.abs(scores.astype(np.float64) - trees) / trees).max() < threshold.SAME / 2
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    [probability] = session.run(["probability"], {"features": rows})
    np.testing.assert_allclose(np.asarray(probability)[:, 0], scores, atol=1e-6)


def test_rows_next_to_splits_reach_each_split_from_both_sides(trained: Any) -> None:
    booster, test, _ = trained
    probe = test.dense(test.all_rows)
    tree = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"][0]
    first = next(next_to_splits(booster, probe))
    inner = sum(child != -1 for child in tree["left_children"])
    assert len(first) == 3 * inner, "every split has a row that reaches it"
    below, on, above = (booster.predict(xgboost.DMatrix(first[place::3]), pred_leaf=True)[:, 0] for place in range(3))
    assert (on == above).all(), "on the split goes right, as above"
    assert (below != on).all()


def test_a_split_that_moved_by_the_last_bit_is_found(trained: Any) -> None:
    booster, test, _ = trained
    document = json.loads(booster.save_raw("json"))
    root = document["learner"]["gradient_booster"]["model"]["trees"][0]["split_conditions"]
    root[0] = float(np.nextafter(np.float32(root[0]), np.float32(np.inf)))
    moved = xgboost.Booster()
    moved.load_model(bytearray(json.dumps(document).encode()))
    rows = test.dense(test.all_rows)
    found = validate(moved, OnnxModel(convert(booster, test.columns)), [rows], 0.5, rows)
    assert found.all_rows.is_close, "no real row lies there"
    assert not found.next_to_splits.is_close
    assert not found.is_close


def test_trees_of_sparse_rows_are_what_it_guards_against(trained: Any) -> None:
    """Absent terms as missing values: XGBoost and ONNX then speak of different rows, without any error."""
    booster, test, content = trained
    rows = test.dense(test.all_rows)
    sparse = rows.copy()
    sparse[sparse == 0] = np.nan
    found = Agreement.between(OnnxModel(content).scores(rows), booster.inplace_predict(sparse), 0.1)
    assert not found.is_close


def test_a_row_is_scored_alike_alone_and_in_any_company(trained: Any) -> None:
    _, test, content = trained
    rows, model = test.dense(test.all_rows), OnnxModel(content)
    together = model.scores(rows)
    for size in (1, 7, 50, 51, 130):
        parts = [model.scores(rows[start : start + size]) for start in range(0, 390, size)]
        np.testing.assert_array_equal(np.concatenate(parts)[:390], together[:390])
    assert together.dtype == np.float32
    assert model.scores(rows[:0]).shape == (0,)


def test_the_same_trees_are_the_same_bytes_and_other_bytes_are_refused(trained: Any, tmp_path: Path) -> None:
    booster, test, content = trained
    assert convert(booster, test.columns) == content
    (tmp_path / "model.onnx").write_bytes(content)
    assert OnnxModel(tmp_path / "model.onnx").columns == test.columns
    (tmp_path / "model.onnx").write_bytes(content[:100])
    for wrong in (tmp_path / "model.onnx", tmp_path / "nothing.onnx", b""):
        with pytest.raises(ValueError, match="take it from the model's folder"):
            OnnxModel(wrong)


def test_an_agreement_counts_what_only_one_side_routes() -> None:
    onnx, trees = np.array([0.1, 0.5, 0.9], np.float32), np.array([0.1, 0.49, 0.9], np.float32)
    found = Agreement.between(onnx, trees, 0.5)
    assert (found.rows, found.flips) == (3, 1)
    assert found.largest_difference == pytest.approx(0.01, abs=1e-6)
    assert (found + onnx_model.NOTHING) == found
