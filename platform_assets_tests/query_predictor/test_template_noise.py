"""What chance makes of PSI with templates: against a slow oracle, in plain cases, and where templates repeat or come as one."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.drift import chi_squared_quantile
from platform_assets.query_predictor.feature_distance import distance
from platform_assets.query_predictor.feature_drift import compare
from platform_assets.query_predictor.template_noise import Templates, noise
from platform_assets_tests.query_predictor.drift_rows import MOVED, queries, split

CELLS, FLOOR = 4, 0.01
Row = tuple[str, int, float]
"""Template, cell, weight."""
some_rows = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, CELLS - 1), st.sampled_from([0.5, 1.0, 4.0])), min_size=1, max_size=30
)  # fmt: skip


def slow_noise(before: list[Row], now: list[Row]) -> float:
    def share(rows: list[Row], cell: int, template: str | None = None) -> float:
        chosen = [weight for name, at, weight in rows if at == cell and template in (None, name)]
        return sum(chosen) / sum(weight for _, _, weight in rows)

    def moved(rows: list[Row], cell: int, template: str) -> float:
        held = sum(share(rows, each, template) for each in range(CELLS))
        return share(rows, cell, template) - held * share(rows, cell)

    def scale(cell: int) -> float:
        p, q = (max(share(rows, cell), FLOOR) for rows in (before, now))
        return p if abs(q - p) <= 1e-9 * p else (q - p) / log(q / p)

    names = {name for name, _, _ in (*before, *now)}
    there = [cell for cell in range(CELLS) if share(before, cell) or share(now, cell)]

    def together(left: int, right: int) -> float:
        both = ([moved(now, cell, name) - moved(before, cell, name) for cell in (left, right)] for name in names)
        return sum(a * b for a, b in both) / (scale(left) * scale(right)) ** 0.5

    first = sum(together(cell, cell) for cell in there)
    second = sum(together(left, right) ** 2 for left in there for right in there)
    if second < 1e-30:
        return 0.0
    freedom = max(1.0, first**2 / second)
    return first / freedom * float(np.interp(freedom, range(9), [chi_squared_quantile(whole) for whole in range(9)]))


def found_noise(before: list[Row], now: list[Row], floor: float = FLOOR) -> float:
    (old, old_cells, old_weights), (new, new_cells, new_weights) = (
        map(np.array, zip(*rows, strict=True)) for rows in (before, now)
    )
    cells = old_cells.astype(np.int64), new_cells.astype(np.int64)
    return noise(Templates.of(old, new), cells, (old_weights, new_weights), CELLS, floor)


@settings(deadline=None, max_examples=100)
@given(some_rows, some_rows)
def test_the_noise_is_that_of_a_slow_oracle(before: list[Row], now: list[Row]) -> None:
    assert found_noise(before, now) == pytest.approx(slow_noise(before, now), rel=1e-6, abs=1e-9)


def rows_of(count: int, start: str, each: int = 1) -> list[Row]:
    """`count` templates spread evenly over the cells, each of so many rows."""
    return [(f"{start}{number}", number % CELLS, 1.0) for number in range(count) for _ in range(each)]


def test_where_each_row_is_a_template_of_its_own_the_noise_is_that_of_rows() -> None:
    expected = chi_squared_quantile(CELLS - 1) * (1 / 400 + 1 / 100)
    assert found_noise(rows_of(400, "old"), rows_of(100, "new")) == pytest.approx(expected)


def test_a_template_that_repeats_is_one_observation() -> None:
    once = found_noise(rows_of(40, "old"), rows_of(20, "new"))
    assert found_noise(rows_of(40, "old", 50), rows_of(20, "new", 1_000)) == pytest.approx(once)


def test_templates_that_both_sides_have_to_the_same_share_are_no_noise() -> None:
    assert found_noise(rows_of(8, "same", 100), rows_of(8, "same", 30)) == pytest.approx(0)
    assert found_noise(rows_of(8, "old", 100), rows_of(8, "new", 30)) > 1


def test_templates_drawn_anew_are_beyond_the_noise_of_rows_and_not_beyond_their_own() -> None:
    draw, beyond_rows, beyond = np.random.default_rng(5), 0, 0
    for _ in range(200):
        sides = []
        for count in (60, 30):
            repeats = np.maximum(draw.lognormal(2, 1, count), 1).astype(int)
            names = np.array([f"{count} {number}" for number in range(count)])
            sides.append((np.repeat(draw.normal(size=count), repeats), np.repeat(names, repeats)))
        (old, old_names), (new, new_names) = sides
        weights, weeks = (np.ones(len(old)), np.ones(len(new))), np.zeros(len(old), np.int64)
        found = distance("any", (old, new), weights, weeks, Templates.of(old_names, new_names))
        beyond_rows += found.psi > max(found.noise, 0.25)
        beyond += found.is_beyond
    assert beyond_rows > 100
    assert beyond <= 2


@pytest.mark.parametrize(("templates", "is_beyond"), [(1, False), (100, True)])
def test_one_new_dashboard_is_not_a_change_of_texts_and_a_hundred_new_ones_are(templates: int, is_beyond: bool) -> None:
    draw = np.random.default_rng(6)
    names = np.array([f"known {number}" for number in range(400)])
    old, new = draw.integers(0, 400, 3_000), draw.integers(0, 400, 1_000)
    before, now = queries(3_000, 1), queries(1_000, 2)
    now[:400, MOVED] = draw.normal(5, 1, len(MOVED))
    sent = names[new].astype("U20")
    sent[:400] = [f"new {number % templates}" for number in range(400)]
    reference = replace(split(before), template=names[old])
    assert compare(reference, [replace(split(now), template=sent)]).is_beyond_limit is is_beyond
