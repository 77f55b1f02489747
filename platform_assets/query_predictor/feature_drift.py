"""How far the features of new queries have moved from those that a model was trained on, and whether that is beyond the limit.

PSI and Jensen-Shannon distance of each of the 95 numbers (formulas and sources: `core.drift`): cells are deciles of the train rows,
each weighed by what it stands for; a frequent value is a cell of its own, and so is what is missing.

A feature is beyond its limit where PSI exceeds the usual .25, and what chance makes of so many rows. Historical features have few
independent values, one for each user, catalog or schema and day: in a log that stands still their PSI is 1 to 6. Their limit is
also twice the farthest that a week of the reference lies from its other weeks; with few keys only a great change exceeds it.
Its oldest days, too few for a week, count as one and widen this: without them up to 3 features of a log that stands still exceeded
their limits, with them 1; but a change of history alone is seen later.

A week is beyond its limit with more than MOST_BEYOND such features. On generated logs of 84 days (seed 7; 20,000 rows with the
drift knob at 0, 1 and 8, 100,000 at 1) no week had more than 3 against the week before it, nor more than 4 against any earlier
one: the knob alone, turnover of users and templates, is not beyond it. A text change planted in the features of a fifth of the
queries moved 2 to 6 of them, in two fifths 10 to 12. What does not belong here: who compares which weeks (the assets), profiles of
tables (`core.profile`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.drift import (
    CELLS,
    FLOOR,
    chi_squared_quantile,
    jensen_shannon,
    population_stability_index,
)
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor.features import HISTORICAL_NAMES
from platform_assets.query_predictor.split_features import NUMBERS

if TYPE_CHECKING:
    from platform_assets.query_predictor.split_features import SplitFeatures

NAME = "feature_drift"
LIMIT_PSI = 0.25
OWN_FACTOR = 2.0
MOST_BEYOND = 4
SCORE = "score"
Values = NDArray[np.floating]
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Distance:
    """How far one number has moved. `own`: the largest of a week of the reference against the rest of it, of what is history;
    else 0."""

    name: str
    psi: float
    js: float
    """0..1."""
    own: float
    noise: float
    """What chance alone makes of PSI with so many rows, but for one time in 10,000."""

    @property
    def limit(self) -> float:
        """PSI from which on it counts."""
        return max(LIMIT_PSI, OWN_FACTOR * self.own, self.noise)

    @property
    def is_beyond(self) -> bool:
        """Whether it has moved too far."""
        return self.psi > self.limit


@dataclass(frozen=True)
class Drift:
    """The distances of all features in their order, and of how many rows; none where a side has no row."""

    distances: tuple[Distance, ...]
    reference_rows: int
    current_rows: int

    @property
    def beyond(self) -> tuple[str, ...]:
        """The features that moved too far, farthest first."""
        found = sorted((each for each in self.distances if each.is_beyond), key=lambda each: (-each.psi, each.name))
        return tuple(each.name for each in found)

    @property
    def is_beyond_limit(self) -> bool:
        """Whether so many features moved that a model should be trained anew."""
        return len(self.beyond) > MOST_BEYOND

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "beyond": list(self.beyond), "is_beyond_limit": self.is_beyond_limit, "most_beyond": MOST_BEYOND,
            "reference_rows": self.reference_rows, "current_rows": self.current_rows,
            "features": {each.name: _document(each) for each in self.distances},
        }  # fmt: skip


def compare(reference: SplitFeatures, current: Sequence[SplitFeatures]) -> Drift:
    """The drift from the rows that a model was trained on to all rows of `current` together."""
    rows = sum(len(each) for each in current)
    if not len(reference) or not rows:
        return Drift((), len(reference), rows)
    weeks = _weeks(reference.created)
    weights = (reference.weight, np.concatenate([each.weight for each in current]))
    distances = []
    for place, name in enumerate(NUMBERS):
        now = np.concatenate([each.numbers[:, place] for each in current])
        parts = weeks if name in HISTORICAL_NAMES else np.zeros_like(weeks)
        distances.append(_distance(name, (np.asarray(reference.numbers[:, place]), now), weights, parts))
    return Drift(tuple(distances), len(reference), rows)


def score_drift(reference: Values, current: Values) -> Distance:
    """The drift of a model's scores, every row as good as another.

    Take rows as reference that the model was not grown on: on those its scores are farther apart. Raises ValueError for no rows.
    """
    if not len(reference) or not len(current):
        raise ValueError(f"no distance between {len(reference)} and {len(current)} scores; give one or more of each")
    weights = np.ones(len(reference)), np.ones(len(current))
    return _distance(SCORE, (reference, current), weights, np.zeros(len(reference), np.int64))


def judge(drift: Drift) -> Outcome:
    """The warning `feature_drift`."""
    if not drift.distances:
        reason = f"nothing to compare: {drift.reference_rows:,} rows to compare with, {drift.current_rows:,} new ones"
        return Outcome(NAME, True, reason, {"beyond": 0}, True)
    names = ", ".join(drift.beyond[:10]) + (", ..." if len(drift.beyond) > 10 else "")
    reason = f"{len(drift.beyond)} of {len(drift.distances)} features beyond their limits, {MOST_BEYOND} allowed: {names or 'none'}"
    return Outcome(NAME, not drift.is_beyond_limit, reason, {"beyond": len(drift.beyond), "allowed": MOST_BEYOND}, True)


def plot(drift: Drift, title: str) -> bytes:
    """The features nearest to or beyond their limits, as PNG."""
    from platform_assets.query_predictor import feature_drift_plot

    return feature_drift_plot.draw(drift, title)


def _document(distance: Distance) -> dict[str, Any]:
    return {name: value for name, value in asdict(distance).items() if name != "name"} | {"limit": distance.limit}


def _weeks(created: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """[R], which seven days, counted back from the last one; the oldest may be fewer."""
    days = created.astype("datetime64[D]")
    return ((days.max() - days) / _DAY).astype(np.int64) // 7


def _distance(
    name: str, values: tuple[Values, Values], weights: tuple[NDArray[np.float64], NDArray[np.float64]],
    weeks: NDArray[np.int64],
) -> Distance:  # fmt: skip
    cuts = cell_ends(values[0], weights[0])
    places, count = _cells(values[0], cuts), len(cuts) + 2
    before = [_Counted.of(places[weeks == each], weights[0][weeks == each], count) for each in np.unique(weeks)]
    now = _Counted.of(_cells(values[1], cuts), weights[1], count)
    psi, js, noise = _apart(_together(before), now)
    return Distance(name, psi, js, _own(before), noise)


@dataclass(frozen=True)
class _Counted:
    """Summed weights by cell, and what Kish's number of rows that say as much ("Survey Sampling", 1965) is made of."""

    cells: NDArray[np.float64]
    squares: float

    @classmethod
    def of(cls, places: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> _Counted:
        return cls(np.bincount(places, weights, count).astype(np.float64), float((weights**2).sum()))

    @property
    def rows(self) -> float:
        return float(self.cells.sum() ** 2 / self.squares)


def _together(parts: Sequence[_Counted]) -> _Counted:
    return _Counted(np.sum([each.cells for each in parts], axis=0), sum(each.squares for each in parts))


def _apart(before: _Counted, now: _Counted) -> tuple[float, float, float]:
    """PSI, Jensen-Shannon distance, and what chance alone makes of PSI."""
    shares = [(each.cells / each.cells.sum()).tolist() for each in (before, now)]
    cells = [(p, q) for p, q in zip(*shares, strict=True) if p or q]
    floor = max(FLOOR, 0.5 / min(before.rows, now.rows))
    noise = chi_squared_quantile(len(cells) - 1) * (1 / before.rows + 1 / now.rows)
    return population_stability_index(cells, floor), jensen_shannon(cells), noise


def _own(weeks: Sequence[_Counted]) -> float:
    """The largest PSI of a week against all others; 0 for a single week."""
    others = ([*weeks[:place], *weeks[place + 1 :]] for place in range(len(weeks)))
    return max(
        (_apart(_together(rest), week)[0] for rest, week in zip(others, weeks, strict=True) if rest), default=0.0
    )


def cell_ends(values: Values, weights: NDArray[np.float64]) -> Values:
    """Where cells end, each end within its cell: deciles, and both sides of a value that holds more than a tenth."""
    there = ~np.isnan(values)
    if not there.any():
        return values[:0]
    known, places = np.unique(values[there], return_inverse=True)
    held = np.bincount(places, weights[there])
    through = held.cumsum()
    ranks = through[-1] * np.arange(1, CELLS) / CELLS * (1 - 1e-12)
    frequent = known[held > through[-1] / CELLS]
    before = np.nextafter(frequent, -np.inf, dtype=known.dtype)
    return np.unique(np.concatenate([known[np.searchsorted(through, ranks)], frequent, before]))


def _cells(values: Values, cuts: Values) -> NDArray[np.int64]:
    """[R], the cell of each value; the last is what is missing."""
    return np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, side="left"))
