"""A real browser on the Dagster UI: Debian's Chromium driven through Playwright, and the pages a planner engineer opens.

Each page function opens its page and waits for what must be readable there; it fails when it is not. Tests and
`screenshots.py` share them. Which state the pages show belongs to the callers.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image
from playwright.sync_api import ConsoleMessage, Locator, Page, Response, expect, sync_playwright

NO_CHROMIUM = "no chromium that starts on this machine: as root on Debian, `make chromium` installs it"
WIDTH, HEIGHT = 1400, 900
PATIENCE_MS = 90_000
# No sandbox: tests run as root in containers. The rest keeps the browser from speaking to anybody but the web server.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
COLORS = 128


@dataclass
class Window:
    """One window of the browser on one web server; `problems` collects what its console and its requests complained of."""

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a page of the web server."""
        self.page.goto(f"{self.address}{path}", wait_until="domcontentloaded")

    def expect_texts(self, *texts: str) -> None:
        """Wait until each text stands on the page as an element's whole text, visibly."""
        for text in texts:
            expect(self.page.get_by_text(text, exact=True).filter(visible=True).first).to_be_visible()

    def expect_health(self) -> None:
        """No dialog, no error in the console, no request refused."""
        expect(self.page.get_by_role("dialog")).to_have_count(0)
        assert self.problems == []

    def screenshot(self, target: Path, part: tuple[int, int, int, int] | None = None) -> None:
        """Write the window, or its part (left, top, right, bottom), as a PNG of few colours, which a README can carry."""
        picture = Image.open(io.BytesIO(self.page.screenshot(animations="disabled"))).convert("RGB").crop(part)
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.quantize(COLORS, dither=Image.Dither.NONE).save(target, format="PNG", optimize=True)


@cache
def find_chromium() -> str | None:
    """Path of Debian's browser; None where there is none, or only the stub that asks for another installer."""
    path = shutil.which("chromium")
    works = path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0
    return path if works else None


@contextmanager
def opened(address: str) -> Iterator[Window]:
    """A window of a fresh browser profile. The address has no slash at its end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, timezone_id="UTC")
            context.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            window = Window(context.new_page(), address)
            _listen(window)
            yield window
        finally:
            browser.close()


def open_asset_graph(window: Window, assets: int, *texts: str) -> None:
    """The planner's lineage, each asset a box with its kinds, checks and partitions; `texts` must stand on it."""
    # Nine boxes: in a smaller window they are drawn without kinds and checks until somebody zooms in.
    window.page.set_viewport_size({"width": 3200, "height": 2200})
    window.open("/locations/planner/asset-groups/planner/lineage")
    window.expect_texts(
        "events", "quarantined_events", "enriched_plans", "dataset", "policy_version", "Postgres", "DuckDB"
    )
    expect(window.page.get_by_text("Asset checks", exact=True)).to_have_count(assets)
    expect(window.page.get_by_text("Loading")).to_have_count(0)
    window.expect_texts(*texts)


def open_partition(window: Window, asset: str, partition: str, *texts: str) -> None:
    """An asset's partition with its metadata; `texts` must stand on it."""
    window.open(f"/assets/{asset}?view=partitions&partition={partition}")
    window.expect_texts("Latest materialization", partition, "Materialized", "digest", *texts)


def open_check(window: Window, asset: str, check: str, partition: str, *texts: str) -> None:
    """A check's evaluation of one partition, reached as a person does: the check, its partitions, the partition."""
    window.open(f"/assets/{asset}?view=checks&checkDetail={check}")
    window.expect_texts(check, "Evaluation result")
    window.page.get_by_role("tab", name="Partitions").last.click()
    # The first such text is the end of the time line's axis.
    window.page.get_by_text(partition, exact=True).filter(visible=True).last.click()
    window.expect_texts("Latest execution", "Target materialization", "Description", *texts)


def open_drift_plot(window: Window, week: str) -> Locator:
    """The drift plot, opened as a person does: the link of the week's `drift` metadata. Returns the image, drawn."""
    open_partition(window, "planner/dataset", week, "drift", "mlflow_run")
    row = window.page.locator("tr").filter(has=window.page.get_by_text("drift", exact=True)).last
    row.get_by_text("Show Markdown").click()
    image = window.page.get_by_role("dialog").locator("img")
    expect(image).to_be_visible()
    return image


def close_dialog(window: Window) -> None:
    """Close what a metadata link opened."""
    window.page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(window.page.get_by_role("dialog")).to_have_count(0)


def _listen(window: Window) -> None:
    def console(message: ConsoleMessage) -> None:
        if message.type == "error":
            window.problems.append(f"console: {message.text}")

    def response(answer: Response) -> None:
        if answer.status >= 400:
            window.problems.append(f"{answer.status}: {answer.url}")

    window.page.on("console", console)
    window.page.on("pageerror", lambda error: window.problems.append(f"page: {error}"))
    window.page.on("response", response)
