"""Samples and schemas of Parquet files as text."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_assets.core.tables import column_schema, preview_markdown


def written(folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "table.parquet")
    return folder / "table.parquet"


def body(text: str) -> list[str]:
    return text.splitlines()[2:]


def test_a_sample_is_a_markdown_table_of_the_first_rows(tmp_path: Path) -> None:
    path = written(tmp_path, pa.table({"id": range(100), "name": [f"n{i}" for i in range(100)]}))
    assert preview_markdown(path, rows=2) == "| id | name |\n| --- | --- |\n| 0 | n0 |\n| 1 | n1 |"


def test_rows_are_collected_over_row_groups(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": range(10)}), tmp_path / "t.parquet", row_group_size=2)
    assert body(preview_markdown(tmp_path / "t.parquet", rows=5)) == [f"| {i} |" for i in range(5)]


def test_nested_values_are_compact_json(tmp_path: Path) -> None:
    value = {"b": [1, None], "a": {"at": datetime(2025, 1, 3, tzinfo=UTC), "cost": Decimal("1.50"), "raw": b"\x01"}}
    path = written(tmp_path, pa.Table.from_pylist([{"n": value}]))
    expected = '{"a":{"at":"2025-01-03 00:00:00+00:00","cost":"1.50","raw":"0x01"},"b":[1,null]}'
    assert body(preview_markdown(path, width=200)) == [f"| {expected} |"]


def test_long_values_are_cut_to_the_width(tmp_path: Path) -> None:
    path = written(tmp_path, pa.table({"s": ["x" * 61, "y" * 60]}))
    assert body(preview_markdown(path)) == [f"| {'x' * 59}… |", f"| {'y' * 60} |"]


def test_pipes_newlines_and_html_stay_text(tmp_path: Path) -> None:
    path = written(tmp_path, pa.table({"a|b": ["1|2\r\n3\n4\t5", "<b>`c`</b> & \\"]}))
    assert preview_markdown(path).splitlines() == [
        "| a\\|b |",
        "| --- |",
        "| 1\\|2 3 4 5 |",
        "| &lt;b>\\`c\\`&lt;/b> &amp; \\\\ |",
    ]


def test_nulls_are_empty_cells(tmp_path: Path) -> None:
    assert body(preview_markdown(written(tmp_path, pa.table({"a": [None, 1], "b": ["x", None]})))) == [
        "|  | x |",
        "| 1 |  |",
    ]


def test_an_empty_file_shows_its_columns(tmp_path: Path) -> None:
    path = written(tmp_path, pa.table({"a": pa.array([], pa.int64())}))
    assert preview_markdown(path) == "| a |\n| --- |\n\n*no rows*"


def test_a_file_without_columns_says_so(tmp_path: Path) -> None:
    assert preview_markdown(written(tmp_path, pa.table({}))) == "*no column*"


def test_two_columns_of_one_name_are_both_shown(tmp_path: Path) -> None:
    path = written(tmp_path, pa.table([[1], [2]], names=["a", "a"]))
    assert preview_markdown(path) == "| a | a |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(("rows", "width"), [(-1, 60), (5, 0)])
def test_a_senseless_size_is_refused(tmp_path: Path, rows: int, width: int) -> None:
    with pytest.raises(ValueError, match="preview needs"):
        preview_markdown(tmp_path / "never_read.parquet", rows=rows, width=width)


@given(value=st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_text_keeps_to_one_row_of_one_cell(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = written(tmp_path_factory.getbasetemp(), pa.table({"s": [value]}))
    lines = preview_markdown(path).splitlines()
    assert len(lines) == 3
    assert lines[2].replace("\\\\", "").replace("\\|", "").count("|") == 2


def test_the_schema_names_types_and_nullability(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("at", pa.timestamp("us", "UTC")),
            pa.field("items", pa.list_(pa.struct({"r": pa.string()}))),
        ]
    )
    assert column_schema(written(tmp_path, schema.empty_table())) == [
        ("id", "int64", False),
        ("at", "timestamp[us, tz=UTC]", True),
        ("items", "list<element: struct<r: string>>", True),
    ]
