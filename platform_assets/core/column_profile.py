"""What is kept of one column: counts, moments, a distribution function, the commonest values; and how two such merge.

Everything here has a fixed size whatever the column's length, and is arithmetic on plain numbers: no data is read here
(`core.column_scan` does) and nothing is judged here (`core.drift` does).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import fsum, sqrt
from typing import Literal

Kind = Literal["number", "time", "text", "boolean"]
# A hundred steps keep the error of reading between two edges under one percent of the rows, at about 3 kB of JSON.
STEPS = 100
TOP_K = 20


@dataclass(frozen=True)
class Distribution:
    """A column's distribution function: jumps at `edges`, straight lines between them.

    `at[i]` rows equal `edges[i]` (every edge is a value that occurs); `between[i]` rows lie strictly between edges i and
    i + 1. `below` and `above` count the rows at minus and plus infinity. Counts are whole after a scan and become
    fractions when profiles are merged. At edges the function is exact; between two edges it is off by at most the rows
    between them, which the choice of edges (every value, or STEPS quantiles) keeps at one step.
    """

    edges: tuple[float, ...]
    at: tuple[float, ...]
    between: tuple[float, ...]
    below: float = 0.0
    above: float = 0.0

    @property
    def total(self) -> float:
        """Rows with a number, infinities included."""
        return (self._through[-1] if self.edges else self.below) + self.above

    @cached_property
    def _through(self) -> tuple[float, ...]:
        """Rows up to and with each edge."""
        steps = (left + at for left, at in zip((self.below, *self.between), self.at, strict=False))
        return tuple(accumulate(steps))

    def rows_below(self, value: float, inclusive: bool) -> float:
        """How many rows are smaller than `value`, or `<= value` when inclusive."""
        right = bisect_left(self.edges, value)
        on_edge = right < len(self.edges) and self.edges[right] == value
        if on_edge and inclusive:
            return self._through[right]
        if right == 0:
            return self.below
        left = self._through[right - 1]
        if right == len(self.edges):
            return left
        inside = 1.0 if on_edge else _position(self.edges[right - 1], value, self.edges[right])
        return left + self.between[right - 1] * inside

    def quantile_edges(self, steps: int) -> tuple[float, ...]:
        """The edges at or next above the inner quantiles 1/steps .. (steps - 1)/steps, each once, ascending."""
        if not self.edges:
            return ()
        whole = self._through[-1] - self.below
        # A merged total is a sum of fractions: without slack, rounding would move a quantile by an edge.
        ranks = (self.below + whole * step / steps * (1 - 1e-12) for step in range(1, steps))
        return tuple(dict.fromkeys(self.edges[bisect_left(self._through, rank)] for rank in ranks))


@dataclass(frozen=True)
class TopValues:
    """The commonest values with their counts, commonest first (ties by value), and the rows of all others together.

    With `other` 0 this is the whole column. `unlisted` is the most rows that any single value in `other` can have, and
    `short` the most rows that any listed count can lack: 0 after a scan, but after a merge a value lacks its rows of the
    weeks in which it did not make the list (the error bounds of mergeable summaries, Agarwal et al. 2012).
    """

    values: tuple[tuple[str, int], ...]
    other: int = 0
    unlisted: int = 0
    short: int = 0

    @property
    def total(self) -> int:
        """Rows with a value."""
        return self.other + sum(count for _, count in self.values)


@dataclass(frozen=True)
class ColumnProfile:
    """One column, or one leaf of a nested column.

    rows counts list items for a leaf inside a list, and table rows otherwise. nans are numbers that are not a number;
    infinities count as values of the distribution but not in the moments. distinct <= true distinct values <=
    distinct_upper: equal after a scan, bounds after a merge. minimum and maximum: numbers, or ISO 8601 UTC text for times.
    mean and std (population, divided by n): the column's unit; for times, seconds since 1970-01-01 and seconds.
    """

    kind: Kind
    rows: int
    nulls: int
    distinct: int
    distinct_upper: int
    nans: int = 0
    minimum: float | str | None = None
    maximum: float | str | None = None
    mean: float | None = None
    std: float | None = None
    distribution: Distribution | None = None
    top: TopValues | None = None

    @property
    def values(self) -> int:
        """Rows that hold a value: neither null nor NaN."""
        return self.rows - self.nulls - self.nans

    @property
    def null_rate(self) -> float:
        """Share of rows without a value; NaN counts as missing, as it does for every model. 0 for no rows."""
        return (self.nulls + self.nans) / self.rows if self.rows else 0.0


def merge(columns: Sequence[ColumnProfile]) -> ColumnProfile:
    """The profile of all rows of `columns` (at least one, all of one kind) together.

    Counts, minimum, maximum, mean and std are those of the concatenation (Chan, Golub and LeVeque 1983, eq. 2.1, for the
    moments); distinct becomes bounds; the distribution is read between edges; top counts become lower bounds with a stated error.
    """
    tops = [column.top for column in columns if column.top is not None]
    top = merge_top(tops) if len(tops) == len(columns) else None
    labels = {label for each in tops for label, _ in each.values}
    whole = top is not None and all(each.other == 0 for each in tops)
    mean, std = _merge_moments(columns)
    parts = [column.distribution for column in columns if column.distribution is not None]
    return ColumnProfile(
        kind=columns[0].kind,
        rows=sum(column.rows for column in columns),
        nulls=sum(column.nulls for column in columns),
        nans=sum(column.nans for column in columns),
        distinct=max(len(labels), *(column.distinct for column in columns)),
        distinct_upper=len(labels) if whole else sum(column.distinct_upper for column in columns),
        # ISO text of one length sorts like the times themselves.
        minimum=min((column.minimum for column in columns if column.minimum is not None), default=None),  # type: ignore[type-var]
        maximum=max((column.maximum for column in columns if column.maximum is not None), default=None),  # type: ignore[type-var]
        mean=mean,
        std=std,
        distribution=merge_distributions(parts) if parts else None,
        top=top,
    )


def merge_distributions(parts: Sequence[Distribution]) -> Distribution:
    """The sum of the parts' distribution functions, thinned to the edges nearest to STEPS quantiles."""
    edges = tuple(sorted({edge for part in parts for edge in part.edges}))
    merged = _sum_at(parts, edges)
    if len(edges) > STEPS + 1:
        kept = {edges[0], edges[-1], *merged.quantile_edges(STEPS)}
        merged = _sum_at(parts, tuple(sorted(kept)))
    return merged


def merge_top(tops: Sequence[TopValues]) -> TopValues:
    """The TOP_K commonest values by summed counts; all other rows, listed in a part or not, become `other`."""
    parts = [(dict(top.values), top) for top in tops]
    counts: Counter[str] = Counter()
    for listed, _ in parts:
        counts.update(listed)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lacks = {label: sum(top.short if label in listed else top.unlisted for listed, top in parts) for label in counts}
    kept, dropped = ordered[:TOP_K], ordered[TOP_K:]
    return TopValues(
        tuple(kept),
        other=sum(top.total for top in tops) - sum(count for _, count in kept),
        unlisted=max([sum(top.unlisted for top in tops), *(count + lacks[label] for label, count in dropped)]),
        short=max((lacks[label] for label, _ in kept), default=0),
    )


def _sum_at(parts: Sequence[Distribution], edges: tuple[float, ...]) -> Distribution:
    before = [fsum(part.rows_below(edge, inclusive=False) for part in parts) for edge in edges]
    through = [fsum(part.rows_below(edge, inclusive=True) for part in parts) for edge in edges]
    return Distribution(
        edges,
        at=tuple(after - until for until, after in zip(before, through, strict=True)),
        # Two sums of the same fractions may differ in the last bit where nothing lies between.
        between=tuple(max(until - after, 0.0) for after, until in zip(through, before[1:], strict=False)),
        below=fsum(part.below for part in parts),
        above=fsum(part.above for part in parts),
    )


def _merge_moments(columns: Sequence[ColumnProfile]) -> tuple[float | None, float | None]:
    known = [(_finite(column), column.mean, column.std) for column in columns if column.mean is not None]
    moments = [(count, mean, std or 0.0) for count, mean, std in known if mean is not None]
    if not moments:
        return None, None
    whole = fsum(count for count, _, _ in moments)
    mean = fsum(count / whole * mean for count, mean, _ in moments)
    mean = min(max(mean, min(each for _, each, _ in moments)), max(each for _, each, _ in moments))
    # Divided before squaring: a column that holds 1e200 must not overflow.
    scale = max((max(std, abs(each / 2 - mean / 2)) for _, each, std in moments), default=0.0)
    if scale == 0.0:
        return mean, 0.0
    spread = fsum(
        count / whole * ((std / scale) ** 2 + 4 * ((each / 2 - mean / 2) / scale) ** 2) for count, each, std in moments
    )
    return mean, scale * sqrt(spread)


def _finite(column: ColumnProfile) -> float:
    infinite = column.distribution.below + column.distribution.above if column.distribution else 0.0
    return column.values - infinite


def _position(low: float, value: float, high: float) -> float:
    # Halved first: the difference of two finite numbers may overflow.
    return (value / 2 - low / 2) / (high / 2 - low / 2)
