"""The README's pictures: pages of the data of `make demo-all`, photographed while `make ui` runs (`make screenshots`).

    python -m platform_assets_tests.end_to_end.screenshots --week 2026-02-27

The pages are those that test_ui.py opens; which they are and what must stand on them is said in browser.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import expect

from platform_assets_tests.end_to_end import browser

IMAGES = Path(__file__).parents[2] / "docs" / "images"
ASSETS = 9
# Where the boxes stand in the large window that they need to be drawn whole.
GRAPH = (560, 800, 2880, 1520)
WORLD_MODEL_ASSETS, WORLD_MODEL_GRAPH = 11, (400, 670, 3040, 1660)
QUERY_PREDICTOR_ASSETS, QUERY_PREDICTOR_GRAPH = 9, (390, 770, 3060, 1560)


def main() -> None:
    """Write every picture, and print where and how large it is."""
    parser = argparse.ArgumentParser(description="Photograph the demo's pages for the README.")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="address of Dagster's web server")
    parser.add_argument("--week", default="2026-02-27", help="a week of the demo that has trailing weeks")
    arguments = parser.parse_args()
    if browser.find_chromium() is None:
        raise SystemExit(browser.NO_CHROMIUM)
    with browser.opened(arguments.url.rstrip("/")) as window:
        _photograph(window, arguments.week)
        window.expect_health()
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.relative_to(IMAGES.parents[1])}  {path.stat().st_size / 1000:.0f} kB")


def _photograph(window: browser.Window, week: str) -> None:
    browser.open_asset_graph(window, ASSETS, "5 / 5 Passed", "9 partitions")
    window.screenshot(IMAGES / "asset_graph.png", GRAPH)
    _open_lineage(window, "world_model", WORLD_MODEL_ASSETS, "tensor_cache", "PyTorch", "60 partitions")
    window.screenshot(IMAGES / "world_model_graph.png", WORLD_MODEL_GRAPH)
    _open_lineage(window, "query_predictor", QUERY_PREDICTOR_ASSETS, "training_sample", "XGBoost", "63 partitions")
    window.screenshot(IMAGES / "query_predictor_graph.png", QUERY_PREDICTOR_GRAPH)
    browser.open_partition(window, "planner/dataset", week, "summary", "mlflow_run")
    window.screenshot(IMAGES / "partition.png")
    browser.open_check(window, "planner/events", "quarantine_share", week, "Passed")
    window.screenshot(IMAGES / "check.png")
    browser.open_drift_plot(window, week)
    window.screenshot(IMAGES / "drift_plot.png")
    browser.close_dialog(window)


def _open_lineage(window: browser.Window, location: str, assets: int, *texts: str) -> None:
    """A location's lineage, in the same large window."""
    window.open(f"/locations/{location}/asset-groups/{location}/lineage")
    window.expect_texts("policy_version", *texts)
    expect(window.page.get_by_text("Asset checks", exact=True)).to_have_count(assets)
    expect(window.page.get_by_text("Loading")).to_have_count(0)


if __name__ == "__main__":
    main()
