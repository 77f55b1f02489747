"""How far one number has moved from a reference: cells, PSI, Jensen-Shannon distance, and what chance and age make of them.

Formulas and sources: `core.drift`. Cells are deciles of the reference's rows, each weighed by what it stands for; a frequent value is
a cell of its own, and so is what is missing. What does not belong here: which numbers there are, and how many may move
(`feature_drift`); the noise of templates (`template_noise`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.drift import (
    CELLS,
    FLOOR,
    chi_squared_quantile,
    jensen_shannon,
    population_stability_index,
)
from platform_assets.query_predictor import template_noise
from platform_assets.query_predictor.template_noise import Templates

LIMIT_PSI = 0.25
OWN_FACTOR = 2.0
Values = NDArray[np.floating]


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
    template_noise: float = 0.0
    """What it makes of PSI with so many templates; 0 where they are not known."""

    @property
    def limit(self) -> float:
        """PSI from which on it counts."""
        return max(LIMIT_PSI, OWN_FACTOR * self.own, self.noise, self.template_noise)

    @property
    def is_beyond(self) -> bool:
        """Whether it has moved too far."""
        return self.psi > self.limit


def distance(
    name: str, values: tuple[Values, Values], weights: tuple[NDArray[np.float64], NDArray[np.float64]],
    weeks: NDArray[np.int64], templates: Templates | None = None,
) -> Distance:  # fmt: skip
    """From the rows of the reference to those of now: `weeks` are the parts of the reference that may differ by themselves."""
    cuts = cell_ends(values[0], weights[0])
    cells, count = (_cells(values[0], cuts), _cells(values[1], cuts)), len(cuts) + 2
    before = [_Counted.of(cells[0][weeks == each], weights[0][weeks == each], count) for each in np.unique(weeks)]
    together, now = _together(before), _Counted.of(cells[1], weights[1], count)
    psi, js, noise = _apart(together, now)
    of_templates = template_noise.noise(templates, cells, weights, count, _floor(together, now)) if templates else 0.0
    return Distance(name, psi, js, _own(before), noise, of_templates)


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
    noise = chi_squared_quantile(len(cells) - 1) * (1 / before.rows + 1 / now.rows)
    return population_stability_index(cells, _floor(before, now)), jensen_shannon(cells), noise


def _floor(before: _Counted, now: _Counted) -> float:
    return max(FLOOR, 0.5 / min(before.rows, now.rows))


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
