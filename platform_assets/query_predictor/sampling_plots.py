"""Pictures of a week's sample for people: who was drawn how likely, and how many rows each split has.

Drawn from the published files; canvas and colours are core.figures'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from platform_assets.core.figures import BLUE, ORANGE, VERMILION, blank, horizontal_grid, to_png
from platform_assets.core.plots import count_plot
from platform_assets.query_predictor.documented_keys import BoundarySampling
from platform_assets.query_predictor.inclusion import boundary_weight

# Beyond 1 the probability stays the same; where the rest of the rows lie says nothing more.
SHOWN_DISTANCE = 1.5
_BINS = 30


def inclusion(train: Path, report: Mapping[str, Any], options: BoundarySampling) -> bytes:
    """Inclusion probability of light queries by their distance to a threshold: the law, and each row that was drawn.

    Below it how many rows were drawn at which distance; what lies beyond the last one is counted there.
    """
    table = pq.read_table(train, columns=["is_heavy", "boundary_distance", "inclusion_probability"])
    heavy = table["is_heavy"].to_numpy()
    distance = np.minimum(table["boundary_distance"].to_numpy(), SHOWN_DISTANCE)
    figure = blank(5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    law = np.linspace(0, SHOWN_DISTANCE, 301)
    chances = [min(1.0, report["k"] * boundary_weight(each, options)) for each in law.tolist()]
    above.plot(law, chances, color=ORANGE, label="min(1, k * weight)")
    drawn = table["inclusion_probability"].to_numpy()[~heavy]
    above.scatter(distance[~heavy], drawn, s=10, color=BLUE, alpha=0.4, linewidths=0, label="light queries drawn")
    above.set_ylabel("inclusion probability")
    above.set_ylim(0, 1.15 * max(chances))
    bins = np.linspace(0, SHOWN_DISTANCE, _BINS + 1)
    below.hist([distance[~heavy], distance[heavy]], bins.tolist(), stacked=True, color=[BLUE, VERMILION])
    below.set_ylabel("rows of train")
    below.set_xlabel(f"distance to the nearer threshold, as a part of it ({SHOWN_DISTANCE} and beyond)")
    for axes in (above, below):
        horizontal_grid(axes)
    above.plot([], [], "s", color=VERMILION, label="heavy queries (always there)")
    figure.suptitle(f"Train: {int((~heavy).sum())} light queries drawn beside {int(heavy.sum())} heavy ones")
    figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return to_png(figure)


def rows_by_split(report: Mapping[str, Any]) -> bytes:
    """Light and heavy rows of each split."""
    names = list(report["rows"])
    series = {label: [report["rows"][name][label] for name in names] for label in ("light", "heavy")}
    return count_plot(names, series, "Rows by split", "rows")
