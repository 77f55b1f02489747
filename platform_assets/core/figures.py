"""The paper that pictures are drawn on: canvas, colours, literal text, PNG encoding.

matplotlib's object interface only: pyplot keeps figures in a process-wide register, which leaks in a long-lived worker and
is not safe between threads. What is drawn is `core.plots`.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 900 pixels: what the Dagster UI and a README show without scaling.
WIDTH_INCHES = 9.0
DOTS_PER_INCH = 100
# A picture of a few flat colours loses nothing visible, and is a third of the size, in a palette.
PALETTE_COLORS = 64
# Okabe and Ito, "Color Universal Design" (2008): told apart with any colour vision.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
GREY, DARK, BLACK = "#BBBBBB", "#444444", "#000000"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, DARK)


def blank(height_inches: float) -> Figure:
    """An empty figure of the standard width."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout="constrained")


def to_png(figure: Figure) -> bytes:
    """The figure as PNG, without a software tag: the bytes tell of the data alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    # Drawn once: savefig draws everything a second time, only to find the layout that drawing has found anyway.
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    size = canvas.get_width_height(physical=True)
    picture = Image.frombytes("RGBA", size, bytes(canvas.buffer_rgba())).convert("RGB")
    target = BytesIO()
    picture.quantize(PALETTE_COLORS, dither=Image.Dither.NONE).save(target, format="PNG", optimize=True)
    return target.getvalue()


def horizontal_grid(axes: Axes) -> None:
    """Faint lines behind the data at the ticks of the vertical axis; no frame above and to the right."""
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain(text: str) -> str:
    """Text that matplotlib takes literally: a pair of dollars would start mathematics."""
    return text.replace("$", r"\$")


def shorten(text: str, width: int) -> str:
    """At most `width` characters, on one line: the beginning and, as it tells most in a dotted name, more of the end."""
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    return f"{text[: width // 3]}…{text[-(width - width // 3 - 1) :]}"
