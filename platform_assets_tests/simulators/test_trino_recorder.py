"""The recorder: what is measured is real, limits really end a query, and the shipped recording is what its README says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlglot

from platform_assets.simulators.trino_cluster import SAMPLE, Recording, SimulatorError
from platform_assets.simulators.trino_cluster.__main__ import main
from platform_assets.simulators.trino_cluster.costs import fit_recording, read_law
from platform_assets.simulators.trino_cluster.duckdb_text import in_duckdb
from platform_assets.simulators.trino_cluster.layout import SCHEMA, created
from platform_assets.simulators.trino_cluster.measure import Limits, Measurement, measure
from platform_assets.simulators.trino_cluster.recorder import plan, record, thresholds
from platform_assets.simulators.trino_cluster.tpch import make_database
from platform_assets.simulators.trino_cluster.writing import Statement

GENEROUS = Limits(30.0, 512)
EVERYTHING = "SELECT count(*) FROM lineitem a, lineitem b WHERE a.l_quantity + b.l_quantity > 20"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tpch") / "tpch.duckdb"
    make_database(path, 0.01)
    return path


@pytest.fixture(scope="module")
def recorded(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    command = ["record", "--output", str(folder), "--database", str(database), "--queries", "80", "--days", "40"]
    assert main(command) == 0
    return folder


def test_the_large_schema_holds_ten_times_the_orders_of_the_small_one_and_lines_stay_with_their_orders(
    database: Path,
) -> None:
    import duckdb

    with duckdb.connect(str(database), read_only=True) as connection:
        large, small = (
            connection.execute(f"SELECT count(*), count(DISTINCT l_orderkey) FROM {schema}.lineitem").fetchone()
            for schema in ("sales", "sandbox")
        )
        orphans = connection.execute(
            "SELECT count(*) FROM sandbox.lineitem WHERE l_orderkey NOT IN (SELECT o_orderkey FROM sandbox.orders)"
        ).fetchone()
    assert large
    assert small
    assert orphans == (0,)
    assert small[0] / large[0] == pytest.approx(0.1, rel=0.05)


def test_more_work_takes_more_cpu_and_more_memory(database: Path) -> None:
    small = measure(database, "sales", "SELECT 1", GENEROUS)
    large = measure(database, "sales", "SELECT l_orderkey, l_comment FROM lineitem ORDER BY l_comment", GENEROUS)
    assert small.error is None
    assert large.error is None
    assert large.cpu_seconds > 5 * small.cpu_seconds
    assert large.peak_bytes > small.peak_bytes + 2**20
    assert (small.output_rows, large.output_rows) == (1, large.scanned_rows)


def test_a_query_over_its_cpu_limit_is_interrupted(database: Path) -> None:
    found = measure(database, "sales", EVERYTHING, Limits(0.2, 512))
    assert found.error
    assert found.error.code == "EXCEEDED_CPU_LIMIT"
    assert found.error.type == "INSUFFICIENT_RESOURCES"
    assert 0.2 <= found.cpu_seconds < 1.0


def test_a_query_over_its_memory_limit_is_refused(database: Path) -> None:
    text = "SELECT * FROM lineitem a JOIN lineitem b USING (l_partkey) ORDER BY a.l_comment, b.l_comment"
    found = measure(database, "sales", text, Limits(30.0, 32))
    assert found.error
    assert found.error.code == "EXCEEDED_LOCAL_MEMORY_LIMIT"


def test_a_sender_without_patience_cancels(database: Path) -> None:
    found = measure(database, "sales", EVERYTHING, Limits(30.0, 512, patience_seconds=0.05))
    assert found.error
    assert found.error.code == "USER_CANCELED"
    assert found.cpu_seconds < 0.5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT * FORM orders", "SYNTAX_ERROR"),
        ("SELECT custmer_name FROM orders", "COLUMN_NOT_FOUND"),
        ("SELECT * FROM dwh_orders", "TABLE_NOT_FOUND"),
        ("SELECT to_monthname(current_date)", "FUNCTION_NOT_FOUND"),
        ("SELECT CAST('x' AS integer)", "INVALID_CAST_ARGUMENT"),
    ],
)
def test_a_mistake_comes_out_under_trinos_name(database: Path, text: str, code: str) -> None:
    found = measure(database, "sales", text, GENEROUS)
    assert found.error
    assert found.error.code == code


def test_a_query_that_cannot_be_measured_stops_the_recording(tmp_path: Path) -> None:
    with pytest.raises(SimulatorError, match="could not be measured"):
        measure(tmp_path / "absent.duckdb", "sales", "SELECT 1", GENEROUS)


def test_statements_that_only_trino_has_get_a_stand_in_and_the_rest_is_translated() -> None:
    def text(sql: str) -> str:
        return in_duckdb(Statement(sql, "any"))

    assert "duckdb_databases" in text("SHOW CATALOGS")
    assert text("-- a\n/* b */ use hive.sales") == "SELECT 1"
    assert text("SELECT approx_distinct(a) FROM t") == "SELECT APPROX_COUNT_DISTINCT(a) FROM t"
    assert text("explain analyze SELECT 1") == "EXPLAIN analyze SELECT 1"
    assert text("CREATE TABLE sandbox.tmp_0a AS\nSELECT 1") == "CREATE TEMP TABLE tmp_0a AS SELECT 1"
    assert text("SELECT * FORM t (") == "SELECT * FORM t ("
    assert in_duckdb(Statement("EXECUTE statement1", "any", prepared="SELECT 2")) == "SELECT 2"


def test_a_recording_is_the_plan_in_the_layout_of_the_event_listener(recorded: Path) -> None:
    log = pq.read_table(recorded / "queries.parquet")
    planned = list(plan(Recording(queries=80, days=40)))
    assert log.schema.equals(SCHEMA)
    assert log["query_id"].to_pylist() == [each.identifier for each in planned]
    assert log["query"].to_pylist() == [each.arrival.statement.text for each in planned]
    assert min(log["cpu_time_millis"].to_pylist()) >= 0
    assert max(log["cpu_time_millis"].to_pylist()) > 5
    assert set(log["queued_time_millis"].to_pylist()) == {0}


def test_only_statements_with_a_planned_mistake_fail_by_their_text(recorded: Path) -> None:
    log = pq.read_table(recorded / "queries.parquet")
    families = [each.arrival.statement.family for each in plan(Recording(queries=80, days=40))]
    for row, family in zip(log.to_pylist(), families, strict=True):
        if row["error_type"] == "USER_ERROR" and row["error_code"] != "USER_CANCELED":
            assert family == "mistaken", (row["query"], row["failure_message"])


def test_a_folder_that_holds_a_recording_is_refused(recorded: Path) -> None:
    with pytest.raises(SimulatorError, match="choose another folder"):
        record(Recording(), recorded)


def test_a_recording_that_was_stopped_goes_on_where_it_was(database: Path, tmp_path: Path) -> None:
    runs: list[str] = []

    def fake(database: Path, schema: str, sql: str, limits: Limits) -> Measurement:
        runs.append(sql)
        if len(runs) == 20:
            raise SimulatorError("the machine went down")
        return Measurement(0.01, 0.02, 1_000, 5, 1, None)

    recording = Recording(queries=30, days=2)
    with pytest.raises(SimulatorError, match="went down"):
        record(recording, tmp_path, database, measured=fake)
    with pytest.raises(SimulatorError, match="another recording"):
        record(Recording(queries=30, days=2, seed=8), tmp_path, database, measured=fake)
    record(recording, tmp_path, database, measured=fake)
    assert len(runs) == 31
    assert pq.read_table(tmp_path / "queries.parquet").num_rows == 30


def test_a_query_that_is_stopped_between_two_batches_of_its_result_is_not_a_crash(database: Path) -> None:
    text = "SELECT a.* FROM lineitem a, nation b, nation c"
    found = measure(database, "sales", text, Limits(0.3, 512))
    assert found.error
    assert found.error.code == "EXCEEDED_CPU_LIMIT"
    assert found.output_rows > 0


def test_a_recording_that_another_plan_made_is_not_fitted(recorded: Path, tmp_path: Path) -> None:
    for path in recorded.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    (tmp_path / "queries.parquet").write_bytes((recorded / "queries.parquet").read_bytes())
    with pytest.raises(SimulatorError, match="record it again"):
        fit_recording(tmp_path)


def test_the_shipped_recording_is_small_and_its_thresholds_follow_from_it() -> None:
    assert (SAMPLE / "queries.parquet").stat().st_size < 1_500_000
    # Whoever reads one day reads a part of it.
    assert pq.read_metadata(SAMPLE / "queries.parquet").num_row_groups > 10
    log = pq.read_table(SAMPLE / "queries.parquet")
    assert log.schema.equals(SCHEMA)
    told = json.loads((SAMPLE / "recording.json").read_text())
    scenario = told["scenario"]
    assert log.num_rows == scenario["queries"]
    days = {created(name) // 86_400 for name in log["query_id"].to_pylist()}
    assert len(days) == scenario["days"]
    assert thresholds(log, Recording.start) == json.loads((SAMPLE / "thresholds.json").read_text())


def test_the_shipped_recording_holds_its_plan_repeats_and_every_kind_of_end() -> None:
    log = pq.read_table(SAMPLE / "queries.parquet")
    assert log["query"].to_pylist()[:500] == [
        each.arrival.statement.text for each, _ in zip(plan(_shipped()), range(500), strict=False)
    ]
    texts = Counter(log["query"].to_pylist())
    assert len(texts) < 0.8 * log.num_rows
    codes = Counter(log["error_code"].to_pylist())
    for code in ("EXCEEDED_CPU_LIMIT", "EXCEEDED_LOCAL_MEMORY_LIMIT", "USER_CANCELED", "SYNTAX_ERROR", None):
        assert codes[code] >= 3, code


def test_the_shipped_law_is_the_fit_of_the_shipped_recording(tmp_path: Path) -> None:
    for path in SAMPLE.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shipped = read_law(SAMPLE)
    fitted = fit_recording(tmp_path)
    for name in ("cpu", "memory"):
        ours, theirs = getattr(fitted, name), getattr(shipped, name)
        assert ours.families == pytest.approx(theirs.families, abs=2e-3)
        assert ours.terms == pytest.approx(theirs.terms, abs=2e-3)


def test_every_planned_text_but_the_mistaken_ones_is_trino_sql() -> None:
    seen = {each.arrival.statement for each in plan(Recording(queries=2_000, days=20, seed=3))}
    for statement in seen:
        if statement.family not in ("mistaken", "metadata"):
            sqlglot.parse_one(statement.prepared or statement.text, read="trino")


def _shipped() -> Recording:
    scenario = json.loads((SAMPLE / "recording.json").read_text())["scenario"]
    return Recording(**scenario | {"start": Recording.start})
