"""How well trees of this kind do on train rows they were not grown on: template by template, and on later days.

Every fold grows as many trees as the kept model has, with nothing stopped early on the rows that judge it. Rows are weighed by
1 / inclusion probability, so that numbers speak of the queries as they come. A fold that lacks a class has no numbers, and is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import classifier, ranking_metrics
from platform_assets.query_predictor.classifier import Growth
from platform_assets.query_predictor.folds import grouped_folds, time_fold
from platform_assets.query_predictor.split_features import SplitFeatures

_MEASURES = {
    "auc": ranking_metrics.auc,
    "average_precision": ranking_metrics.average_precision,
    "log_loss": ranking_metrics.log_loss,
}


@dataclass(frozen=True)
class Fold:
    """One fold's numbers; empty where a class was missing."""

    kind: str
    """grouped or time."""
    rows: int
    heavy: int
    numbers: dict[str, float]

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {"kind": self.kind, "rows": self.rows, "heavy": self.heavy, **self.numbers}


def cross_validate(
    train: SplitFeatures, growth: Growth, trees: int, folds: int, say: Callable[[str], None]
) -> list[Fold]:
    """Every grouped fold, then the time fold; without folds none. Raises ValueError for fewer templates than folds."""
    if not folds:
        return []
    found = [_run(train, replace(growth, n_estimators=trees), *each) for each in _folds(train, folds, growth.seed)]
    undefined = sum(not fold.numbers for fold in found)
    say(f"cross-validation: {len(found) - undefined} folds" + (f", {undefined} without a class" if undefined else ""))
    return found


def metrics(folds: list[Fold]) -> dict[str, float]:
    """Mean and spread over the grouped folds, and the time fold's numbers, for metrics.json."""
    found: dict[str, float] = {}
    for name in _MEASURES:
        grouped = [fold.numbers[name] for fold in folds if fold.kind == "grouped" and fold.numbers]
        if grouped:
            found |= {f"cv_grouped_{name}": fmean(grouped), f"cv_grouped_{name}_deviation": pstdev(grouped)}
        found |= {f"cv_time_{name}": fold.numbers[name] for fold in folds if fold.kind == "time" and fold.numbers}
    return found


def _folds(train: SplitFeatures, folds: int, seed: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    fold_of = grouped_folds(train.is_heavy, train.template, folds, seed)
    for number in range(folds):
        yield "grouped", fold_of == number
    yield "time", time_fold(train.created)


def _run(train: SplitFeatures, growth: Growth, kind: str, held: NDArray[np.bool_]) -> Fold:
    heavy = train.is_heavy[held]
    if not all(_has_both(each) for each in (heavy, train.is_heavy[~held])):
        return Fold(kind, len(heavy), int(heavy.sum()), {})
    fitted = classifier.fit(train, np.flatnonzero(~held), growth)
    scores = classifier.predict(fitted.booster, train, np.flatnonzero(held))
    numbers = {name: measure(scores, heavy, train.weight[held]) for name, measure in _MEASURES.items()}
    return Fold(kind, len(heavy), int(heavy.sum()), numbers)


def _has_both(is_heavy: NDArray[np.bool_]) -> bool:
    return bool(is_heavy.any() and not is_heavy.all())
