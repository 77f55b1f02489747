"""Distances of two profiles against slow oracles on the raw values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from platform_assets.core.column_profile import TopValues
from platform_assets.core.drift import (
    CELLS,
    FLOOR,
    category_cells,
    chi_squared_quantile,
    compare,
    new_category_share,
    number_cells,
)
from platform_assets.core.drift_verdict import judge
from platform_assets_tests.core.profiles import (
    LIMITS,
    numbers,
    only,
    table_profile,
    texts,
)

REALS = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e9, 1e9), st.sampled_from([float("inf"), -float("inf")]))


def slow_psi(p: Sequence[float], q: Sequence[float], smaller: int) -> float:
    total = 0.0
    for share, now in zip(p, q, strict=True):
        share, now = max(share, FLOOR, 0.5 / smaller), max(now, FLOOR, 0.5 / smaller)
        total += (now - share) * np.log(now / share)
    return total


def slow_ks(old: Sequence[float], new: Sequence[float]) -> float:
    shares = [[sum(x <= cut for x in values) / len(values) for cut in (*old, *new)] for values in (old, new)]
    return max(abs(p - q) for p, q in zip(*shares, strict=True))


def test_psi_of_whole_numbers_is_that_of_the_raw_values(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    old, new = draw.integers(0, 6, 4_000), draw.binomial(5, 0.4, 3_000)
    drift = only(table_profile(tmp_path, c=old), table_profile(tmp_path, c=new))
    shares = [np.bincount(values, minlength=6) / len(values) for values in (old, new)]
    # Each value holds more than a tenth of the reference and so is a cell of its own.
    assert drift.psi == pytest.approx(slow_psi(*shares, smaller=3_000))
    assert drift.js == pytest.approx(jensenshannon(*shares, base=2))
    assert drift.ks == pytest.approx(stats.ks_2samp(old, new).statistic)


def test_psi_of_real_numbers_is_close_to_that_of_the_raw_values_in_the_same_deciles(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    old = draw.normal(size=20_000)
    for new in (
        draw.normal(0.3, 1.2, 20_000),
        draw.normal(size=20_000),
        draw.normal(-4, 0.1, 5_000),
        draw.lognormal(size=9_000),
    ):
        drift = only(table_profile(tmp_path, c=old), table_profile(tmp_path, c=new))
        inner = np.sort(old)[[2_000 * decile - 1 for decile in range(1, CELLS)]]
        shares = [np.bincount(np.searchsorted(inner, values), minlength=CELLS) / len(values) for values in (old, new)]
        assert drift.psi == pytest.approx(slow_psi(*shares, smaller=len(new)), rel=0.05, abs=0.002)
        assert drift.ks == pytest.approx(stats.ks_2samp(old, new).statistic, abs=0.01)
        assert drift.js == pytest.approx(jensenshannon(*shares, base=2), abs=0.01)


def test_psi_of_categories_is_that_of_the_raw_values(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    names = np.array(list("abcdefgh"))
    old, new = names[draw.integers(0, 6, 2_000)], names[draw.binomial(7, 0.6, 1_000)]
    drift = only(table_profile(tmp_path, c=old), table_profile(tmp_path, c=new))
    shares = [[(values == name).mean() for name in names] for values in (old, new)]
    assert drift.psi == pytest.approx(slow_psi(*shares, smaller=1_000))
    assert drift.js == pytest.approx(jensenshannon(*shares, base=2))
    assert drift.new_category_share == pytest.approx(np.isin(new, ["g", "h"]).mean())
    assert drift.ks is None


@settings(max_examples=200, deadline=None)
@given(values=st.lists(REALS, min_size=1, max_size=60), other=st.lists(REALS, min_size=1, max_size=60))
def test_distances_of_any_numbers_keep_their_bounds_and_the_mass(values: list[float], other: list[float]) -> None:
    old, new = numbers(values), numbers(other)
    drift = only(old, new)
    cells = number_cells(old.columns["c"].distribution, new.columns["c"].distribution)  # type: ignore[arg-type]
    assert [sum(side) for side in zip(*cells, strict=True)] == [pytest.approx(1), pytest.approx(1)]
    assert drift.psi is not None
    assert drift.psi >= 0
    assert 0 <= drift.js <= 1 + 1e-9  # type: ignore[operator]
    assert drift.ks == pytest.approx(slow_ks(values, other))
    same = only(old, old)
    assert (same.psi, same.js, same.ks, same.null_rate_change, same.new_category_share) == (0, 0, 0, 0, 0)
    assert judge([same], LIMITS).level == "ok"


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.sampled_from("abcdef") | st.none(), max_size=60),
    floats=st.lists(REALS | st.none(), max_size=60),
)
def test_a_profile_has_not_drifted_from_itself(tmp_path_factory: Any, values: list[str], floats: list[float]) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = min(len(values), len(floats))
    table = {"s": pa.array(values[:rows], pa.string()), "x": pa.array(floats[:rows], pa.float64())}
    found = table_profile(folder, **table, l=pa.array([[x] for x in values[:rows]], pa.list_(pa.string())))
    for drift in compare(found, found):
        assert not any((drift.psi, drift.js, drift.ks, drift.null_rate_change, drift.new_category_share))
    assert judge(compare(found, found), LIMITS) == judge([], LIMITS)


def test_a_constant_reference_notices_values_on_both_sides() -> None:
    for value in (4, 6):
        drift = only(numbers([5] * 1_000), numbers([5] * 500 + [value] * 500))
        assert drift.psi == pytest.approx(slow_psi([1, 0], [0.5, 0.5], 1_000))
        assert judge([drift], LIMITS).level == "fail"


def test_a_point_mass_is_told_from_its_neighbourhood() -> None:
    """Half zeros against values spread just above zero: a distribution function without jumps would see no difference."""
    spread = np.linspace(0.001, 1, 1_000)
    drift = only(numbers([0] * 500 + [*spread[::2]]), numbers([*spread[::2] / 500, *spread[::2]]))
    assert drift.psi is not None
    assert drift.psi > 1
    assert drift.ks == 0.5


def test_values_out_of_range_and_infinities_go_to_the_open_ends() -> None:
    reference = numbers(np.arange(1_000))
    inside = [*range(0, 1_000, 2)]
    far = only(reference, numbers(inside + [10**9] * 500))
    infinite = only(reference, numbers(inside + [float("inf")] * 500))
    assert far.psi == infinite.psi == pytest.approx(slow_psi([0.1] * 10, [0.05] * 9 + [0.55], 1_000))


def test_new_categories_are_counted_for_a_complete_reference() -> None:
    drift = only(texts({"a": 60, "b": 40}), texts({"a": 50, "c": 30, "d": 20}))
    assert drift.new_category_share == 0.5
    assert judge([drift], LIMITS).level == "fail"


def test_truncation_makes_up_no_drift_between_flat_columns(tmp_path: Path) -> None:
    """Two weeks over the same 200 recipes list different top twenties by chance."""
    draw = np.random.default_rng(4)
    weeks = [table_profile(tmp_path, c=[f"r{i}" for i in draw.integers(0, 200, 2_000)]) for _ in range(2)]
    drift = only(*weeks)
    assert drift.distribution_judged
    assert drift.psi == pytest.approx(0, abs=0.01)
    assert drift.new_category_share < drift.new_category_noise
    assert judge([drift], LIMITS).level == "ok"


def test_truncation_does_not_hide_that_the_common_values_have_changed() -> None:
    old = texts({f"a{i}": 40 for i in range(20)}, other=200, distinct=300)
    new = texts({f"b{i}": 40 for i in range(20)}, other=200, distinct=300)
    drift = only(old, new)
    # Each b may have been in the reference as often as its rarest listed a, but together not more than its 200 others.
    assert drift.new_category_share == pytest.approx(0.6)
    assert judge([drift], LIMITS).level == "fail"


@settings(max_examples=100, deadline=None)
@given(
    old=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 50), min_size=1),
    new=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 50), min_size=1),
    others=st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_category_cells_keep_the_mass_and_truncation_never_adds_to_what_is_new(
    old: dict[str, int], new: dict[str, int], others: tuple[int, int]
) -> None:
    sides = [
        TopValues(tuple(counts.items()), other if min(counts.values()) > 1 else 0)
        for counts, other in zip((old, new), others, strict=True)
    ]
    cells = category_cells(*sides)
    assert [sum(side) for side in zip(*cells, strict=True)] == [pytest.approx(1), pytest.approx(1)]
    assert all(share >= 0 for cell in cells for share in cell)
    absent = sum(count for label, count in new.items() if label not in old) / sides[1].total
    assert new_category_share(*sides) <= absent + 1e-12
    if not sides[0].other:
        assert new_category_share(*sides) == pytest.approx(absent)


def test_the_noise_quantile_is_that_of_chi_squared() -> None:
    for freedom, error in ((1, 0.08), (2, 0.05), (5, 0.025), (9, 0.015), (40, 0.005)):
        assert chi_squared_quantile(freedom) == pytest.approx(stats.chi2.ppf(0.9999, freedom), rel=error)
    assert chi_squared_quantile(0) == 0


def test_the_mean_of_psi_without_drift_is_the_expected_one() -> None:
    draw = np.random.default_rng(6)
    drifts = [only(*(numbers(draw.integers(0, 6, n)) for n in (400, 200))) for _ in range(400)]
    found = np.mean([drift.psi for drift in drifts])  # type: ignore[arg-type]
    assert found == pytest.approx(drifts[0].psi_mean, rel=0.15)
    assert drifts[0].psi_mean == pytest.approx(5 * (1 / 400 + 1 / 200))


def test_items_of_lists_count_as_one_draw_per_row(tmp_path: Path) -> None:
    old, new = (table_profile(tmp_path, c=[[1.0, 2.0, 3.0]] * 50) for _ in range(2))
    items = next(drift for drift in compare(old, new) if drift.column == "c[]")
    assert items.current_values == 150
    assert items.psi_mean == pytest.approx(2 * (1 / 50 + 1 / 50))


def test_nan_is_missing_like_null(tmp_path: Path) -> None:
    drift = only(table_profile(tmp_path, c=[1.0] * 100), table_profile(tmp_path, c=[1.0] * 50 + [float("nan")] * 50))
    assert (drift.null_rate_change, drift.psi) == (0.5, 0)
