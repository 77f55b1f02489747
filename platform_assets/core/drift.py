"""How far a table has moved from a reference, column by column, read off two profiles; no rows are needed.

What belongs here: the distances and their sampling noise. Whether a distance matters is `core.drift_verdict`.

    PSI   sum over cells (q - p) ln(q / p): p reference share, q current share. Lewis, "An Introduction to Credit Scoring"
          (1992); it is Jeffreys' divergence. Both shares are floored first (see FLOOR) and not renormalised.
    JS    sqrt of the Jensen-Shannon divergence in bits, 0..1, over the same cells: Endres and Schindelin (2003),
          "A New Metric for Probability Distributions".
    KS    largest distance between the two distribution functions, 0..1 (Smirnov 1948).
    noise of PSI: without drift, PSI / (1/n + 1/m) is about chi-squared with cells - 1 degrees of freedom, so its mean is
          (cells - 1)(1/n + 1/m): Yurdakul, "Statistical Properties of Population Stability Index" (2018). The quantile of
          chi-squared is Wilson and Hilferty's cube (1931), 7 % too high for 1 degree, 1 % for 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum, log, log2, sqrt

from platform_assets.core.column_profile import TOP_K, ColumnProfile, Distribution, Kind, TopValues
from platform_assets.core.profile import Profile

# Deciles of the reference: the usual thresholds 0.1 and 0.25 were set on about ten cells, and every further cell adds
# noise in weeks of a hundred rows.
CELLS = 10
# An empty cell counts as this share, or as half a row of the smaller sample: with a fixed tiny floor, a cell that expects
# one row and by chance has none would alone exceed the thresholds.
FLOOR = 1e-4
# One chance in ten thousand: a table of twenty columns has sixty distances, and should cry wolf once in three years.
Z = 3.719
RARE = 9.21  # -ln(1 / 10,000)
# A text column with a new value in more than half of its rows names things; the shares of its values mean nothing.
IDENTIFIER_SHARE = 0.5


@dataclass(frozen=True)
class ColumnDrift:
    """One column's distances. None = nothing to compare, because a side has no value (or has not the column).

    presence: which of the two profiles know the column with this kind of values; "kind" when both do, but differently.
    psi_mean and psi_noise: what PSI is without drift, on average and at most (but for one time in 10,000), from the sample sizes.
    A sample size is at most the table's rows: items of one list are not independent draws. Rows of one household are not
    either, which no profile can tell: then the noise is understated.
    null_rate_change: current minus reference share of nulls and NaN, -1..1.
    new_category_share: share of current values in categories that the reference has not seen, at least. Only the TOP_K
    commonest values are known by name: rows in `other` are never counted as new, and a category missing in a truncated
    reference list is taken to have been as frequent there as it can have been (`TopValues.unlisted`). 0 for numbers with
    more than TOP_K values.
    distribution_judged: False for times (they move on by nature) and for texts that are unique-ish in the reference.
    """

    column: str
    kind: Kind
    presence: str
    reference_values: int
    current_values: int
    psi: float | None = None
    psi_mean: float = 0.0
    psi_noise: float = 0.0
    js: float | None = None
    ks: float | None = None
    null_rate_change: float = 0.0
    null_noise: float = 0.0
    new_category_share: float = 0.0
    new_category_noise: float = 0.0
    distribution_judged: bool = True


def compare(reference: Profile, current: Profile) -> list[ColumnDrift]:
    """The drift of every column that either profile has: the current order first, then what is gone."""
    names = [*current.columns, *(name for name in reference.columns if name not in current.columns)]
    return [_compare_column(name, reference, current) for name in names]


def _compare_column(name: str, reference: Profile, current: Profile) -> ColumnDrift:
    old, new = reference.columns.get(name), current.columns.get(name)
    if old is None or new is None or old.kind != new.kind:
        presence = "kind" if old and new else "reference" if old else "current"
        kind = (new or old).kind  # type: ignore[union-attr]
        return ColumnDrift(name, kind, presence, old.values if old else 0, new.values if new else 0)
    sizes = (min(old.values, reference.rows), min(new.values, current.rows))
    noise = _null_noise(old, new, min(old.rows, reference.rows), min(new.rows, current.rows))
    change = new.null_rate - old.null_rate if old.rows and new.rows else 0.0
    distances = _distances(old, new, sizes) if min(sizes) else {}
    judged = new.kind != "time" and not is_identifier(old)
    return ColumnDrift(
        name,
        new.kind,
        "both",
        old.values,
        new.values,
        null_rate_change=change,
        null_noise=noise,
        distribution_judged=judged,
        **distances,
    )


def _distances(old: ColumnProfile, new: ColumnProfile, sizes: tuple[int, int]) -> dict[str, float]:
    found: dict[str, float] = {}
    if old.distribution and new.distribution:
        cells = number_cells(old.distribution, new.distribution)
        found["ks"] = kolmogorov_smirnov(old.distribution, new.distribution)
    else:
        cells = category_cells(old.top or TopValues(()), new.top or TopValues(()))
    used = sum(1 for p, q in cells if p or q)
    spread = 1 / sizes[0] + 1 / sizes[1]
    floor = max(FLOOR, 0.5 / min(sizes))
    found |= {"psi": population_stability_index(cells, floor), "js": jensen_shannon(cells)}
    found |= {"psi_mean": (used - 1) * spread, "psi_noise": chi_squared_quantile(used - 1) * spread}
    if old.top and new.top:
        found["new_category_share"] = new_category_share(old.top, new.top)
        found["new_category_noise"] = _new_category_noise(old, old.top, *sizes)
    return found


def number_cells(reference: Distribution, current: Distribution) -> list[tuple[float, float]]:
    """(reference share, current share) of each cell, open at both ends; the current mass is read off its own edges.

    Cells end at the reference's deciles. A value that holds more than a cell's worth of the reference is a cell of its
    own: a constant column then notices rows on either side of it.
    """
    cuts = {(edge, True) for edge in reference.quantile_edges(CELLS)}
    for edge, rows in zip(reference.edges, reference.at, strict=True):
        if rows > reference.total / CELLS:
            cuts |= {(edge, False), (edge, True)}
    ordered = sorted(cuts)
    return list(zip(_shares(reference, ordered), _shares(current, ordered), strict=True))


def category_cells(reference: TopValues, current: TopValues) -> list[tuple[float, float]]:
    """(reference share, current share) of each category that either side lists, and of all others together.

    Of a category that a truncated side does not list, nothing is known but the most rows it can have there; after a merge
    the same holds for what a listed count lacks. It is given the possible share closest to the other side's. So truncation
    can hide a drift among rare values, and cannot make one up.
    """
    old, new = _known_shares(reference, current), _known_shares(current, reference)
    cells = [(old[label], new[label]) for label in sorted(old)]
    rest = (max(1.0 - fsum(old.values()), 0.0), max(1.0 - fsum(new.values()), 0.0))
    truncated = reference.other or current.other
    return [*cells, rest] if truncated else cells


def population_stability_index(cells: Sequence[tuple[float, float]], floor: float) -> float:
    """PSI of (reference, current) shares, each raised to `floor` first; 0 or more, without upper bound."""
    raised = [(max(p, floor), max(q, floor)) for p, q in cells]
    return fsum((q - p) * log(q / p) for p, q in raised)


def jensen_shannon(cells: Sequence[tuple[float, float]]) -> float:
    """Jensen-Shannon distance (base 2) of (reference, current) shares; 0..1."""
    halves = [(share, (p + q) / 2) for p, q in cells for share in (p, q) if share]
    return sqrt(max(fsum(share * log2(share / middle) for share, middle in halves) / 2, 0.0))


def kolmogorov_smirnov(reference: Distribution, current: Distribution) -> float:
    """Largest distance of the two distribution functions; between edges both are straight, so edges suffice."""
    points = [(edge, side) for edge in {*reference.edges, *current.edges} for side in (False, True)]
    ends = [(reference.below, current.below), (reference.total - reference.above, current.total - current.above)]
    counts = ends + [(reference.rows_below(*point), current.rows_below(*point)) for point in points]
    return max(abs(old / reference.total - new / current.total) for old, new in counts)


def new_category_share(reference: TopValues, current: TopValues) -> float:
    """Share of current values that the reference cannot have seen; see ColumnDrift for what truncation does to it."""
    known, now = _known_shares(reference, current), dict(current.values)
    listed = {label for label, _ in reference.values}
    return fsum(
        max(count / current.total - known[label], 0.0) for label, count in sorted(now.items()) if label not in listed
    )


def chi_squared_quantile(freedom: int) -> float:
    """The 99.99 % quantile of chi-squared by Wilson and Hilferty; 0 for no degree of freedom."""
    if freedom < 1:
        return 0.0
    return freedom * (1 - 2 / (9 * freedom) + Z * sqrt(2 / (9 * freedom))) ** 3


def is_identifier(column: ColumnProfile) -> bool:
    """Whether a text column has (up to) a new value in more than half of its rows, and more values than the list holds."""
    return column.kind == "text" and column.distinct_upper > max(TOP_K, IDENTIFIER_SHARE * column.values)


def _shares(distribution: Distribution, cuts: Sequence[tuple[float, bool]]) -> list[float]:
    through = [0.0, *(distribution.rows_below(edge, inclusive) for edge, inclusive in cuts), distribution.total]
    return [max(right - left, 0.0) / distribution.total for left, right in pairwise(through)]


def _known_shares(side: TopValues, opposite: TopValues) -> Mapping[str, float]:
    """The shares on one side of every category that either side lists, as near to the opposite's as they can be."""
    shares, goals = ({label: n / each.total for label, n in each.values} for each in (side, opposite))
    raised = {}
    for label in {**shares, **goals}:
        room = (side.short if label in shares else side.unlisted) / side.total
        raised[label] = min(max(goals.get(label, 0.0) - shares.get(label, 0.0), 0.0), room)
    # What is added are rows of `other`, and cannot be more than there are.
    added = fsum(raised.values())
    shrink = min(1.0, side.other / side.total / added) if added else 0.0
    return {label: shares.get(label, 0.0) + more * shrink for label, more in raised.items()}


def _null_noise(old: ColumnProfile, new: ColumnProfile, old_rows: int, new_rows: int) -> float:
    """How far two null rates of one population differ by chance, at most: the pooled two-sample z test."""
    if not old_rows or not new_rows:
        return 0.0
    pooled = (old.null_rate * old_rows + new.null_rate * new_rows) / (old_rows + new_rows)
    return Z * sqrt(pooled * (1 - pooled) * (1 / old_rows + 1 / new_rows))


def _new_category_noise(old: ColumnProfile, top: TopValues, reference_rows: int, rows: int) -> float:
    """The share of unseen categories without drift: Good's estimate (1953), values seen once, plus its sampling error.

    Of values in `other` as many are taken to have been seen once as can have been. A category that holds RARE / n of the
    population escapes n rows by chance (the rule of three, Hanley and Lippman-Hand 1983, at our level).
    """
    listed = sum(1 for _, count in top.values if count == 1)
    once = (listed + min(top.other, max(old.distinct_upper - len(top.values), 0))) / top.total
    return once + Z * sqrt(once / rows) + RARE / min(rows, reference_rows)
