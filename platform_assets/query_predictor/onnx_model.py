"""The model that serves: the trees as ONNX, and the proof that it says what the trees say.

The trees are asked for log odds, and the probability is taken from them here: ONNX Runtime's own takes a small probability from 1
less the large one, and rounds what lies below a thousandth, where most queries are, to a few hundred values. For other readers the
file has a probability as well.

A session computes on one thread. On several, ONNX Runtime adds up the trees in another order, and in yet another for a single row
than for many: one score in twelve has another last bit, and a query would be routed by its company. Servers that need more ask from
several threads at once.

Compared on all rows and on rows made for it: for every split a real row that reaches it, its value moved just below the split, onto
it and just above. There a wrong comparison or a lost digit shows, where real rows seldom lie. What does not belong here: the parity
of features (`parity`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xgboost

NAME = "model.onnx"
LARGEST_DIFFERENCE = 1e-5
_INPUT, _LOG_ODDS, _PROBABILITY = "features", "log_odds", "probability"
_GRAPH, _OPSET = "query_predictor", 15
_LEAF = -1
Matrix = NDArray[np.float32]
Scores = NDArray[np.float32]


class OnnxModel:
    """A session over model.onnx; `scores` may be called from several threads, and is the same for a row alone and among others."""

    def __init__(self, content: bytes | Path) -> None:
        """Open it. Raises ValueError for what is no model of this kind."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        source = str(content) if isinstance(content, Path) else content
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            [asked] = self._session.get_inputs()
            self.columns = int(asked.shape[1])
        except Exception as error:  # onnxruntime's own errors share no class but this one
            place = content if isinstance(content, Path) else NAME
            raise ValueError(f"{place} cannot be opened ({error}): take it from the model's folder") from None

    def scores(self, rows: Matrix) -> Scores:
        """[R] float32 probabilities of dense rows [R, C]."""
        if not len(rows):
            return np.empty(0, np.float32)
        [found] = self._session.run([_LOG_ODDS], {_INPUT: np.ascontiguousarray(rows, np.float32)})
        return (1 / (1 + np.exp(-np.asarray(found, np.float64)[:, 0]))).astype(np.float32)

    def scores_in_parts(self, parts: Iterable[Matrix]) -> Scores:
        """[R] of rows that come in parts, one in memory at a time."""
        return np.concatenate([np.empty(0, np.float32), *(self.scores(rows) for rows in parts)])


@dataclass(frozen=True)
class Agreement:
    """How far ONNX and the trees are apart on some rows; a flip is a row that only one of them routes as heavy."""

    rows: int
    largest_difference: float
    flips: int

    @classmethod
    def between(cls, onnx: Scores, trees: Scores, threshold: float) -> Agreement:
        """Of the scores of the same rows."""
        limit = np.float32(threshold)
        difference = float(np.abs(onnx.astype(np.float64) - trees).max()) if len(onnx) else 0.0
        return cls(len(onnx), difference, int(((onnx >= limit) != (trees >= limit)).sum()))

    def __add__(self, other: Agreement) -> Agreement:
        largest = max(self.largest_difference, other.largest_difference)
        return Agreement(self.rows + other.rows, largest, self.flips + other.flips)

    @property
    def is_close(self) -> bool:
        """Within 1e-5."""
        return self.largest_difference <= LARGEST_DIFFERENCE


NOTHING = Agreement(0, 0.0, 0)


@dataclass(frozen=True)
class Validation:
    """All rows, rows made to lie next to splits, and of both those whose score is within 1e-5 of the threshold."""

    all_rows: Agreement
    next_to_threshold: Agreement
    next_to_splits: Agreement

    @property
    def is_close(self) -> bool:
        """Everywhere: what flips then lies within rounding of the threshold."""
        return self.all_rows.is_close and self.next_to_splits.is_close

    def metrics(self) -> dict[str, float]:
        """For metrics.json."""
        parts = {
            "": self.all_rows,
            "next_to_threshold_": self.next_to_threshold,
            "next_to_splits_": self.next_to_splits,
        }
        return {
            name: value
            for part, each in parts.items()
            for name, value in {
                f"onnx_{part}rows": each.rows, f"onnx_{part}largest_difference": each.largest_difference,
                f"onnx_{part}label_flips": each.flips,
            }.items()
        }  # fmt: skip


def convert(booster: xgboost.Booster, columns: int) -> bytes:
    """The trees as ONNX, the same bytes for the same trees: float32 [R, columns] to log odds and probability, each [R, 1]."""
    import onnxmltools
    from onnx import TensorProto, helper
    from onnxmltools.convert.common.data_types import FloatTensorType

    inputs = [(_INPUT, FloatTensorType([None, columns]))]
    # Without a name it would be given a random one.
    model: Any = onnxmltools.convert_xgboost(
        _of_log_odds(booster), name=_GRAPH, initial_types=inputs, target_opset=_OPSET
    )
    [trees] = model.graph.node
    del model.graph.output[:]
    trees.output[:] = [_LOG_ODDS]
    model.graph.node.append(helper.make_node("Sigmoid", [_LOG_ODDS], [_PROBABILITY]))
    for name in (_LOG_ODDS, _PROBABILITY):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]))
    if not any(each.domain == "" for each in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", _OPSET))
    return model.SerializeToString()


def _of_log_odds(booster: xgboost.Booster) -> xgboost.Booster:
    """The same trees, without the logistic function at the end."""
    import xgboost

    document = json.loads(booster.save_raw("json"))
    parameters = document["learner"]["learner_model_param"]
    share = float(parameters["base_score"].strip("[]"))
    parameters["base_score"] = f"[{math.log(share / (1 - share))!r}]"
    document["learner"]["objective"] = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
    found = xgboost.Booster()
    found.load_model(bytearray(json.dumps(document).encode()))
    return found


def validate(
    booster: xgboost.Booster, model: OnnxModel, chunks: Iterable[Matrix], threshold: float, probe: Matrix
) -> Validation:
    """Compare on `chunks` of dense rows, and on rows made from `probe`."""
    everywhere, near, made = NOTHING, NOTHING, NOTHING
    for rows in chunks:
        onnx, trees = model.scores(rows), booster.inplace_predict(rows)
        everywhere += Agreement.between(onnx, trees, threshold)
        near += _near(onnx, trees, threshold)
    for rows in next_to_splits(booster, probe):
        onnx, trees = model.scores(rows), booster.inplace_predict(rows)
        made += Agreement.between(onnx, trees, threshold)
        near += _near(onnx, trees, threshold)
    return Validation(everywhere, near, made)


def _near(onnx: Scores, trees: Scores, threshold: float) -> Agreement:
    close = np.abs(onnx.astype(np.float64) - threshold) <= LARGEST_DIFFERENCE
    return Agreement.between(onnx[close], trees[close], threshold)


def next_to_splits(booster: xgboost.Booster, probe: Matrix) -> Iterator[Matrix]:
    """For each tree, three rows a split that some probe row reaches: just below the split's value, on it, just above."""
    for tree in json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]:
        moved = list(_at_splits(tree, probe))
        if moved:
            yield np.concatenate(moved)


def _at_splits(tree: Mapping[str, Any], probe: Matrix) -> Iterator[Matrix]:
    left, right = tree["left_children"], tree["right_children"]
    open_nodes = [(0, np.arange(len(probe)))]
    while open_nodes:
        node, here = open_nodes.pop()
        if left[node] == _LEAF or not len(here):
            continue
        column, split = tree["split_indices"][node], np.float32(tree["split_conditions"][node])
        rows = np.repeat(probe[here[:1]], 3, axis=0)
        rows[:, column] = [np.nextafter(split, np.float32(-np.inf)), split, np.nextafter(split, np.float32(np.inf))]
        yield rows
        values = probe[here, column]
        goes_left = np.where(np.isnan(values), bool(tree["default_left"][node]), values < split)
        open_nodes += [(left[node], here[goes_left]), (right[node], here[~goes_left])]
