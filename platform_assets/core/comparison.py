"""What a gate is given: two policies' scores on the same rows, what each metric may lose, and the thresholds.

Everything is checked here, so that nothing that cannot be judged is judged: a score that is not finite is an error and
never a pass. What does not belong here: the judgement (`core.gate`) and how scores are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from platform_assets.core.statistics import MINIMUM_DRAWS, SEED, Floats

Mask = NDArray[np.bool_]
STANDARD = "standard"


@dataclass(frozen=True)
class Metric:
    """One metric and what of it a candidate may lose.

    margin: in the metric's unit, or, with `margin_is_share`, as a share of the baseline's mean, which is then taken as given.
    at_least_equal: the estimate must not be worse than the baseline's either.
    gated: otherwise it is reported only.
    subset: gated on these rows only (a name in `Comparison.subsets`), because the others do not judge it: one of the two gave
    the answer that was logged, or the baseline has no value. As everywhere, nothing passes on fewer than the minimum.
    may_be_anchored: below the minimum a metric on a subset is left to an online experiment ("anchored"), and the others decide.
    more_rows: what gives more of its rows, for the reasons.
    """

    name: str
    margin: float
    margin_is_share: bool = False
    higher_is_better: bool = True
    at_least_equal: bool = False
    gated: bool = True
    subset: str | None = None
    may_be_anchored: bool = False
    more_rows: str = "compare on more rows"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.margin) and self.margin >= 0):
            raise ValueError(f"{self.name}: the margin is {self.margin}; give a finite number of 0 or more")
        if self.may_be_anchored and self.at_least_equal:
            raise ValueError(f"{self.name} must be at least equal, which nobody may leave open: it cannot be anchored")


@dataclass(frozen=True)
class Thresholds:
    """When a verdict may be reached. Lower minimums need a name of their own, which every verdict then carries.

    slice_floor: a slice blocks when a metric's upper bound in it is below this and below minus the metric's margin.
    slice_minimum_clusters: a smaller slice is reported as too small, and a smaller subset is no proof of a loss; below it the bounds' errors exceed 10 % where a few
    large losses make the difference (measured with 10 households: 11 % at nominal 5 %).
    must_not_fail: (dimension, value) of slices in which no gated metric may fail.
    cluster: what one cluster is called in reasons.
    """

    name: str = STANDARD
    minimum_rows: int = 1000
    minimum_clusters: int = 250
    alpha: float = 0.05
    draws: int = MINIMUM_DRAWS
    seed: int = SEED
    slice_floor: float = -0.05
    slice_minimum_clusters: int = 20
    must_not_fail: tuple[tuple[str, str], ...] = ()
    cluster: str = "household"

    def __post_init__(self) -> None:
        if min(self.minimum_clusters, self.slice_minimum_clusters) < 2 or self.minimum_rows < 1:
            raise ValueError(
                "minimums must be at least 1 row and 2 clusters: one cluster says nothing about the spread"
            )
        if not (np.isfinite(self.slice_floor) and self.slice_floor <= 0):
            raise ValueError(f"the slice floor is {self.slice_floor}; give a finite number of 0 or less")
        lowered = self.minimum_rows < 1000 or self.minimum_clusters < 250 or self.alpha > 0.05
        if self.name == STANDARD and lowered:
            raise ValueError("thresholds below the standard ones need another name, which the verdict will carry")

    @property
    def label(self) -> str:
        """What a verdict says of its thresholds: "thresholds: demo (200 rows / 150 households)"."""
        return f"thresholds: {self.name} ({self.minimum_rows:,} rows / {self.minimum_clusters:,} {self.cluster}s)"


@dataclass(frozen=True)
class Comparison:
    """Scores of the candidate and the baseline, by metric, one per row and all in the same order of rows.

    constraints: by name, the candidate's value per row, which must be 1.0. slices: by dimension, the row's value.
    subsets: by name, whether the row belongs to it; a metric that is gated on a subset may be NaN outside of it.
    """

    row_ids: Sequence[str]
    clusters: Sequence[str]
    candidate: Mapping[str, ArrayLike]
    baseline: Mapping[str, ArrayLike]
    constraints: Mapping[str, ArrayLike] = field(default_factory=dict)
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    subsets: Mapping[str, Sequence[bool]] = field(default_factory=dict)

    def scores(self, metric: Metric) -> tuple[Floats, Floats]:
        """(R,) candidate's and (R,) baseline's values."""
        return _numbers(self.candidate[metric.name]), _numbers(self.baseline[metric.name])

    def cluster_codes(self) -> NDArray[np.int64]:
        """(R,) each row's cluster as a number, in the order of the clusters' names."""
        return np.unique(np.asarray(self.clusters), return_inverse=True)[1]

    def subset(self, name: str) -> Mask:
        """(R,) which rows belong to a subset."""
        return np.asarray(self.subsets[name], dtype=bool)

    def slice_masks(self) -> Iterable[tuple[str, str, Mask]]:
        """Dimension, value and (R,) rows of every slice, in the order of their names."""
        for dimension in sorted(self.slices):
            values = np.asarray(self.slices[dimension]).astype(str)
            for value in np.unique(values).tolist():
                yield dimension, value, values == value

    def check(self, metrics: Sequence[Metric], thresholds: Thresholds) -> None:
        """Raises ValueError, naming what is wrong, for anything that cannot be judged."""
        if not len(self.row_ids):
            raise ValueError("there are no rows to compare; was the dataset empty after filtering?")
        if len(set(self.row_ids)) != len(self.row_ids):
            raise ValueError(
                f"{len(self.row_ids) - len(set(self.row_ids)):,} row ids come twice; compare every row once"
            )
        if any(cluster is None or cluster == "" for cluster in self.clusters):
            raise ValueError("a row has no cluster; name the unit whose rows hang together on every row")
        names = [metric.name for metric in metrics]
        if not any(metric.gated for metric in metrics) or len(set(names)) != len(names):
            raise ValueError(f"metrics {names}: at least one must be gated and none may come twice")
        self._check_lengths(metrics)
        for metric in metrics:
            self._check_scores(metric)
        for name, values in self.constraints.items():
            _check_finite(f"constraint {name}", _numbers(values))
        for dimension, _ in thresholds.must_not_fail:
            if dimension not in self.slices:
                raise ValueError(f"a slice of {dimension!r} must not fail, but the rows come without it")

    def _check_lengths(self, metrics: Sequence[Metric]) -> None:
        for side, scores in (("candidate", self.candidate), ("baseline", self.baseline)):
            missing = [metric.name for metric in metrics if metric.name not in scores]
            if missing:
                raise ValueError(f"the {side} has no scores of {', '.join(missing)}")
        columns = {"clusters": self.clusters, **{f"subset {name}": each for name, each in self.subsets.items()}}
        columns |= {f"candidate's {name}": each for name, each in self.candidate.items()}
        columns |= {f"baseline's {name}": each for name, each in self.baseline.items()}
        columns |= {f"constraint {name}": each for name, each in self.constraints.items()}
        columns |= {f"slice {name}": each for name, each in self.slices.items()}
        for name, values in columns.items():
            if np.shape(values) != (len(self.row_ids),):
                raise ValueError(f"{name} has shape {np.shape(values)}, but there are {len(self.row_ids):,} rows")

    def _check_scores(self, metric: Metric) -> None:
        if metric.subset is not None and metric.subset not in self.subsets:
            raise ValueError(f"{metric.name} is gated on {metric.subset!r}, but no subset of the rows has that name")
        inside = slice(None) if metric.subset is None else self.subset(metric.subset)
        for side, values in zip(("candidate", "baseline"), self.scores(metric), strict=True):
            _check_finite(f"the {side}'s {metric.name}", values[inside])


def _numbers(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _check_finite(what: str, values: Floats) -> None:
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        raise ValueError(
            f"{what} is not finite on {broken:,} of {len(values):,} rows; find out why they were not scored"
        )
