"""Pictures are small PNGs of the right width, drawn from any data, without pyplot."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

from platform_assets.core.column_profile import ColumnProfile, Distribution, TopValues
from platform_assets.core.drift import ColumnDrift, compare
from platform_assets.core.drift_verdict import Thresholds
from platform_assets.core.figures import shorten
from platform_assets.core.plots import count_plot, distribution_plot, drift_plot
from platform_assets.core.profile import Profile

LIMITS = Thresholds()
BLUE, VERMILION, GREY = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xBB, 0xBB, 0xBB)


def opened(png: bytes) -> Image.Image:
    """The decoded picture, after what holds of every picture."""
    assert len(png) < 60_000
    picture = Image.open(BytesIO(png))
    assert picture.format == "PNG"
    assert picture.width == 900
    assert "Software" not in picture.info
    return picture.convert("RGB")


def pixels(picture: Image.Image, color: tuple[int, int, int]) -> int:
    """Pixels within the rounding of a palette of `color`."""
    counted = picture.getcolors(picture.width * picture.height) or []
    return sum(n for n, found in counted if max(abs(a - b) for a, b in zip(found, color, strict=True)) <= 4)  # type: ignore[arg-type]


def text(counts: dict[str, int], other: int = 0) -> ColumnProfile:
    rows = sum(counts.values()) + other
    top = TopValues(tuple(counts.items()), other, unlisted=1 if other else 0)
    return ColumnProfile("text", rows, 0, len(counts), len(counts), top=top)


def number(low: float, high: float, rows: int, kind: str = "number") -> ColumnProfile:
    distribution = Distribution((low, high), (1.0, 1.0), (rows - 2.0,))
    return ColumnProfile(kind, rows, 0, rows, rows, distribution=distribution)  # type: ignore[arg-type]


def profile(**columns: ColumnProfile) -> Profile:
    return Profile(max(column.rows for column in columns.values()), columns)


def drifted(column: str, psi: float) -> ColumnDrift:
    return ColumnDrift(column, "number", "both", 10_000, 10_000, psi=psi, js=0.1, ks=0.1)


def test_a_drift_plot_colours_bars_by_their_level() -> None:
    calm = opened(drift_plot([drifted("a", 0.05)], LIMITS, "Drift"))
    alarming = opened(drift_plot([drifted("a", 0.9)], LIMITS, "Drift"))
    assert pixels(calm, BLUE) > 1.5 * pixels(alarming, BLUE)
    assert pixels(alarming, VERMILION) > 3 * pixels(calm, VERMILION)


def test_a_drift_plot_shows_at_most_twenty_columns() -> None:
    twenty, fifty = (
        opened(drift_plot([drifted(f"c{i}", i / 50) for i in range(n)], LIMITS, "Drift")) for n in (20, 50)
    )
    assert twenty.height == fifty.height < 900


def test_a_drift_plot_takes_any_column() -> None:
    old = profile(gone=text({"a": 5}), empty=text({}), kind=text({"a": 5}), t=number(0, 1e9, 100, "time"))
    new = profile(fresh=text({"a": 5}), empty=text({}), kind=number(0, 1, 5), t=number(1e9, 2e9, 100, "time"))
    assert pixels(opened(drift_plot(compare(old, new), LIMITS, "Anything")), GREY) > 500
    opened(drift_plot([], LIMITS, "Nothing"))


def test_dollars_and_braces_in_names_are_not_mathematics() -> None:
    opened(drift_plot([drifted(r"price_$_{per}_$\frac", 0.2)], LIMITS, r"$x_{$ \oops $"))
    opened(count_plot(["$a$"], {"$b^$": [1]}, "$c_$", "$d^{$"))
    column = "$x^{$"
    opened(distribution_plot(Profile(5, {column: text({"$$": 5})}), Profile(5, {column: text({"\n$|": 5})}), column))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (number(0, 1, 100), number(0.5, 3, 100)),
        (number(-1e300, 1e300, 100), number(0, 1, 10)),
        (number(0, 1e9, 50, "time"), number(1e9, 1.1e9, 50, "time")),
        (text({"a": 5, "b": 3}), text({"a": 5, "c": 1})),
        (
            text({f"value {i}": 5 for i in range(20)}, other=5_000),
            text({f"value {i}": 5 for i in range(10, 30)}, other=900),
        ),
        (text({"x" * 300: 5}), text({"x" * 299: 5})),
    ],
)
def test_a_distribution_plot_shows_both_sides(old: ColumnProfile, new: ColumnProfile) -> None:
    picture = opened(distribution_plot(profile(c=old), profile(c=new), "c"))
    assert pixels(picture, BLUE) > 300
    assert pixels(picture, GREY) > 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (text({}), text({"a": 1})),
        (text({"a": 1}), number(0, 1, 5)),
        (
            ColumnProfile("number", 2, 0, 1, 1, distribution=Distribution((), (), (), below=2.0)),
            ColumnProfile("number", 2, 0, 1, 1, distribution=Distribution((), (), (), above=2.0)),
        ),
        (
            ColumnProfile("number", 9, 0, 1, 1, distribution=Distribution((3.0,), (9.0,), ())),
            ColumnProfile("number", 9, 0, 1, 1, distribution=Distribution((3.0,), (9.0,), ())),
        ),
    ],
)
def test_a_distribution_plot_of_little_is_still_a_picture(old: ColumnProfile, new: ColumnProfile) -> None:
    opened(distribution_plot(profile(c=old), profile(c=new), "c"))


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(KeyError):
        distribution_plot(profile(a=text({"a": 1})), profile(a=text({"a": 1})), "b")


def test_stacked_bars_grow_with_their_values() -> None:
    days = [f"2025-01-{day:02d}" for day in range(1, 29)]
    series = {"kept": [900.0] * 28, "late": [80.0] * 28, "quarantined": [300.0] * 28}
    picture = opened(count_plot(days, series, "Events per day", "events per day"))
    assert pixels(picture, BLUE) > 2 * pixels(picture, (0x00, 0x9E, 0x73)) > 10_000


@pytest.mark.parametrize("days", [0, 1, 400])
def test_any_number_of_days_and_series_can_be_counted(days: int) -> None:
    labels = [f"day {day}" for day in range(days)]
    opened(count_plot(labels, {f"series {i}": [float(i)] * days for i in range(12)}, "Many", "rows"))


@pytest.mark.parametrize("values", [[1.0], [1.0, -1.0]])
def test_series_that_cannot_be_stacked_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="series 'late'"):
        count_plot(["a", "b"], {"late": values}, "Title", "rows")


def test_the_same_data_gives_the_same_bytes() -> None:
    pictures = [drift_plot([drifted("a", 0.3), drifted("b", 0.01)], LIMITS, "Drift") for _ in range(2)]
    assert pictures[0] == pictures[1]


def test_drawing_never_loads_pyplot_and_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from platform_assets.core import plots, profile, drift_verdict, tables\n"
        "heavy = {'matplotlib', 'numpy', 'pandas', 'duckdb', 'pyarrow', 'PIL', 'dagster', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "plots.count_plot(['a'], {'s': [1]}, 'title', 'rows')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("width", [5, 20, 38])
def test_shortened_names_keep_their_end_and_the_width(width: int) -> None:
    name = "target.accepted_plan.meals[].recipe_id"
    assert len(shorten(name, width)) <= width
    assert shorten(name, width).endswith("_id")
    assert shorten("a\nb", width) == "a b"
