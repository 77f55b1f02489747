"""Pictures of an evaluation, from its summary to PNG bytes: by week and hour, all rankers, the auxiliary tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from platform_assets.core.figures import BLUE, DARK, GREY, ORANGE, SERIES, blank, horizontal_grid, plain, to_png
from platform_assets.world_model.judgement import BASELINE, CANDIDATE, HIT_AT_1, HIT_AT_5

_NAMES = {CANDIDATE: "model", BASELINE: "mixture"}
_LINES = 6
_BROKEN = {HIT_AT_5: "--", HIT_AT_1: ":"}


def pictures(summary: Mapping[str, Any]) -> dict[str, bytes]:
    """File name -> PNG."""
    found = {
        "hit_at_10_by_week.png": lines(summary, "week", "first day of the week", (HIT_AT_5, HIT_AT_1)),
        "hit_at_10_by_hour.png": lines(summary, "hour", "hour"),
        "rankers.png": rankers(summary),
    }
    if summary["auxiliary"]:
        found["auxiliary.png"] = auxiliary(summary)
    return found


def lines(summary: Mapping[str, Any], by: str, label: str, also: Sequence[str] = ()) -> bytes:
    """hit@10 of the model and the best baselines by week or by hour; behind them how many baskets there are.

    `also` names other metrics of the model, drawn broken in its colour.
    """
    table = summary["tables"][by]
    figure = blank(4.0)
    axes = figure.subplots()
    places = range(len(table))
    behind = axes.twinx()
    behind.bar(places, [each["baskets"] for each in table.values()], color=GREY, alpha=0.4, width=0.8)
    behind.set_ylabel("baskets")
    behind.spines[["top"]].set_visible(False)
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    for index, name in enumerate(_best(summary)[:_LINES]):
        values = [each[f"{name}_hit_at_10"] for each in table.values()]
        axes.plot(places, values, "o-", color=SERIES[index], markersize=3, linewidth=1.5, label=_NAMES.get(name, name))
    for metric in also:
        values = [each[f"{CANDIDATE}_{metric}"] for each in table.values()]
        axes.plot(places, values, _BROKEN[metric], color=SERIES[0], linewidth=1.5, label=f"model, {_at(metric)}")
    step = max(1, -(-len(table) // 12))
    turned = {"rotation": 30, "ha": "right"} if by == "week" else {}
    axes.set_xticks(list(places)[::step], list(table)[::step], **turned)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(label)
    axes.set_ylabel("share of hidden products found")
    metrics = ", ".join(["hit@10", *map(_at, also)])
    axes.set_title(f"{metrics} by {by}, {summary['rows']:,} baskets", fontsize=10)
    figure.legend(loc="outside lower center", ncols=_LINES, frameon=False, fontsize=8)
    horizontal_grid(axes)
    return to_png(figure)


def rankers(summary: Mapping[str, Any]) -> bytes:
    """hit@10 of all rankers with their 95 % intervals by customer."""
    names = _best(summary)[::-1]
    intervals = summary["hit_at_10_intervals"]
    figure = blank(1.4 + 0.36 * len(names))
    axes = figure.subplots()
    for row, name in enumerate(names):
        found = intervals[name]
        axes.barh(row, found["mean"], color={CANDIDATE: BLUE, BASELINE: ORANGE}.get(name, GREY), height=0.7)
        axes.plot([found.get("low", found["mean"]), found.get("high", found["mean"])], [row, row], color=DARK)
        axes.annotate(f"{found['mean']:.3f}", (found.get("high", found["mean"]), row), (4, -3), textcoords="offset points",
                      fontsize=8, color=DARK)  # fmt: skip
    axes.set_yticks(range(len(names)), [plain(_NAMES.get(name, name)) for name in names])
    axes.set_xlabel("hit@10 of a hidden product, with 95 % intervals by customer")
    axes.set_title(f"{summary['rows']:,} baskets of {summary['split']} weeks", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def auxiliary(summary: Mapping[str, Any]) -> bytes:
    """Share of right classes by task: model, look-up, majority."""
    tasks = summary["auxiliary"]
    sides = {"model": BLUE, "look_up": ORANGE, "majority": GREY}
    figure = blank(3.6)
    axes = figure.subplots()
    for index, (side, colour) in enumerate(sides.items()):
        there = [(place, each[side]) for place, each in enumerate(tasks.values()) if side in each]
        bars = axes.bar(
            [place + (index - 1) * 0.27 for place, _ in there],
            [share for _, share in there],
            0.25,
            color=colour,
            label=side.replace("_", "-"),
        )
        axes.bar_label(bars, fmt="%.3f", fontsize=8, padding=1)
    axes.set_xticks(range(len(tasks)), [plain(name.replace("_", " ")) for name in tasks])
    axes.set_ylim(0, 1.05)
    axes.set_title("auxiliary tasks: share of baskets whose class is right", fontsize=10)
    axes.legend(frameon=False, fontsize=8, ncols=3)
    horizontal_grid(axes)
    return to_png(figure)


def _at(metric: str) -> str:
    return metric.replace("_at_", "@")


def _best(summary: Mapping[str, Any]) -> list[str]:
    """The model, the mixture, then the others, the best first."""
    others = sorted(summary["rankers"].items(), key=lambda pair: -pair[1]["hit_at_10"])
    return [CANDIDATE, BASELINE, *(name for name, _ in others if name not in (CANDIDATE, BASELINE))]
