"""Pictures of a comparison: how the policies score side by side, and where the differences lie against their margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from platform_assets.core.figures import (
    BLUE,
    DARK,
    GREEN,
    GREY,
    ORANGE,
    SERIES,
    VERMILION,
    blank,
    horizontal_grid,
    plain,
    to_png,
)
from platform_assets.core.verdict import Bounds, MetricResult, Requirement, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"pass": GREEN, "fail": VERMILION, "inconclusive": ORANGE}


def verdict_plot(verdict: Verdict, title: str) -> bytes:
    """Each metric's difference with its 90 % interval, in units of its margin: passed is wholly right of the dashed line.

    Grey: reported or anchored, does not count. Metrics without a bound (too few clusters) have a point only. What is required of
    the candidate whatever the baseline does stands below.
    """
    shown = [each for each in verdict.metrics if each.bounds is not None and each.bounds.margin > 0][::-1]
    heights = [0.4 * max(1, len(shown)), 0.26 * len(verdict.requirements)]
    figure = blank(1.6 + sum(heights))
    if verdict.requirements:
        axes, below = figure.subplots(2, 1, height_ratios=[1.1 + heights[0], heights[1]])
        _requirements(below, verdict.requirements)
    else:
        axes = figure.subplots()
    for row, result in enumerate(shown):
        _metric(axes, row, result)
    axes.axvline(-1, color=VERMILION, linestyle="--", linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1, zorder=0)
    axes.set_yticks(range(len(shown)), [plain(f"{each.metric.name} ({each.status})") for each in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("candidate - baseline, more is better, in margins (-1: the most that may be lost)")
    axes.set_title(plain(f"{title}\n{verdict.outcome}; {verdict.label}"), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def _metric(axes: Axes, row: int, result: MetricResult) -> None:
    bounds: Bounds = result.bounds  # pyright: ignore[reportAssignmentType] - filtered by the caller
    colour = _COLOURS.get(result.status, GREY)
    if bounds.lower is not None and bounds.upper is not None:
        axes.plot([bounds.lower / bounds.margin, bounds.upper / bounds.margin], [row, row], color=colour, linewidth=3)
    place = bounds.estimate / bounds.margin
    axes.plot(place, row, "o", color=colour)
    axes.annotate(f"{bounds.estimate:+.4f}", (place, row), (0, 7), textcoords="offset points",
                  ha="center", fontsize=8, color=DARK)  # fmt: skip


def _requirements(axes: Axes, requirements: Sequence[Requirement]) -> None:
    """A line each: what was found, what is demanded, and a square of the status's colour; grey, it does not block."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(requirements) - 0.4, -0.6)
    for row, each in enumerate(requirements):
        axes.plot(0.02, row, "s", color=_COLOURS[each.status] if each.blocks else GREY, clip_on=False)
        found, limit = ("none" if number is None else f"{number:.4f}" for number in (each.value, each.limit))
        told = f"required: {each.name} {each.word} ({found}; limit {limit})"
        axes.text(0.04, row, plain(told), fontsize=8, color=DARK, va="center")


def means_plot(means: Mapping[str, Mapping[str, float]], title: str) -> bytes:
    """Side -> metric -> mean as groups of bars; for metrics between 0 and 1."""
    names = [name for name, value in next(iter(means.values()), {}).items() if 0 <= value <= 1]
    figure = blank(3.6)
    axes = figure.subplots()
    width = 0.8 / max(1, len(means))
    for index, (side, values) in enumerate(means.items()):
        offset = (index - (len(means) - 1) / 2) * width
        heights = [values.get(name, 0.0) for name in names]
        colour = (BLUE, ORANGE, *SERIES[2:])[index % len(SERIES)]
        bars = axes.bar(
            [position + offset for position in range(len(names))],
            heights,
            width * 0.92,
            label=plain(side),
            color=colour,
        )
        axes.bar_label(bars, fmt="%.3f", fontsize=7, padding=1)
    axes.set_xticks(range(len(names)), [plain(name.replace("_", "\n")) for name in names], fontsize=8)
    axes.set_title(plain(title), fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    horizontal_grid(axes)
    return to_png(figure)
