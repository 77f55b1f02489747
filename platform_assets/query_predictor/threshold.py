"""From which score on a query is routed as heavy: chosen once on the validation days, by what mistakes cost, and then frozen.

Scores are float32, as ONNX gives them and as serving compares them; so is the threshold. It never parts scores that rounding alone
may have parted: many queries end in leaves of nearly the same sum, and the trees and their ONNX would route them differently. What does not belong here: what a
threshold is worth on later days (`requirements`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "threshold.json"
# Relative: seven times what ONNX and XGBoost were apart. Thousands of queries share leaves, and scores but for their last bits.
SAME = 5e-5
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Threshold:
    """A query with a score of `value` or more is routed as heavy. Costs and counts are of the rows it was chosen on."""

    value: float
    """A float32."""
    cost: float
    false_negatives: float
    false_positives: float
    rows: int
    heavy: int
    cost_fn: float
    cost_fp: float

    def routes(self, scores: Scores) -> NDArray[np.bool_]:
        """[R] whether each is routed as heavy."""
        return scores.astype(np.float32) >= np.float32(self.value)

    def write(self, folder: Path) -> None:
        """Write threshold.json."""
        (folder / NAME).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Threshold:
        """What `write` wrote. Raises ValueError."""
        try:
            content: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
            found = cls(**content)
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{folder / NAME} cannot be read ({error!r}): take it from the model's folder") from None
        if not isinstance(found.value, int | float) or float(np.float32(found.value)) != found.value:
            raise ValueError(
                f"{folder / NAME} holds {found.value}, which is no float32: take it from the model's folder"
            )
        return found


@dataclass(frozen=True)
class CostCurve:
    """What every distinct routing costs, from none to all: with cut c the rows of the c highest different scores are routed.

    `edges` [K] the different scores, falling; the rest is [K + 1].
    """

    edges: Scores
    caught: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    cost: NDArray[np.float64]

    @property
    def is_clear(self) -> NDArray[np.bool_]:
        """[K + 1] which cuts lie between scores that differ by more than rounding; the first and the last always do."""
        found = np.ones(len(self.cost), bool)
        edges = self.edges.astype(np.float64)
        found[1:-1] = edges[:-1] - edges[1:] > SAME * edges[:-1]
        return found

    def value(self, cut: int) -> np.float32:
        """A float32 that makes a cut: midway between its neighbours; beyond the highest and the lowest score, towards 1 and 0."""
        below = np.float32(0) if cut == len(self.edges) else self.edges[cut]
        above = self.edges[cut - 1] if cut else np.float32(1)
        if not cut and below >= 1:
            return np.nextafter(below, np.float32(2))
        middle = np.float32((float(below) + float(above)) / 2)
        # Of two scores without a float32 between them, the upper is the only one that parts them.
        return middle if below < middle <= above else above


def cost_curve(
    scores: Scores,
    is_heavy: NDArray[np.bool_],
    cost_fn: float,
    cost_fp: float,
    weights: NDArray[np.float64] | None = None,
) -> CostCurve:
    """Every cut and its cost, by one sort and cumulative sums. Raises ValueError for scores that are no probabilities."""
    if scores.dtype != np.float32 or scores.shape != is_heavy.shape:
        raise ValueError(f"scores must be float32, one a row, not {scores.dtype} {scores.shape} for {is_heavy.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be probabilities, from 0 to 1")
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    edges, begins = np.unique(-scores[order], return_index=True)
    heavy, light = weights * is_heavy, weights * ~is_heavy
    caught, passed = (
        np.concatenate([[0.0], np.cumsum(np.add.reduceat(part[order], begins)) if len(begins) else []])
        for part in (heavy, light)
    )
    cost = cost_fn * (caught[-1] - caught) + cost_fp * passed
    return CostCurve(-edges, caught, passed, cost)


def choose(scores: Scores, is_heavy: NDArray[np.bool_], cost_fn: float, cost_fp: float) -> Threshold:
    """The cheapest threshold of a clear cut; of equally cheap ones the lowest, which misses fewest. Raises ValueError without a row."""
    if not len(scores):
        raise ValueError("there are no rows to choose a threshold on: bring validation days with queries")
    curve = cost_curve(scores, is_heavy, cost_fn, cost_fp)
    cost = np.where(curve.is_clear, curve.cost, np.inf)
    cut = len(cost) - 1 - int(np.argmin(cost[::-1]))
    missed = float(curve.caught[-1] - curve.caught[cut])
    return Threshold(
        float(curve.value(cut)), float(curve.cost[cut]), missed, float(curve.false_positives[cut]), len(scores),
        int(is_heavy.sum()), cost_fn, cost_fp,
    )  # fmt: skip
