"""Pictures for people, from plain data to PNG bytes: drift, one column's distribution, counts over time.

What is drawn belongs here; canvas, colours and encoding are `core.figures`. The same data gives the same bytes with the
same matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_assets.core.distribution_axes import draw_distribution
from platform_assets.core.drift import ColumnDrift
from platform_assets.core.drift_verdict import Level, Measure, Thresholds, measures, worst
from platform_assets.core.figures import (
    BLACK,
    BLUE,
    DARK,
    GREY,
    ORANGE,
    SERIES,
    VERMILION,
    blank,
    horizontal_grid,
    plain,
    shorten,
    to_png,
)
from platform_assets.core.profile import Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_COLUMNS = 20
# PSI has no upper bound; beyond this everything is far off, and one column must not flatten the others.
PSI_SHOWN = 1.0
BAR_POINTS = 11.0  # 0.7 of a row of 0.22 inches
_LEVELS: dict[Level, str] = {"ok": BLUE, "warn": ORANGE, "fail": VERMILION}
_PANELS = (("PSI", "PSI"), ("null rate change", "null rate change"), ("new category share", "new categories"))


def drift_plot(drifts: Sequence[ColumnDrift], thresholds: Thresholds, title: str) -> bytes:
    """The columns closest to or beyond their limits: PSI, absolute change of the null rate, share of new categories.

    Dashed lines are the thresholds; the black tick of a row is where this column warns, which is higher in small samples.
    Columns that are new, gone or of another kind have no bars, and say so. Grey: shown, but not judged.
    """
    shown = worst(drifts, thresholds, count=SHOWN_COLUMNS)[::-1]
    # 20 rows: 630 pixels, which the UI shows in its dialog without scrolling.
    figure = blank(1.9 + 0.22 * max(len(shown), 1))
    axes = figure.subplots(1, 3, sharey=True, width_ratios=(5, 3, 3))
    for panel, (measure, label), (warn, fail) in zip(axes, _PANELS, _limits(thresholds), strict=True):
        _drift_panel(panel, shown, measure, thresholds)
        panel.axvline(warn, color=ORANGE, linestyle="--", linewidth=1, zorder=0)
        panel.axvline(fail, color=VERMILION, linestyle="--", linewidth=1, zorder=0)
        panel.set_xlabel(f"{label}\n(warn {warn:g}, fail {fail:g})")
    names = [plain(shorten(drift.column, 38)) for drift in shown] or ["no column"]
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(-0.7, len(names) - 0.3)
    figure.suptitle(plain(title))
    _level_legend(figure)
    return to_png(figure)


def distribution_plot(reference: Profile, current: Profile, column: str) -> bytes:
    """One column in both profiles: shares of rows by value range, or by category. Raises KeyError for an unknown column.

    A histogram covers the inner 98 % of both sides; its outermost bars hold all that lies beyond. A category that a side
    does not list is drawn with the share that PSI takes it to have (`drift.category_cells`).
    """
    old, new = reference.columns[column], current.columns[column]
    figure = blank(4.2)
    axes = figure.subplots()
    draw_distribution(axes, old, new)
    figure.suptitle(plain(f"{column}: reference and current"))
    return to_png(figure)


def count_plot(labels: Sequence[str], series: Mapping[str, Sequence[float]], title: str, y_label: str) -> bytes:
    """Stacked bars, one per label (a day, a week), one colour per series; all series are as long as `labels`.

    Raises ValueError for a series of another length, or with a negative value: bars would cover one another.
    """
    for name, values in series.items():
        if len(values) != len(labels) or any(value < 0 for value in values):
            raise ValueError(f"series {name!r} must have {len(labels)} values of 0 or more")
    figure = blank(4.2)
    axes = figure.subplots()
    highest = _stack(axes, labels, series)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.12g}")
    axes.set_ylabel(plain(y_label))
    axes.set_ylim(0, highest * 1.05 or 1.0)
    horizontal_grid(axes)
    figure.suptitle(plain(title))
    if series:
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return to_png(figure)


def _stack(axes: Axes, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> float:
    """Draw the bars; the height of the highest, 0 for none."""
    floor = [0.0] * len(labels)
    for index, (name, values) in enumerate(series.items()):
        # Colours repeat after eight series; the hatch keeps the ninth apart from the first.
        style: dict[str, Any] = {
            "color": SERIES[index % len(SERIES)],
            "hatch": ("", "//", "..")[index // len(SERIES) % 3],
        }
        axes.bar(
            range(len(labels)), values, bottom=floor, width=0.8, label=plain(name), edgecolor="white", lw=0.4, **style
        )
        floor = [below + value for below, value in zip(floor, values, strict=True)]
    step = max(1, -(-len(labels) // 16))
    turned = {"rotation": 30, "ha": "right"} if any(len(label) > 5 for label in labels) else {}
    axes.set_xticks(range(0, len(labels), step), [plain(shorten(label, 24)) for label in labels[::step]], **turned)
    return max(floor, default=0.0)


def _limits(thresholds: Thresholds) -> tuple[tuple[float, float], ...]:
    """(warn, fail) in the order of _PANELS."""
    return (
        (thresholds.warn_psi, thresholds.fail_psi),
        (thresholds.warn_null, thresholds.fail_null),
        (thresholds.warn_new, thresholds.fail_new),
    )


def _drift_panel(axes: Axes, shown: Sequence[ColumnDrift], name: str, thresholds: Thresholds) -> None:
    bound = PSI_SHOWN if name == "PSI" else 1.0
    values = [_value(drift, name) for drift in shown]
    limits = [measure.fail for drift in shown if (measure := _measure(drift, name, thresholds))]
    right = min(max([*(value or 0.0 for value in values), *limits, 0.3]) * 1.25, bound * 1.2)
    bars = [(row, drift, value) for row, (drift, value) in enumerate(zip(shown, values, strict=True))]
    drawn = [(row, value, _measure(drift, name, thresholds)) for row, drift, value in bars if value is not None]
    _draw_bars(axes, drawn, right)
    for row, value, measure in drawn:
        if value >= 0.005:
            # Right of the tick, or the tick would strike the number out.
            _bar_label(axes, row, value, max(value, measure.warn) if measure else value, right)
    for row, drift, value in bars:
        if value is None and name == "PSI":
            axes.text(right * 0.02, row, _absence(drift), va="center", fontsize=8, color=DARK)
    axes.set_xlim(0, right)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_bars(axes: Axes, drawn: Sequence[tuple[int, float, Measure | None]], right: float) -> None:
    """Bars and ticks as one collection of lines each: a patch for each bar takes several times as long."""
    colors = [_LEVELS[measure.level] if measure else GREY for _, _, measure in drawn]
    ends = [min(value, right) for _, value, _ in drawn]
    axes.hlines([row for row, _, _ in drawn], 0, ends, colors=colors, linewidth=BAR_POINTS)
    ticks = [(row, min(measure.warn, right)) for row, _, measure in drawn if measure]
    rows = [row for row, _ in ticks]
    low, high = [row - 0.35 for row in rows], [row + 0.35 for row in rows]
    axes.vlines([where for _, where in ticks], low, high, color=BLACK, linewidth=1.5)


def _bar_label(axes: Axes, row: int, value: float, end: float, right: float) -> None:
    inside = end > right * 0.75
    where = min(end, right) + right * (-0.02 if inside else 0.02)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    axes.text(
        where, row, f"{value:.2f}", va="center", ha="right" if inside else "left", fontsize=8, color=BLACK, bbox=box
    )


def _value(drift: ColumnDrift, name: str) -> float | None:
    if drift.presence != "both":
        return None
    if name == "null rate change":
        return abs(drift.null_rate_change)
    return drift.psi if name == "PSI" else drift.new_category_share


def _measure(drift: ColumnDrift, name: str, thresholds: Thresholds) -> Measure | None:
    return next((each for each in measures(drift, thresholds) if each.name == name), None)


def _absence(drift: ColumnDrift) -> str:
    words = {"reference": "gone", "current": "new", "kind": "another kind of values"}
    return words.get(drift.presence, "no value on one side")


def _level_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Patch(color=color, label=level) for level, color in _LEVELS.items()]
    handles.append(Patch(color=GREY, label="not judged"))
    tick = Line2D([], [], color=BLACK, marker="|", linestyle="none", markersize=10, markeredgewidth=1.5)
    tick.set_label("warns from here at this sample size")
    figure.legend(handles=[*handles, tick], loc="outside lower center", ncols=5, frameon=False)
