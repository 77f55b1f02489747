"""One column in two profiles, drawn side by side on given axes: bars per category, or a histogram.

Everything is read off the profiles; the picture around the axes is `core.plots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from platform_assets.core.column_profile import ColumnProfile, Distribution
from platform_assets.core.drift import category_cells
from platform_assets.core.figures import BLUE, GREY, horizontal_grid, plain, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HISTOGRAM_BINS = 30
SHOWN_CATEGORIES = 20


def draw_distribution(axes: Axes, old: ColumnProfile, new: ColumnProfile) -> None:
    """Shares of the reference (grey) and the current (blue) values; where they cannot be compared, a sentence why."""
    if not old.values or not new.values or old.kind != new.kind:
        axes.text(0.5, 0.5, _nothing_to_show(old, new), ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
    elif old.top is not None and new.top is not None:
        _category_bars(axes, old, new)
    elif old.distribution is not None and new.distribution is not None:
        _histogram(axes, old, new)


def _category_bars(axes: Axes, old: ColumnProfile, new: ColumnProfile) -> None:
    assert old.top is not None and new.top is not None  # noqa: PT018
    cells = category_cells(old.top, new.top)
    # In this order, `category_cells` gives the labels, and all others after them.
    labels = sorted({label for side in (old.top, new.top) for label, _ in side.values})
    shares = dict(zip(labels, cells, strict=False))
    shown = sorted(labels, key=lambda label: (-max(shares[label]), label))[:SHOWN_CATEGORIES]
    if old.kind == "number":
        shown.sort(key=float)
    for side, color, name in ((0, GREY, "reference"), (1, BLUE, "current")):
        places = [x - 0.2 + 0.4 * side for x in range(len(shown))]
        heights = [100 * shares[label][side] for label in shown]
        axes.bar(places, heights, width=0.4, color=color, label=_sized(name, (old, new)[side]))
    turned = {"rotation": 30, "ha": "right"} if old.kind != "number" else {}
    axes.set_xticks(range(len(shown)), [plain(shorten(label, 24)) for label in shown], **turned)
    # As a bar, the rest of a column of thousands of values would flatten all others.
    rest = [100 * (1 - sum(shares[label][side] for label in shown)) for side in (0, 1)]
    others = f" (all others: {rest[0]:.1f} % in the reference, {rest[1]:.1f} % now)" if max(rest) > 0.05 else ""
    axes.set_xlabel(f"value{others}")
    _finish_shares(axes)


def _histogram(axes: Axes, old: ColumnProfile, new: ColumnProfile) -> None:
    assert old.distribution is not None and new.distribution is not None  # noqa: PT018
    edges = _histogram_edges(old.distribution, new.distribution)
    shown: list[Any] = (
        [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=x) for x in edges] if old.kind == "time" else edges
    )
    heights = [_bin_shares(side, edges) for side in (old.distribution, new.distribution)]
    axes.stairs(heights[0], shown, fill=True, color=GREY, label=_sized("reference", old))
    axes.stairs(heights[1], shown, color=BLUE, linewidth=2, label=_sized("current", new))
    axes.set_xlabel("time, UTC" if old.kind == "time" else "value (outermost bars: all beyond)")
    _finish_shares(axes)


def _histogram_edges(*sides: Distribution) -> list[float]:
    """Ends of HISTOGRAM_BINS bins of one width, from the lowest 1 % to the highest 99 % of either side."""
    ends = [side.quantile_edges(100) for side in sides if side.edges]
    if not ends:
        return [-0.5, 0.5]
    low, high = min(each[0] for each in ends), max(each[-1] for each in ends)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return [low + (high - low) * step / HISTOGRAM_BINS for step in range(HISTOGRAM_BINS + 1)]


def _bin_shares(side: Distribution, edges: Sequence[float]) -> list[float]:
    """Percent of the side's values per bin [left, right), what lies beyond the ends included."""
    below = [0.0, *(side.rows_below(edge, inclusive=False) for edge in edges[1:-1]), side.total]
    return [100 * (right - left) / side.total for left, right in pairwise(below)]


def _finish_shares(axes: Axes) -> None:
    axes.set_ylabel("share of values, %")
    axes.legend(frameon=False)
    horizontal_grid(axes)


def _sized(name: str, column: ColumnProfile) -> str:
    return f"{name} ({column.values:,} values, {column.null_rate:.1%} null)"


def _nothing_to_show(old: ColumnProfile, new: ColumnProfile) -> str:
    if old.kind != new.kind:
        return f"{old.kind} in the reference, {new.kind} now"
    return "no value in the " + " and the ".join(
        name for name, column in (("reference", old), ("current rows", new)) if not column.values
    )
