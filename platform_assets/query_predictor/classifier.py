"""The gradient-boosted trees: grown with a fixed seed, stopped early, and with an intercept that is right for the natural mix.

Train rows are a sample with many times more heavy queries than there are. Unless the loss is weighed, trees are grown around the
sample's log odds, and measured and served around those of the queries as they come (the weights tell): what is called a
probability is one, and losses on validation rows mean something. What does not belong here: ONNX (`onnx_model`), the threshold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost
import xgboost.callback
from numpy.typing import NDArray

from platform_assets.query_predictor.split_features import CHUNK, Rows, SplitFeatures
from platform_assets.training.errors import TrainingError

# Measured up to 83 million values: 3.5 bytes for each one once it is binned, and seven copies of a chunk while it is.
BYTES_A_VALUE, CHUNKS_AT_ONCE = 4, 8
_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Growth:
    """How trees are grown."""

    n_estimators: int
    learning_rate: float
    max_depth: int
    min_child_weight: float
    subsample: float
    column_share: float
    regularisation: float
    weight_loss: bool
    seed: int
    threads: int

    def parameters(self) -> dict[str, Any]:
        """As XGBoost names them."""
        return {
            "objective": "binary:logistic", "booster": "gbtree", "tree_method": "hist", "device": "cpu",
            "eta": self.learning_rate, "max_depth": self.max_depth, "min_child_weight": self.min_child_weight,
            "subsample": self.subsample, "colsample_bytree": self.column_share, "lambda": self.regularisation,
            "seed": self.seed, "nthread": self.threads, "base_score": 0.5, "eval_metric": "logloss",
        }  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """Trees up to the best round, and the losses of all rounds (log loss in nats a row)."""

    booster: xgboost.Booster
    rounds: list[dict[str, float]]
    best_round: int
    natural_share: float
    """Share of heavy queries among the train rows as they come."""


def require_memory(rows: int, columns: int, limit_gb: float) -> None:
    """Raises TrainingError where binned features would take more than so many GiB."""
    needed = (rows * columns * BYTES_A_VALUE + CHUNKS_AT_ONCE * min(rows, CHUNK) * columns * 4) / 2**30
    if needed > limit_gb:
        raise TrainingError(
            f"{rows:,} rows of {columns:,} features take about {needed:.1f} GiB, and --memory_gb is {limit_gb:g}: raise it "
            "where there is memory, or lower tfidf_vocab_size, balance_ratio or sample_fraction"
        )


def fit(
    train: SplitFeatures,
    rows: Rows,
    growth: Growth,
    validation: SplitFeatures | None = None,
    patience: int = 0,
    on_round: Callable[[int, dict[str, float]], None] = lambda number, losses: None,
) -> Fitted:
    """Grow trees on some rows of a split; with validation rows, stop after `patience` rounds without a lower loss on them.

    Validation rows are weighed by their weights: those of natural days weigh alike. Raises TrainingError for rows of one class.
    """
    sample, natural = _shares(train, rows, growth.weight_loss)
    binned = _binned(train, rows, _log_odds(sample), growth, train.weight if growth.weight_loss else None)
    watched, losses = [(binned, "train")], _EveryRound(on_round)
    callbacks: list[xgboost.callback.TrainingCallback] = [losses]
    if validation is not None:
        held = _binned(validation, validation.all_rows, _log_odds(natural), growth, validation.weight, binned)
        watched.append((held, "val"))
        if patience:
            # It is given to the training itself: trees after the best round are dropped from the model, not only skipped.
            callbacks.append(
                xgboost.callback.EarlyStopping(
                    rounds=patience, save_best=True, data_name="val", metric_name="logloss", maximize=False
                )
            )
    booster = xgboost.train(
        growth.parameters(), binned, growth.n_estimators, evals=watched, callbacks=callbacks, verbose_eval=False
    )
    best = booster.num_boosted_rounds() - 1
    return Fitted(_around(booster, natural, growth.threads), losses.losses, best, natural)


def predict(booster: xgboost.Booster, split: SplitFeatures, rows: Rows | None = None) -> NDArray[np.float32]:
    """Float32 probabilities of all rows of a split, or of those at `rows`."""
    found = [booster.inplace_predict(dense) for _, dense in split.chunks(rows)]
    return np.concatenate([np.empty(0, np.float32), *found]).astype(np.float32)


def log_odds(booster: xgboost.Booster, split: SplitFeatures) -> NDArray[np.float32]:
    """As `predict`, before the logistic function."""
    found = [booster.inplace_predict(dense, predict_type="margin") for _, dense in split.chunks()]
    return np.concatenate([np.empty(0, np.float32), *found]).astype(np.float32)


def importance(booster: xgboost.Booster, columns: int) -> NDArray[np.float64]:
    """[C] each column's share of the gain of all splits; 0 everywhere where nothing was split."""
    gains = np.zeros(columns)
    for name, gain in booster.get_score(importance_type="total_gain").items():
        gains[int(name[1:])] = gain
    return gains / gains.sum() if gains.sum() else gains


class _EveryRound(xgboost.callback.TrainingCallback):
    """Keeps every round's losses, and tells of them."""

    def __init__(self, tell: Callable[[int, dict[str, float]], None]) -> None:
        self._tell = tell
        self.losses: list[dict[str, float]] = []
        super().__init__()

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """One round is done."""
        found = {f"{name}_loss": float(metrics["logloss"][-1]) for name, metrics in evals_log.items()}
        self.losses.append(found)
        self._tell(epoch, found)
        return False


class _Chunks(xgboost.DataIter):
    """Rows of a split, a chunk at once: the whole is never dense."""

    def __init__(self, split: SplitFeatures, rows: Rows, margin: float, weights: NDArray[np.float64] | None) -> None:
        self._split, self._rows, self._margin, self._weights = split, rows, np.float32(margin), weights
        self._at = 0
        super().__init__(release_data=True)

    def reset(self) -> None:
        """From the first row on."""
        self._at = 0

    def next(self, input_data: Any) -> bool:
        """Hand over a chunk; False after the last."""
        part = self._rows[self._at : self._at + CHUNK]
        if not len(part):
            return False
        self._at += len(part)
        input_data(
            data=self._split.dense(part), label=self._split.is_heavy[part].astype(np.float32),
            base_margin=np.full(len(part), self._margin), weight=None if self._weights is None else self._weights[part],
        )  # fmt: skip
        return True


def _binned(
    split: SplitFeatures,
    rows: Rows,
    margin: float,
    growth: Growth,
    weights: NDArray[np.float64] | None,
    ref: xgboost.QuantileDMatrix | None = None,
) -> xgboost.QuantileDMatrix:
    chunks = _Chunks(split, rows, margin, weights)
    return xgboost.QuantileDMatrix(chunks, missing=math.nan, nthread=growth.threads, ref=ref)


def _shares(split: SplitFeatures, rows: Rows, weight_loss: bool) -> tuple[float, float]:
    """Share of heavy rows: of those the trees are grown on, as the loss weighs them, and of the queries as they come."""
    heavy = split.is_heavy[rows]
    if not heavy.any() or heavy.all():
        kind = "light" if heavy.any() else "heavy"
        raise TrainingError(
            f"the {len(rows):,} {split.name} rows hold no {kind} query: name the features of a week with both, or change "
            "cpu_threshold_seconds and memory_threshold_gb"
        )
    natural = float(np.average(heavy, weights=split.weight[rows]))
    return natural if weight_loss else float(heavy.mean()), natural


def _log_odds(share: float) -> float:
    share = min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE)
    return math.log(share / (1 - share))


def _around(booster: xgboost.Booster, share: float, threads: int) -> xgboost.Booster:
    """The same trees around the log odds of a share."""
    document = json.loads(booster.save_raw("json"))
    document["learner"]["learner_model_param"]["base_score"] = f"[{min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE)!r}]"
    # Also the attributes of early stopping: those of the trees that were dropped.
    document["learner"]["attributes"] = {}
    found = xgboost.Booster({"nthread": threads})
    found.load_model(bytearray(json.dumps(document).encode()))
    return found
