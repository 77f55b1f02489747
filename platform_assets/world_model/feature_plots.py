"""Pictures of the features for people: a map of products, a map of stores, examples of prices.

Drawn from the published files; canvas and colours are core.figures'.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from platform_assets.core.figures import BLUE, GREY, ORANGE, SERIES, blank, horizontal_grid, plain, shorten, to_png
from platform_assets.world_model import singular_vectors

SHOWN_PRODUCTS = 3
_LEGEND = 12


def product_map(products: Path, embeddings: Path) -> bytes:
    """Products by the two directions in which their vectors differ most, coloured by PROD_CODE_40; size: train baskets."""
    table = pq.read_table(products, columns=["prod_code_40", "baskets"])
    vectors = np.load(embeddings)[-table.num_rows :].astype(np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    baskets = table["baskets"].to_numpy()
    sizes = 4 + 60 * np.sqrt(baskets / baskets.max())
    return _map(unit, table["prod_code_40"].to_pylist(), sizes, "Products by whom they are bought with")


def store_map(stores: Path, features: Path) -> bytes:
    """Stores by the two directions in which what they sell, and how, differs most, coloured by format."""
    table = pq.read_table(stores, columns=["store_format", "baskets"])
    # Format and region are the columns before; of the rest habits and assortment.
    rest = np.load(features)[1:, 48:].astype(np.float64)
    sizes = 6 + 60 * np.sqrt(table["baskets"].to_numpy() / table["baskets"].to_numpy().max())
    return _map(rest, table["store_format"].to_pylist(), sizes, "Stores by how they are shopped in and what they sell")


def price_examples(prices: Path) -> bytes:
    """The products whose price moved most often: actual, base and category average over the weeks."""
    table = pq.read_table(prices)
    shown = _most_moved(table)
    figure = blank(1.0 + 2.0 * max(len(shown), 1))
    panels = figure.subplots(max(len(shown), 1), 1, sharex=True, squeeze=False)[:, 0]
    for panel, code in zip(panels, shown, strict=False):
        rows = table.filter(pc.field("prod_code") == code)
        weeks = rows["week_index"].to_numpy()
        panel.step(weeks, rows["actual"].to_numpy(), where="mid", color=BLUE, label="actual")
        panel.plot(weeks, rows["base"].to_numpy(), color=ORANGE, label="base (13 weeks before)")
        panel.plot(weeks, rows["category_average"].to_numpy(), color=GREY, linestyle="--", label="category average")
        panel.set_title(plain(code), fontsize=9)
        horizontal_grid(panel)
    panels[-1].set_xlabel("week of the calendar")
    if shown:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return to_png(figure)


def _most_moved(table: pa.Table) -> list[str]:
    """The products with the most changes of price, in order of code where as many."""
    moved = pa.array(table["actual"].to_numpy() != table["prior"].to_numpy()).cast(pa.int32())
    counts = table.append_column("moved", moved).group_by("prod_code").aggregate([("moved", "sum")])
    ordered = counts.sort_by([("moved_sum", "descending"), ("prod_code", "ascending")])
    return ordered["prod_code"].to_pylist()[:SHOWN_PRODUCTS]


def _map(rows: np.ndarray, groups: Sequence[str | None], sizes: np.ndarray, title: str) -> bytes:
    places = singular_vectors.of_rows(rows - rows.mean(axis=0), 2)
    names = np.array([group or "unknown" for group in groups])
    figure = blank(6.0)
    axes = figure.subplots()
    for index, name in enumerate(sorted(set(names))):
        here = names == name
        label = plain(shorten(name, 24)) if index < _LEGEND else None
        axes.scatter(
            places[here, 0], places[here, 1], s=sizes[here], color=SERIES[index % len(SERIES)],
            marker="osD^"[index // len(SERIES) % 4], alpha=0.6, linewidths=0, label=label,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(plain(title))
    figure.legend(loc="outside lower center", ncols=6, frameon=False)
    return to_png(figure)
