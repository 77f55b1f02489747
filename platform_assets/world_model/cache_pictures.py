"""Pictures of a tensor cache for people: baskets by week, and how long baskets are. Drawn by `core.plots`."""

from __future__ import annotations

import numpy as np

from platform_assets.core.plots import count_plot
from platform_assets.world_model import tensor_layout as layout
from platform_assets.world_model.tensor_cache import TensorCache

# Longer baskets share the last bar.
LONGEST_SHOWN = 50


def baskets_by_week(cache: TensorCache) -> bytes:
    """PNG: a bar a week, coloured by split."""
    series = {name: np.bincount(cache.split(name).week, minlength=len(cache.weeks)).tolist() for name in layout.SPLITS}
    return count_plot(cache.weeks, series, "Baskets by week", "baskets")


def baskets_by_length(cache: TensorCache) -> bytes:
    """PNG: a bar for each number of products, coloured by split."""
    labels = [*map(str, range(1, LONGEST_SHOWN)), f"{LONGEST_SHOWN}+"]
    series = {}
    for name in layout.SPLITS:
        lengths = np.minimum(cache.split(name).lengths, LONGEST_SHOWN)
        series[name] = np.bincount(lengths, minlength=LONGEST_SHOWN + 1)[1:].tolist()
    return count_plot(labels, series, "Baskets by number of products", "baskets")
