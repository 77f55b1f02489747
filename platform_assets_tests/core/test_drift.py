"""Distances against slow oracles on raw values, and what a verdict makes of them in small and large samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from platform_assets.core.column_profile import ColumnProfile, Distribution, TopValues
from platform_assets.core.drift import (
    CELLS,
    FLOOR,
    ColumnDrift,
    category_cells,
    chi_squared_quantile,
    compare,
    new_category_share,
    number_cells,
)
from platform_assets.core.drift_verdict import Thresholds, judge, measures, worst
from platform_assets.core.profile import Profile, combine, profile_table

NUMBERS = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e9, 1e9), st.sampled_from([float("inf"), -float("inf")]))
LIMITS = Thresholds()


def profile_of(folder: Path, **columns: Any) -> Profile:
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return profile_table([folder / "table.parquet"], threads=1)


def numbers(values: Sequence[float], nulls: int = 0) -> Profile:
    """The profile of a column `c`, made here from the definition, with every value as an edge."""
    counts = Counter(float(value) for value in values)
    finite = sorted(value for value in counts if np.isfinite(value))
    distribution = Distribution(
        tuple(finite),
        tuple(float(counts[value]) for value in finite),
        (0.0,) * max(len(finite) - 1, 0),
        float(counts[-float("inf")]),
        float(counts[float("inf")]),
    )
    rows = len(values) + nulls
    column = ColumnProfile("number", rows, nulls, len(counts), len(counts), distribution=distribution)
    return Profile(rows, {"c": column})


def texts(counts: dict[str, int], nulls: int = 0, other: int = 0, distinct: int | None = None) -> Profile:
    """The profile of a text column `c` with these counts."""
    rows = sum(counts.values()) + nulls + other
    distinct = distinct or len(counts)
    ordered = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    top = TopValues(ordered, other, unlisted=ordered[-1][1] if other else 0)
    return Profile(rows, {"c": ColumnProfile("text", rows, nulls, distinct, distinct, top=top)})


def only(reference: Profile, current: Profile) -> ColumnDrift:
    [drift] = compare(reference, current)
    return drift


def slow_psi(p: Sequence[float], q: Sequence[float], smaller: int) -> float:
    total = 0.0
    for share, now in zip(p, q, strict=True):
        share, now = max(share, FLOOR, 0.5 / smaller), max(now, FLOOR, 0.5 / smaller)
        total += (now - share) * np.log(now / share)
    return total


def test_psi_of_whole_numbers_is_that_of_the_raw_values(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    old, new = draw.integers(0, 6, 4_000), draw.binomial(5, 0.4, 3_000)
    drift = only(profile_of(tmp_path, c=old), profile_of(tmp_path, c=new))
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
        drift = only(profile_of(tmp_path, c=old), profile_of(tmp_path, c=new))
        inner = np.sort(old)[[2_000 * decile - 1 for decile in range(1, CELLS)]]
        shares = [np.bincount(np.searchsorted(inner, values), minlength=CELLS) / len(values) for values in (old, new)]
        assert drift.psi == pytest.approx(slow_psi(*shares, smaller=len(new)), rel=0.05, abs=0.002)
        assert drift.ks == pytest.approx(stats.ks_2samp(old, new).statistic, abs=0.01)
        assert drift.js == pytest.approx(jensenshannon(*shares, base=2), abs=0.01)


def test_psi_of_categories_is_that_of_the_raw_values(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    names = np.array(list("abcdefgh"))
    old, new = names[draw.integers(0, 6, 2_000)], names[draw.binomial(7, 0.6, 1_000)]
    drift = only(profile_of(tmp_path, c=old), profile_of(tmp_path, c=new))
    shares = [[(values == name).mean() for name in names] for values in (old, new)]
    assert drift.psi == pytest.approx(slow_psi(*shares, smaller=1_000))
    assert drift.js == pytest.approx(jensenshannon(*shares, base=2))
    assert drift.new_category_share == pytest.approx(np.isin(new, ["g", "h"]).mean())
    assert drift.ks is None


@settings(max_examples=200, deadline=None)
@given(values=st.lists(NUMBERS, min_size=1, max_size=60), other=st.lists(NUMBERS, min_size=1, max_size=60))
def test_distances_of_any_numbers_keep_their_bounds_and_the_mass(values: list[float], other: list[float]) -> None:
    old, new = numbers(values), numbers(other)
    drift = only(old, new)
    cells = number_cells(old.columns["c"].distribution, new.columns["c"].distribution)  # type: ignore[arg-type]
    assert [sum(side) for side in zip(*cells, strict=True)] == [pytest.approx(1), pytest.approx(1)]
    assert drift.psi is not None
    assert drift.psi >= 0
    assert 0 <= drift.js <= 1 + 1e-9  # type: ignore[operator]
    assert drift.ks == pytest.approx(stats.ks_2samp(values, other, method="asymp").statistic)
    same = only(old, old)
    assert (same.psi, same.js, same.ks, same.null_rate_change, same.new_category_share) == (0, 0, 0, 0, 0)
    assert judge([same], LIMITS).level == "ok"


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.sampled_from("abcdef") | st.none(), max_size=60),
    floats=st.lists(NUMBERS | st.none(), max_size=60),
)
def test_a_profile_has_not_drifted_from_itself(tmp_path_factory: Any, values: list[str], floats: list[float]) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = min(len(values), len(floats))
    table = {"s": pa.array(values[:rows], pa.string()), "x": pa.array(floats[:rows], pa.float64())}
    found = profile_of(folder, **table, l=pa.array([[x] for x in values[:rows]], pa.list_(pa.string())))
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
    weeks = [profile_of(tmp_path, c=[f"r{i}" for i in draw.integers(0, 200, 2_000)]) for _ in range(2)]
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


def small_weeks(draw: np.random.Generator, rows: int) -> Any:
    """A week's columns without drift, by their kinds of distribution."""
    recipes = [f"r{i}" for i in range(40)]
    return {
        "normal": draw.normal(size=rows),
        "long_tail": draw.lognormal(3, 1.5, rows),
        "servings": draw.binomial(8, 0.4, rows),
        "mostly_zero": np.where(draw.random(rows) < 0.8, 0.0, draw.random(rows)),
        "mode": draw.choice(["autopilot", "exploratory", "constrained"], rows, p=[0.6, 0.3, 0.1]),
        "rare": draw.choice([f"k{i}" for i in range(12)], rows, p=[0.78, *[0.02] * 11]),
        "half_null": pa.array(draw.normal(size=rows), mask=draw.random(rows) < 0.5),
        "meals": [draw.choice(recipes, draw.integers(0, 4)).tolist() for _ in range(rows)],
    }


def test_weeks_of_a_hundred_rows_do_not_fail_by_chance(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    weeks = [profile_of(tmp_path, **small_weeks(draw, 100)) for _ in range(64)]
    levels = Counter(
        judge(compare(combine(weeks[first : first + size]), weeks[first + size]), LIMITS).level
        for first in range(60)
        for size in (1, 4)
    )
    # 120 comparisons of 9 columns with up to three measures each, at one in ten thousand: a third of one is expected.
    assert levels["fail"] <= 1
    assert levels["warn"] <= 2
    raw = [compare(weeks[i], weeks[i + 1])[0].psi for i in range(60)]
    assert np.mean(np.array(raw) > LIMITS.warn_psi) > 0.6  # what the plain thresholds would have said


def test_the_mean_of_psi_without_drift_is_the_expected_one() -> None:
    draw = np.random.default_rng(6)
    drifts = [only(*(numbers(draw.integers(0, 6, n)) for n in (400, 200))) for _ in range(400)]
    found = np.mean([drift.psi for drift in drifts])  # type: ignore[arg-type]
    assert found == pytest.approx(drifts[0].psi_mean, rel=0.15)
    assert drifts[0].psi_mean == pytest.approx(5 * (1 / 400 + 1 / 200))


def test_a_real_shift_fails_in_small_and_large_weeks(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    for rows in (100, 5_000):
        drift = only(
            profile_of(tmp_path, c=draw.normal(size=4 * rows)), profile_of(tmp_path, c=draw.normal(1.2, 1, rows))
        )
        verdict = judge([drift], LIMITS)
        assert verdict.level == "fail"
        assert verdict.reasons[0].startswith("c: PSI +")


def test_items_of_lists_count_as_one_draw_per_row(tmp_path: Path) -> None:
    old, new = (profile_of(tmp_path, c=[[1.0, 2.0, 3.0]] * 50) for _ in range(2))
    items = next(drift for drift in compare(old, new) if drift.column == "c[]")
    assert items.current_values == 150
    assert items.psi_mean == pytest.approx(2 * (1 / 50 + 1 / 50))


def test_null_rates_warn_and_fail_beyond_their_noise() -> None:
    def level(nulls: int, rows: int) -> str:
        return judge([only(texts({"a": rows}), texts({"a": rows - nulls}, nulls=nulls))], LIMITS).level

    assert [level(nulls, 10_000) for nulls in (100, 500, 1_500)] == ["ok", "warn", "fail"]
    assert [level(nulls, 100) for nulls in (3, 30)] == ["ok", "fail"]


def test_nan_is_missing_like_null(tmp_path: Path) -> None:
    drift = only(profile_of(tmp_path, c=[1.0] * 100), profile_of(tmp_path, c=[1.0] * 50 + [float("nan")] * 50))
    assert (drift.null_rate_change, drift.psi) == (0.5, 0)


def test_identifiers_and_times_are_judged_by_their_nulls_only(tmp_path: Path) -> None:
    def week(number: int) -> Profile:
        instants = pa.array([number * 10**12 + i for i in range(200)], pa.timestamp("us", "UTC"))
        return profile_of(tmp_path, id=[f"{number}-{i}" for i in range(200)], t=instants, kind=["a"] * 200)

    drifts = compare(combine([week(1), week(2)]), week(3))
    assert [drift.distribution_judged for drift in drifts] == [False, False, True]
    assert judge(drifts, LIMITS).level == "ok"
    emptied = [replace(drift, null_rate_change=0.5) for drift in drifts]
    assert len(judge(emptied, LIMITS).reasons) == 3


def test_ignore_patterns_leave_columns_out_altogether() -> None:
    drift = only(texts({"a": 500}), texts({"b": 500}))
    drifts = [replace(drift, column=name) for name in ("meals[].id", "meals[].day", "input.household.id", "idle")]
    judged = judge(drifts, LIMITS, ignore=["meals[].*", "*.id"])
    assert judged.level == "fail"
    assert {reason.split(":")[0] for reason in judged.reasons} == {"idle"}
    assert [each.column for each in worst(drifts, LIMITS, ignore=["*.id", "idle"])] == ["meals[].day"]


def test_columns_that_go_come_or_change_their_kind_are_named(tmp_path: Path) -> None:
    old, new = profile_of(tmp_path, a=[1], gone=[1], kind=[1]), profile_of(tmp_path, a=[1], kind=["x"], new=[1])
    verdict = judge(compare(old, new), LIMITS)
    assert verdict.level == "fail"
    assert verdict.reasons == ("gone is gone", "kind holds another kind of values than before", "new is new")
    assert judge([drift for drift in compare(old, new) if drift.column in ("a", "new")], LIMITS).level == "warn"


def test_an_empty_week_warns_and_an_empty_reference_does_not() -> None:
    empty, full = texts({}), texts({"a": 100})
    assert judge(compare(full, empty), LIMITS).level == "warn"
    assert judge(compare(empty, full), LIMITS).level == "ok"
    assert judge(compare(empty, empty), LIMITS).level == "ok"


def test_a_column_that_lost_all_its_values_fails_by_its_nulls() -> None:
    drift = only(numbers([1, 2, 3] * 50), numbers([], nulls=150))
    assert (drift.psi, drift.null_rate_change) == (None, 1)
    assert judge([drift], LIMITS).level == "fail"


def test_the_worst_columns_come_first() -> None:
    old = texts({"a": 500, "b": 500})
    drifts = [replace(only(old, texts({"a": a, "b": 1000 - a})), column=f"c{a}") for a in (500, 600, 900, 700)]
    assert [drift.column for drift in worst(drifts, LIMITS, count=3)] == ["c900", "c700", "c600"]


def test_limits_rise_with_the_noise_of_small_samples() -> None:
    large, small = (only(texts({"a": n, "b": n}), texts({"a": n, "b": n})) for n in (500_000, 20))
    psi = [next(each for each in measures(drift, LIMITS) if each.name == "PSI") for drift in (large, small)]
    assert psi[0].warn == pytest.approx(0.1, abs=1e-4)
    assert psi[1].warn == pytest.approx(stats.chi2.ppf(0.9999, 1) * (1 / 40 + 1 / 40), rel=0.08)
