"""The digest tells equal content from other content, whatever wrote the bytes."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.core.digest import Undigestible, digest_files, digest_table, sha256_of

LONG = "a" * 7
NEAR_MISSES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "text": (pa.string(), [None, "", " ", "a", "A", "NULL", "\0", "\\x00"]),
    "text_that_differs_in_bytes_8_and_16": (pa.string(), [f"{LONG}{a}{LONG}{b}" for a in "!#%'159aemqy" for b in "!3aky"]),
    "bytes": (pa.binary(), [None, b"", b"\0", b"\\x00", b"a"]),
    "whole_number": (pa.int64(), [None, 0, 1, -1, 2**62]),
    "number": (pa.float64(), [None, 0.0, 1.0, float("nan"), float("inf"), float("-inf"), 5e-324]),
    "wide_number": (pa.decimal128(38, 2), [None, Decimal(0), Decimal("-0.01"), Decimal("0.01"), Decimal(2**70)]),
    "truth": (pa.bool_(), [None, False, True]),
    "instant": (pa.timestamp("us", "UTC"), [None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]),
    "list": (pa.list_(pa.string()), [None, [], [None], [""], ["", ""], [None, None], ["a", None], [None, "a"]]),
    "list_of_lists": (
        pa.list_(pa.list_(pa.int32())),
        [None, [], [None], [[]], [[None]], [[0]], [[0, 0]], [[1], [2]], [[1, 2]], [[1, 2], []], [[], [1, 2]], [[2], [1]]],
    ),
    "struct": (
        pa.struct({"a": pa.string(), "b": pa.string()}),
        [None, {"a": None, "b": None}, {"a": "", "b": None}, {"a": None, "b": ""}, {"a": "x", "b": "y"}, {"a": "y", "b": "x"}],
    ),
    "list_of_structs": (
        pa.list_(pa.struct({"a": pa.list_(pa.int32())})),
        [None, [], [None], [{"a": None}], [{"a": []}], [{"a": [None]}], [{"a": [1]}, {"a": [2]}], [{"a": [1, 2]}]],
    ),
    "map": (pa.map_(pa.string(), pa.int32()), [None, [], [("a", None)], [("a", 1), ("b", 2)], [("a", 2), ("b", 1)]]),
}  # fmt: skip


def write(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


def digest_of(folder: Path, table: pa.Table, **options: Any) -> str:
    return digest_table([write(folder / "table.parquet", table, **options)]).digest


def meals() -> pa.Table:
    plan = pa.list_(pa.struct({"day": pa.string(), "servings": pa.int32()}))
    return pa.table(
        {
            "id": pa.array([1, 2, 3, 3], pa.int64()),
            "name": pa.array(["soup", None, "", ""]),
            "cost": pa.array([1.5, float("nan"), None, None]),
            "price": pa.array([Decimal("1.10"), None, Decimal("-0.01"), Decimal("-0.01")], pa.decimal128(10, 2)),
            "cooked_on": pa.array([date(2026, 1, 2), None, date(1969, 12, 31), date(1969, 12, 31)]),
            "at": pa.array([datetime(2026, 1, 2, 3, 4, 5, 6, UTC), None, None, None], pa.timestamp("us", "UTC")),
            "wall_clock": pa.array([datetime(2026, 1, 2, 3, 4), None, None, None], pa.timestamp("us")),
            "plan": pa.array([[{"day": "monday", "servings": 2}, None], None, [], []], plan),
            "tags": pa.array([[("a", 1), ("b", 2)], None, [], []], pa.map_(pa.string(), pa.int32())),
        }
    )


def test_the_digest_of_a_known_table_is_pinned(tmp_path: Path) -> None:
    found = digest_table([write(tmp_path / "meals.parquet", meals())])
    assert (found.algorithm, found.digest, found.rows) == (
        "duckdb-1.5.6-rowhash-v1",
        "4be06c16feaaad1ce67b5de9098fd7fa",
        4,
    )
    assert found.schema[7] == {"name": "plan", "type": 'STRUCT("day" VARCHAR, servings INTEGER)[]'}


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_values_that_look_alike_have_different_digests(tmp_path: Path, case: str) -> None:
    kind, values = NEAR_MISSES[case]
    found = [digest_of(tmp_path, pa.table({"c": pa.array([value], kind)})) for value in values]
    assert len(set(found)) == len(values)
    two_rows = [digest_of(tmp_path, pa.table({"c": pa.array(pair, kind)})) for pair in combinations(values[:8], 2)]
    assert len({*found, *two_rows}) == len(found) + len(two_rows)


def test_minus_zero_is_zero_and_every_nan_is_the_same(tmp_path: Path) -> None:
    for one, other in ((0.0, -0.0), (float("nan"), -float("nan"))):
        for kind in (pa.float64(), pa.float32(), pa.list_(pa.float64())):
            values = [[one], [other]] if pa.types.is_list(kind) else [one, other]
            first, second = (digest_of(tmp_path, pa.table({"c": pa.array([value], kind)})) for value in values)
            assert first == second


def test_the_order_of_a_maps_entries_does_not_matter(tmp_path: Path) -> None:
    kind, entries = pa.map_(pa.string(), pa.int32()), [("a", 1), ("b", 2), ("c", None)]
    one, other = (pa.table({"c": pa.array([order], kind)}) for order in (entries, entries[::-1]))
    assert digest_of(tmp_path, one) == digest_of(tmp_path, other)


def test_order_threads_row_groups_compression_and_splitting_do_not_matter(tmp_path: Path) -> None:
    rows = random.Random(7).sample(range(5_000), 5_000)
    table = pa.table(
        {"id": rows, "name": [f"household-{row % 90:08d}" for row in rows], "l": [[row, None] for row in rows]}
    )
    expected = digest_of(tmp_path, table)
    assert expected == digest_of(
        tmp_path, table.sort_by("id"), row_group_size=13, compression="none", use_dictionary=False
    )
    halves = [table.slice(2_000), table.slice(0, 2_000)]
    paths = [write(tmp_path / f"part={number}.parquet", half) for number, half in enumerate(halves)]
    assert expected == digest_table(paths).digest


def test_the_engine_that_wrote_the_file_does_not_matter(tmp_path: Path) -> None:
    source, copy = write(tmp_path / "meals.parquet", meals()), tmp_path / "copy.parquet"
    duckdb.execute(f"COPY (SELECT * FROM '{source}' ORDER BY cost) TO '{copy}' (FORMAT parquet, COMPRESSION zstd)")
    assert sha256_of(source) != sha256_of(copy)
    assert digest_table([source]) == digest_table([copy])


def test_large_and_dictionary_encoded_text_is_text(tmp_path: Path) -> None:
    names = pa.array(["a", None, "b", "a"])
    variants = [names, names.cast(pa.large_string()), names.dictionary_encode(), names.cast(pa.string_view())]
    assert len({digest_of(tmp_path, pa.table({"name": variant})) for variant in variants}) == 1


def test_the_session_time_zone_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = digest_of(tmp_path, meals())
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    assert digest_of(tmp_path, meals()) == expected


def test_names_types_and_column_order_are_content(tmp_path: Path) -> None:
    numbers = [1, 2]
    tables = [
        pa.table({"a": numbers, "b": numbers}),
        pa.table({"a": numbers, "c": numbers}),
        pa.table({"b": numbers, "a": numbers}),
        pa.table({"a": numbers, "b": pa.array(numbers, pa.int32())}),
        pa.table({"a": numbers, "b": pa.array(numbers, pa.float64())}),
        pa.table({"a": numbers, "b": pa.array(["1", "2"])}),
        pa.table({"a": numbers, "b": pa.array(numbers, pa.timestamp("us"))}),
        pa.table({"a": numbers, "b": pa.array(numbers, pa.timestamp("us", "UTC"))}),
        pa.table({"a": numbers}),
        pa.table({"a": pa.array([], pa.int64())}),
        pa.table({"a": pa.array([], pa.int32())}),
    ]
    assert len({digest_of(tmp_path, table) for table in tables}) == len(tables)


def test_swapped_moved_and_repeated_values_change_the_digest(tmp_path: Path) -> None:
    tables = [
        pa.table({"a": [1, 2], "b": [3, 4]}),
        pa.table({"a": [1, 2], "b": [4, 3]}),
        pa.table({"a": [3, 4], "b": [1, 2]}),
        pa.table({"a": [1, 4], "b": [3, 2]}),
        pa.table({"a": [1, 2, 2], "b": [3, 4, 4]}),
        pa.table({"a": [1, 1, 2], "b": [3, 3, 4]}),
    ]
    assert len({digest_of(tmp_path, table) for table in tables}) == len(tables)


def test_odd_names_of_columns_and_folders_are_just_names(tmp_path: Path) -> None:
    folder = tmp_path / "it's a wee[k]" / "day=3"
    folder.mkdir(parents=True)
    (tmp_path / "it's a week" / "day=3").mkdir(parents=True)
    write(tmp_path / "it's a week" / "day=3" / "table.parquet", pa.table({"it's": [2]}))
    table = pa.table({"it's": [1], 'a "b"': [{"x'y": 1, "from": 2}], "day": ["x"]})
    assert digest_of(folder, table) == digest_of(tmp_path, table)


def test_files_that_are_no_table_together_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one.parquet", pa.table({"a": [1]}))
    other = write(tmp_path / "other.parquet", pa.table({"a": ["1"]}))
    with pytest.raises(Undigestible, match=r"other\.parquet has another schema than one\.parquet"):
        digest_table([one, other])
    with pytest.raises(Undigestible, match="at least one"):
        digest_table([])


def test_a_digest_of_files_depends_on_paths_and_contents_only() -> None:
    files = [("a", "11"), ("b", "22")]
    assert digest_files(files) == digest_files(reversed(files)) == "dbbe6436c80ea7decf2dded58088741b"
    others = [files, [("a", "22"), ("b", "11")], [("a", "11")], [("ab", "1122")], []]
    assert len({digest_files(other) for other in others}) == len(others)


# Few distinct values per type, so that equal rows, and rows that differ in one place, come up often.
SCALARS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), st.sampled_from([None, 0, 1, -1])),
    (pa.string(), st.sampled_from([None, "", "a", "household-00000001", "household-00000002"])),
    (pa.float64(), st.sampled_from([None, 0.0, -0.0, 1.0, float("nan")])),
    (pa.bool_(), st.sampled_from([None, False, True])),
    (pa.timestamp("us", "UTC"), st.sampled_from([None, datetime(2026, 1, 1, tzinfo=UTC)])),
]


def optional_list(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(item, max_size=3)


def columns() -> st.SearchStrategy[tuple[pa.DataType, st.SearchStrategy[Any]]]:
    def nest(inner: st.SearchStrategy) -> st.SearchStrategy:
        lists = inner.map(lambda item: (pa.list_(item[0]), optional_list(item[1])))
        pairs = st.tuples(inner, inner).map(
            lambda two: (
                pa.struct({"x": two[0][0], "y": two[1][0]}),
                st.none() | st.fixed_dictionaries({"x": two[0][1], "y": two[1][1]}),
            )
        )
        return lists | pairs

    return st.recursive(st.sampled_from(SCALARS), nest, max_leaves=4)


def canonical(value: Any) -> str:
    """The oracle's idea of a value, slow and obvious: -0.0 is 0.0, everything else is what Python prints."""
    if isinstance(value, float):
        return repr(value + 0.0)
    if isinstance(value, list):
        return f"[{', '.join(canonical(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {canonical(item)}' for name, item in sorted(value.items()))}}}"
    return repr(value)


@settings(max_examples=1500, deadline=None)
@given(st.data())
def test_digests_are_equal_exactly_when_the_rows_are_equal_in_any_order(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(columns(), min_size=1, max_size=3))
    row = st.fixed_dictionaries({f"c{number}": values for number, (_, values) in enumerate(chosen)})
    first = data.draw(st.lists(row, max_size=5))
    second = data.draw(st.permutations(first) | st.lists(row, max_size=5))
    if second and data.draw(st.booleans()):
        second = [*second[:-1], data.draw(row)]
    schema = pa.schema({f"c{number}": kind for number, (kind, _) in enumerate(chosen)})
    with TemporaryDirectory() as folder:
        found = [
            digest_of(Path(folder), pa.Table.from_pylist(rows, schema), row_group_size=data.draw(st.integers(1, 5)))
            for rows in (first, second)
        ]
    same = Counter(map(canonical, first)) == Counter(map(canonical, second))
    assert (found[0] == found[1]) == same
