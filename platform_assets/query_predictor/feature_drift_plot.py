"""The picture of a drift: the features nearest to or beyond their limits, each beside its own limit.

What does not belong here: distances and limits (`feature_drift`); canvas and colours are `core.figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from platform_assets.core.figures import BLACK, BLUE, VERMILION, blank, plain, shorten, to_png

if TYPE_CHECKING:
    from platform_assets.query_predictor.feature_drift import Drift

SHOWN = 20
# PSI has no upper bound; beyond twice its limit everything is far off, and one feature must not flatten the others.
MOST_SHOWN = 2.0


def draw(drift: Drift, title: str) -> bytes:
    """PNG: PSI as a share of the feature's limit, worst on top; what the bar stands for is written beside it."""
    shown = sorted(drift.distances, key=lambda each: (each.psi / each.limit, each.name))[-SHOWN:]
    figure = blank(1.6 + 0.22 * max(len(shown), 1))
    axes = figure.subplots()
    shares = [min(each.psi / each.limit, MOST_SHOWN) for each in shown]
    axes.barh(range(len(shown)), shares, color=[VERMILION if each.is_beyond else BLUE for each in shown], height=0.7)
    for row, (each, share) in enumerate(zip(shown, shares, strict=True)):
        axes.text(share + 0.02, row, f"PSI {each.psi:.2f} of {each.limit:.2f}", va="center", fontsize=8)
    axes.axvline(1.0, color=BLACK, linestyle="--", linewidth=1)
    names = [plain(shorten(each.name, 38)) for each in shown] or ["nothing to compare"]
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, MOST_SHOWN * 1.25)
    axes.set_xlabel("PSI as a share of the feature's limit (dashed: the limit)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(plain(title))
    return to_png(figure)
