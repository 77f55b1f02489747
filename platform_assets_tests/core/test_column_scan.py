"""Columns read from Parquet against pandas and numpy: moments, quantiles, counts, nesting, odd values."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.column_profile import STEPS, TOP_K, Distribution, TopValues
from platform_assets_tests.core.profiles import (
    NUMBERS,
    column_of,
    profile_of,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


def test_numbers_have_the_moments_that_pandas_finds(tmp_path: Path) -> None:
    values = pd.Series(np.random.default_rng(1).lognormal(3, 2, 20_000))
    values[::7] = None
    found = column_of(tmp_path, pa.Array.from_pandas(values))
    assert (found.rows, found.nulls, found.distinct, found.nans) == (20_000, values.isna().sum(), values.nunique(), 0)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.std == pytest.approx(values.std(ddof=0), rel=1e-12)
    assert found.top is None


def test_edges_are_the_quantiles_and_the_distribution_is_exact_there(tmp_path: Path) -> None:
    values = np.random.default_rng(2).normal(size=5_000).round(2)
    found = column_of(tmp_path, values).distribution
    assert found is not None
    # numpy's inverted_cdf multiplies 0.17 * 5000 in floating point, and so takes the next value; whole numbers do not.
    expected = np.sort(values)[[0, *(-(-5_000 * step // STEPS) - 1 for step in range(1, STEPS + 1))]]
    assert found.edges == tuple(np.unique(expected))
    assert found.total == 5_000
    for edge in found.edges:
        assert found.rows_below(edge, inclusive=True) == (values <= edge).sum()
        assert found.rows_below(edge, inclusive=False) == (values < edge).sum()
    between = np.linspace(-3, 3, 500)
    error = [abs(found.rows_below(x, inclusive=True) - (values <= x).sum()) for x in between]
    assert max(error) <= 5_000 / STEPS


def test_a_column_of_few_numbers_keeps_every_value(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(1, 8, 1_000)
    found = column_of(tmp_path, values)
    counts = Counter(values.tolist())
    assert found.distribution == Distribution(
        tuple(float(v) for v in sorted(counts)), tuple(float(counts[v]) for v in sorted(counts)), (0.0,) * 6
    )
    assert found.top is not None
    assert dict(found.top.values) == {str(value): count for value, count in counts.items()}


def test_texts_keep_the_commonest_values_and_count_the_others(tmp_path: Path) -> None:
    values = [f"v{int(x)}" for x in np.random.default_rng(4).exponential(20, 3_000)]
    found = column_of(tmp_path, values)
    expected = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    unlisted = expected[TOP_K - 1][1]
    assert found.top == TopValues(tuple(expected[:TOP_K]), sum(count for _, count in expected[TOP_K:]), unlisted)
    assert found.distinct == found.distinct_upper == len(expected)


def test_long_texts_are_cut_with_a_marker_and_stay_apart(tmp_path: Path) -> None:
    long = ["x" * 250 + "a", "x" * 250 + "b", "x" * 200]
    found = column_of(tmp_path, long)
    assert found.top is not None
    labels = [label for label, _ in found.top.values]
    assert len(set(labels)) == 3
    assert "x" * 200 in labels
    assert sum(label.startswith("x" * 200 + "… [251 characters, md5 ") for label in labels) == 2


def test_booleans_are_counted(tmp_path: Path) -> None:
    found = column_of(tmp_path, [True, None, False, True])
    assert (found.kind, found.nulls) == ("boolean", 1)
    assert found.top == TopValues((("true", 2), ("false", 1)))


@pytest.mark.parametrize("kind", [pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("ms")])
def test_times_are_iso_text_in_utc_whatever_their_type(tmp_path: Path, kind: pa.DataType) -> None:
    zone = UTC if kind.tz else None
    moments = [datetime(2025, 1, 3, 23, 59, 59, 250_000, zone), datetime(1969, 7, 20, 20, 17, tzinfo=zone), None]
    found = column_of(tmp_path, moments, kind)
    assert (found.kind, found.nulls, found.top) == ("time", 1, None)
    assert (found.minimum, found.maximum) == ("1969-07-20T20:17:00.000000Z", "2025-01-03T23:59:59.250000Z")
    assert found.distribution is not None
    assert found.distribution.edges[-1] == datetime(2025, 1, 3, 23, 59, 59, 250_000, UTC).timestamp()


def test_dates_decimals_durations_and_bytes_have_a_kind(tmp_path: Path) -> None:
    table = pa.table(
        {
            "day": pa.array([datetime(2025, 1, 3).date()]),
            "price": pa.array(["1.25"]).cast(pa.decimal128(9, 2)),
            "hour": pa.array([3_600_000_000], pa.time64("us")),
            "raw": pa.array([b"\x00\xff"]),
            "big": pa.array([2**63], pa.uint64()),
            "nothing": pa.nulls(1),
        }
    )
    found = profile_of(tmp_path, table).columns
    assert {name: column.kind for name, column in found.items()} == {
        "day": "time",
        "price": "number",
        "hour": "number",
        "raw": "text",
        "big": "number",
        "nothing": "number",
    }
    assert found["day"].minimum == "2025-01-03T00:00:00.000000Z"
    assert (found["price"].mean, found["hour"].mean, found["big"].mean) == (1.25, 3600.0, 2.0**63)
    assert (found["nothing"].nulls, found["nothing"].distribution) == (1, Distribution((), (), ()))


def test_nested_columns_are_flattened_to_leaves_with_lengths(tmp_path: Path) -> None:
    rows = [
        {
            "input": {"household": {"size": 2, "likes": ["a", "b"]}},
            "meals": [{"id": "x", "day.n": 1}, {"id": "y", "day.n": 2}],
        },
        {"input": {"household": {"size": None, "likes": []}}, "meals": None},
        {"input": {"household": None}, "meals": [None]},
        {"input": None, "meals": []},
    ]
    table = pa.Table.from_pylist(rows).append_column(
        "m", pa.array([[("k", 1.5)], [], None, []], pa.map_("string", "float32"))
    )
    found = profile_of(tmp_path, table).columns
    leaves = {name: (column.rows, column.nulls, column.distinct) for name, column in found.items()}
    assert leaves == {
        "input.household.size": (4, 3, 1),
        "input.household.likes.length": (4, 2, 2),
        "input.household.likes[]": (2, 0, 2),
        "meals.length": (4, 1, 3),
        "meals[].id": (3, 1, 2),
        "meals[].day.n": (3, 1, 2),
        "m.length": (4, 1, 2),
        "m[].key": (1, 0, 1),
        "m[].value": (1, 0, 1),
    }
    assert found["meals.length"].mean == 1.0


def test_lists_of_lists_are_followed_to_the_bottom(tmp_path: Path) -> None:
    found = profile_of(tmp_path, pa.table({"a": [[[1, 2], [3]], None, [[]]]})).columns
    assert list(found) == ["a.length", "a[].length", "a[][]"]
    assert (found["a[].length"].rows, found["a[][]"].mean) == (3, 2.0)


def test_names_with_quotes_are_read(tmp_path: Path) -> None:
    rows = [{'a "b"': {"it's": [1, 2]}}]
    assert set(profile_of(tmp_path, pa.Table.from_pylist(rows)).columns) == {'a "b".it\'s.length', 'a "b".it\'s[]'}


def test_nan_and_infinities_are_counted_apart_from_nulls(tmp_path: Path) -> None:
    inf = float("inf")
    found = column_of(tmp_path, [1.0, 3.0, None, float("nan"), float("nan"), inf, -inf, inf])
    assert (found.rows, found.nulls, found.nans, found.values, found.distinct) == (8, 1, 2, 5, 4)
    assert (found.minimum, found.maximum, found.mean, found.std) == (1.0, 3.0, 2.0, 1.0)
    assert found.null_rate == 3 / 8
    assert found.distribution == Distribution((1.0, 3.0), (1.0, 1.0), (0.0,), below=1.0, above=2.0)


@pytest.mark.parametrize("values", [[], [None], [float("nan")], [float("inf")], [None, float("nan"), -float("inf")]])
def test_a_column_without_a_finite_value_has_no_moments(tmp_path: Path, values: list[Any]) -> None:
    found = column_of(tmp_path, values, pa.float64())
    assert (found.minimum, found.maximum, found.mean, found.std) == (None, None, None, None)
    assert found.rows == len(values)


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    found = column_of(tmp_path, [-0.0, 0.0])
    assert found.distinct == 1
    assert found.top == TopValues((("0", 2),))


@pytest.mark.parametrize("value", [0.1, 1e300, -1e-300, 5e-324, 3.0])
def test_a_constant_column_has_no_spread(tmp_path: Path, value: float) -> None:
    found = column_of(tmp_path, [value] * 7)
    assert (found.mean, found.std, found.minimum, found.maximum) == (value, 0.0, value, value)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(NUMBERS, max_size=200))
def test_any_numbers_agree_with_numpy(folder: Path, rows: list[float | None]) -> None:
    found = column_of(folder, rows, pa.float64())
    values = np.array([x for x in rows if x is not None and not np.isnan(x)])
    finite = values[np.isfinite(values)]
    assert (found.values, found.distinct) == (len(values), len(np.unique(values)))
    assert found.distribution is not None
    assert found.distribution.total == len(values)
    if len(finite):
        scale = float(np.abs(finite).max()) or 1.0
        assert (found.minimum, found.maximum) == (finite.min(), finite.max())
        assert found.mean == pytest.approx((finite / scale).mean() * scale, rel=1e-9, abs=1e-12 * scale)
        assert found.std == pytest.approx((finite / scale).std() * scale, rel=1e-9, abs=1e-9 * scale)
