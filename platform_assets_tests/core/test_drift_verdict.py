"""What a verdict makes of distances, in small and large samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from platform_assets.core.drift import (
    compare,
)
from platform_assets.core.drift_verdict import judge, measures, worst
from platform_assets.core.profile import Profile, combine
from platform_assets_tests.core.profiles import (
    LIMITS,
    numbers,
    only,
    table_profile,
    texts,
)


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
    weeks = [table_profile(tmp_path, **small_weeks(draw, 100)) for _ in range(64)]
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


def test_a_real_shift_fails_in_small_and_large_weeks(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    for rows in (100, 5_000):
        drift = only(
            table_profile(tmp_path, c=draw.normal(size=4 * rows)), table_profile(tmp_path, c=draw.normal(1.2, 1, rows))
        )
        verdict = judge([drift], LIMITS)
        assert verdict.level == "fail"
        assert verdict.reasons[0].startswith("c: PSI +")


def test_null_rates_warn_and_fail_beyond_their_noise() -> None:
    def level(nulls: int, rows: int) -> str:
        return judge([only(texts({"a": rows}), texts({"a": rows - nulls}, nulls=nulls))], LIMITS).level

    assert [level(nulls, 10_000) for nulls in (100, 500, 1_500)] == ["ok", "warn", "fail"]
    assert [level(nulls, 100) for nulls in (3, 30)] == ["ok", "fail"]


def test_identifiers_and_times_are_judged_by_their_nulls_only(tmp_path: Path) -> None:
    def week(number: int) -> Profile:
        instants = pa.array([number * 10**12 + i for i in range(200)], pa.timestamp("us", "UTC"))
        return table_profile(tmp_path, id=[f"{number}-{i}" for i in range(200)], t=instants, kind=["a"] * 200)

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
    old, new = table_profile(tmp_path, a=[1], gone=[1], kind=[1]), table_profile(tmp_path, a=[1], kind=["x"], new=[1])
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
