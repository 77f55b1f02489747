"""Running transforms: parameters are values, outputs are files, memory is bounded, errors name the file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.core.lineage import column_lineage

TWO_STEPS = """
-- Doubles what is above a floor.
CREATE TEMP TABLE kept AS SELECT * FROM numbers CROSS JOIN parameters AS p WHERE n >= p.floor;
CREATE TEMP TABLE doubled AS SELECT n * 2 AS n, label FROM kept ORDER BY n;
"""


def sql_file(folder: Path, text: str, name: str = "doubled") -> Path:
    path = folder / f"{name}.sql"
    path.write_text(text)
    return path


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"n": [1, 2, 3], "label": ["a", "it's", '"c"']}), path)
    return path


def test_a_transform_writes_the_tables_it_is_asked_for(tmp_path: Path, numbers: Path) -> None:
    target = tmp_path / "it's here.parquet"
    Engine(tmp_path).run(
        transform.load(sql_file(tmp_path, TWO_STEPS)), {"numbers": [numbers]}, {"doubled": target}, {"floor": 2}
    )
    assert pq.read_table(target).to_pylist() == [{"n": 4, "label": "it's"}, {"n": 6, "label": '"c"'}]


def test_a_table_that_no_statement_makes_is_refused_by_name(tmp_path: Path, numbers: Path) -> None:
    loaded = transform.load(sql_file(tmp_path, TWO_STEPS))
    with pytest.raises(transform.TransformError, match="tripled"):
        Engine(tmp_path).run(loaded, {"numbers": [numbers]}, {"tripled": tmp_path / "x.parquet"}, {"floor": 2})


def test_a_statement_of_another_form_is_refused_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(transform.TransformError, match=r"wrong\.sql"):
        transform.load(sql_file(tmp_path, "DELETE FROM numbers", "wrong"))


def test_two_as_of_joins_in_one_statement_are_refused(tmp_path: Path) -> None:
    text = "CREATE TEMP TABLE x AS SELECT * FROM as_of('r', 'v') AS a JOIN as_of('r', 'w') AS b ON a.entity = b.entity"
    step = transform.load(sql_file(tmp_path, text, "two")).steps[0]
    with pytest.raises(transform.TransformError, match="one as_of"):
        transform.to_duckdb(step.query)


def test_an_input_without_a_file_is_an_error_and_not_an_empty_table(tmp_path: Path) -> None:
    with pytest.raises(transform.TransformError, match="numbers"):
        Engine(tmp_path).rows("SELECT 1", {"numbers": []})


@pytest.mark.parametrize("value", ["'); DROP TABLE x; --", 3, 2.5, True, datetime(2026, 1, 1, tzinfo=UTC)])
def test_a_parameter_arrives_as_the_value_it_was(tmp_path: Path, value: object) -> None:
    assert Engine(tmp_path).rows("SELECT given FROM parameters", {}, {"given": value}) == [{"given": value}]  # type: ignore[dict-item]


def test_more_rows_than_memory_are_sorted_on_disk(tmp_path: Path) -> None:
    source, target = tmp_path / "numbers.parquet", tmp_path / "sorted.parquet"
    engine = Engine(tmp_path / "scratch", memory_limit="450MB", threads=2)
    with engine.session({}) as connection:
        connection.execute(
            f"COPY (SELECT hash(i) AS n, repeat('x', 600) || i AS label FROM range(1000000) AS r(i)) TO '{source}' (FORMAT parquet, ROW_GROUP_SIZE 10000)"
        )
    loaded = transform.load(
        sql_file(tmp_path, "CREATE TEMP TABLE ordered AS SELECT * FROM numbers ORDER BY n", "ordered")
    )
    engine.run(loaded, {"numbers": [source]}, {"ordered": target})
    assert pq.read_metadata(target).num_rows == 1_000_000
    assert list((tmp_path / "scratch").iterdir()) == [], "spilled files are gone"


def test_column_lineage_follows_steps_and_leaves_out_filters(tmp_path: Path) -> None:
    path = sql_file(tmp_path, TWO_STEPS, "lineage")
    found = column_lineage(path, "doubled", {"numbers": ["n", "label"], "parameters": ["floor"]})
    assert found == {"n": [("numbers", "n")], "label": [("numbers", "label")]}


def test_column_lineage_sees_through_an_as_of_join(tmp_path: Path) -> None:
    text = (
        "CREATE TEMP TABLE winners AS SELECT w.request, w.version FROM as_of('asked', 'versions') AS w;"
        "CREATE TEMP TABLE x AS SELECT w.request, v.size FROM winners AS w JOIN versions AS v ON v.version = w.version"
    )
    asked, known = ("request", "entity", "asked_at"), ("version", "entity", "valid_from", "recorded_at", "id", "size")
    found = column_lineage(sql_file(tmp_path, text, "seen"), "x", {"asked": asked, "versions": known})
    assert found == {"request": [("asked", "request")], "size": [("versions", "size")]}
