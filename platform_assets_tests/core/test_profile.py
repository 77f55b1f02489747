"""Profiles against pandas and numpy, under shuffling and threads, through JSON, and merged."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.column_profile import STEPS, TOP_K, ColumnProfile, Distribution, TopValues, merge_top
from platform_assets.core.profile import Profile, ProfileError, combine, profile_table

NUMBERS = st.one_of(
    st.none(),
    st.floats(-1e300, 1e300),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, float("nan"), float("inf"), -float("inf")]),
)
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "", "é"]), st.text(st.characters(codec="utf-8"), max_size=5))
ITEMS = st.one_of(
    st.none(), st.lists(st.one_of(st.none(), st.fixed_dictionaries({"r": TEXTS, "n": NUMBERS})), max_size=3)
)
ROWS = st.lists(st.fixed_dictionaries({"x": NUMBERS, "s": TEXTS, "l": ITEMS}), max_size=60)
SCHEMA = pa.schema(
    {"x": pa.float64(), "s": pa.string(), "l": pa.list_(pa.struct({"r": pa.string(), "n": pa.float64()}))}
)


def profile_of(folder: Path, table: pa.Table, **options: Any) -> Profile:
    pq.write_table(table, folder / "table.parquet", row_group_size=7 if table.num_rows < 1000 else None)
    return profile_table([folder / "table.parquet"], **options)


def column_of(folder: Path, values: Any, kind: pa.DataType | None = None) -> ColumnProfile:
    return profile_of(folder, pa.table({"c": pa.array(values, kind)})).columns["c"]


def top_of(counts: dict[int, int]) -> TopValues:
    ordered = sorted(((f"v{value}", count) for value, count in counts.items()), key=lambda item: (-item[1], item[0]))
    other = sum(count for _, count in ordered[TOP_K:])
    return TopValues(tuple(ordered[:TOP_K]), other, unlisted=ordered[TOP_K - 1][1] if other else 0)


def rows_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


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


def test_two_leaves_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"a\.b"):
        profile_of(tmp_path, pa.Table.from_pylist([{"a.b": 1, "a": {"b": 2}}]))


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


def test_several_files_are_one_table(tmp_path: Path) -> None:
    table = pa.table({"x": np.arange(100.0), "s": ["a", "b"] * 50})
    pq.write_table(table[:30], tmp_path / "1.parquet")
    pq.write_table(table[30:], tmp_path / "2.parquet")
    assert profile_table([tmp_path / "1.parquet", tmp_path / "2.parquet"]) == profile_of(tmp_path, table)


def test_no_file_is_an_error() -> None:
    with pytest.raises(ProfileError, match="no file"):
        profile_table([])


def test_row_order_and_threads_do_not_matter_at_size(tmp_path: Path) -> None:
    """Enough rows for several row groups, so that threads do share the work; and with little memory."""
    draw = np.random.default_rng(5)
    table = pa.table({"x": draw.lognormal(0, 5, 300_000), "s": [f"{x:032x}" for x in draw.integers(0, 10**9, 300_000)]})
    first = profile_of(tmp_path, table, threads=1)
    shuffled = table.take(draw.permutation(table.num_rows))
    assert profile_of(tmp_path, shuffled, threads=4).to_json() == first.to_json()
    assert profile_of(tmp_path, shuffled, threads=2, memory_limit="40MB").to_json() == first.to_json()


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, data=st.data())
def test_the_same_rows_in_any_order_give_the_same_profile(
    folder: Path, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    first = profile_of(folder, rows_table(rows), threads=1)
    other = profile_of(folder, rows_table(data.draw(st.permutations(rows))), threads=2)
    assert first.to_json() == other.to_json()
    assert Profile.from_json(first.to_json()) == first


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"rows": 1, "columns": {}}',
        '{"rows": 1, "columns": {}, "version": 2}',
        '{"version": 1, "columns": 3}',
    ],
)
def test_a_document_that_is_no_profile_of_this_version_is_refused(text: str) -> None:
    with pytest.raises(ProfileError):
        Profile.from_json(text)


def test_a_profile_has_a_fixed_size(tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    sizes = [len(profile_of(tmp_path, pa.table({"x": draw.normal(size=n)})).to_json()) for n in (2_000, 200_000)]
    assert sizes[1] < 1.2 * sizes[0] < 8_000


@settings(max_examples=40, deadline=None)
@given(weeks=st.lists(ROWS, min_size=1, max_size=4))
def test_combined_weeks_agree_with_the_profile_of_all_rows(folder: Path, weeks: list[list[dict[str, Any]]]) -> None:
    merged = combine([profile_of(folder, rows_table(week)) for week in weeks])
    whole = profile_of(folder, rows_table([row for week in weeks for row in week]))
    assert merged.rows == whole.rows
    for name, expected in whole.columns.items():
        found = merged.columns[name]
        for field in ("kind", "rows", "nulls", "nans", "minimum", "maximum"):
            assert getattr(found, field) == getattr(expected, field), (name, field)
        assert found.distinct <= expected.distinct <= found.distinct_upper
        if expected.mean is not None:
            scale = max(abs(expected.minimum), abs(expected.maximum))
            assert found.mean == pytest.approx(expected.mean, rel=1e-9, abs=1e-12 * scale)
            assert found.std == pytest.approx(expected.std, rel=1e-9, abs=1e-7 * scale)
        if expected.distribution is not None:
            assert found.distribution.total == pytest.approx(expected.distribution.total)


def test_a_combined_distribution_is_close_to_that_of_all_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    weeks = [draw.normal(shift, 1 + shift, 1_000) for shift in (0, 0.3, 1)]
    merged = combine([profile_of(tmp_path, pa.table({"x": week})) for week in weeks]).columns["x"].distribution
    values = np.concatenate(weeks)
    assert merged is not None
    assert len(merged.edges) <= STEPS + 1
    error = [abs(merged.rows_below(x, inclusive=True) - (values <= x).sum()) for x in np.linspace(-4, 8, 300)]
    assert max(error) <= 2 * len(values) / STEPS


def test_combining_one_profile_changes_nothing_and_order_changes_only_what_is_newest(tmp_path: Path) -> None:
    draw = np.random.default_rng(8)
    one, two = (profile_of(tmp_path, pa.table({"x": draw.normal(size=500), "s": ["a"] * 500})) for _ in range(2))
    assert combine([one]) == one
    assert combine([one, two]) == combine([two, one])


def test_combined_top_counts_are_lower_bounds_and_total_is_exact() -> None:
    def week(*values: tuple[str, int], other: int) -> Profile:
        rows = other + sum(count for _, count in values)
        top = TopValues(values, other, unlisted=values[-1][1] if other else 0)
        return Profile(rows, {"s": ColumnProfile("text", rows, 0, 30, 30, top=top)})

    merged = combine([week(("a", 5), ("b", 4), other=20), week(("b", 5), ("c", 3), other=0)]).columns["s"]
    # c may have had up to 4 rows in the first week, and so may any value that neither week lists.
    assert merged.top == TopValues((("b", 9), ("a", 5), ("c", 3)), other=20, unlisted=4, short=4)
    assert (merged.distinct, merged.distinct_upper) == (30, 60)


@settings(max_examples=60, deadline=None)
@given(weeks=st.lists(st.dictionaries(st.integers(0, 60), st.integers(1, 9), max_size=50), min_size=1, max_size=4))
def test_merged_top_counts_hold_their_error_bounds(weeks: list[dict[int, int]]) -> None:
    merged = merge_top([merge_top([TopValues((), 0)]), *map(top_of, weeks)])
    truth = Counter[str]()
    for week in weeks:
        truth.update({f"v{value}": count for value, count in week.items()})
    listed = dict(merged.values)
    assert merged.total == sum(truth.values())
    assert all(count <= truth[label] <= count + merged.short for label, count in listed.items())
    assert all(count <= merged.unlisted for label, count in truth.items() if label not in listed)


def test_a_column_is_combined_from_the_weeks_that_have_it_as_it_is_now(tmp_path: Path) -> None:
    weeks = [{"x": ["1"]}, {"y": [1.0]}, {"x": [1.0], "new": [1]}, {"x": [3.0], "new": [None]}]
    merged = combine([profile_of(tmp_path, pa.table(week)) for week in weeks])
    assert list(merged.columns) == ["x", "new"]
    assert (merged.columns["x"].rows, merged.columns["x"].mean, merged.columns["new"].rows) == (2, 2.0, 2)


def test_nothing_cannot_be_combined() -> None:
    with pytest.raises(ProfileError, match="no profile"):
        combine([])
