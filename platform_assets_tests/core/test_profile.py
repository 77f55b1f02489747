"""Profiles under shuffling and threads, through JSON, and merged over weeks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.column_profile import STEPS, ColumnProfile, TopValues, merge_top
from platform_assets.core.profile import Profile, ProfileError, combine, profile_table
from platform_assets_tests.core.profiles import (
    ROWS,
    profile_of,
    rows_table,
    top_of,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


def test_two_leaves_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match=r"a\.b"):
        profile_of(tmp_path, pa.Table.from_pylist([{"a.b": 1, "a": {"b": 2}}]))


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
