"""Sources of queries: three adapters to one day of typed rows, and what becomes of rows that break a rule."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.core.engine import Engine
from platform_assets.core.warehouse import WarehouseError
from platform_assets.query_predictor import extraction, query_rows, source_json_lines, source_parquet
from platform_assets.query_predictor.query_rows import RULES, moment, seconds
from platform_assets.query_predictor.sources import SourceError, open_source
from platform_assets.query_predictor.text_hash import text_hash
from platform_assets_tests.query_predictor.query_samples import DAY, NOON, completed_event, documented, event_row

Row = dict[str, Any]
EXPECTED = {**documented(), "textHash": text_hash("SELECT a FROM t").hex()}


def extract(
    source: str, folder: Path, day: date = DAY, strays: bool = False
) -> tuple[extraction.ExtractedDay, list[Row], list[Row]]:
    found = extraction.extract_day(open_source(source), Engine(folder, threads=1), day, folder / "day", strays)
    assert extraction.rows_reconcile(found).passed, extraction.rows_reconcile(found).reason
    queries = pq.read_table(found.queries)
    assert queries.schema.names == query_rows.QUERIES.names
    return found, queries.to_pylist(), pq.read_table(found.quarantined).to_pylist()


def parquet(path: Path, rows: Sequence[Row], **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, **options)
    return str(path)


def json_lines(path: Path, events: Sequence[Any]) -> str:
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


TABLE = """CREATE TABLE {name} (query_id varchar(255) PRIMARY KEY, query text NOT NULL, query_state varchar(255) NOT NULL,
    "user" varchar(255) NOT NULL, client_info varchar(255), source varchar(255), catalog varchar(255), "schema" varchar(255),
    query_type varchar(255), error_code varchar(255), error_type varchar(255), cpu_time_millis bigint NOT NULL,
    wall_time_millis bigint NOT NULL, queued_time_millis bigint NOT NULL, peak_memory_bytes bigint NOT NULL, total_rows bigint)"""


def table(url: str, rows: Sequence[Row], name: str = "trino_queries") -> str:
    """A table in Postgres as the event listener makes it; returns the setting."""
    quoted = ".".join(f'"{word}"' for word in name.split("."))
    with psycopg.connect(url) as connection:
        if "." in name:
            connection.execute(f"CREATE SCHEMA {quoted.split('.')[0]}".encode())
        connection.execute(TABLE.format(name=quoted).encode())
        for row in rows:
            columns = ", ".join(f'"{column}"' for column in row)
            values = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO {quoted} ({columns}) VALUES ({values})".encode(), list(row.values()))
    place, _, options = url.partition("?")
    return f"{place}/{name}?{options}" if options else f"{place}/{name}"


def test_every_adapter_gives_the_same_query(tmp_path: Path, empty_postgres_url: str) -> None:
    sources = (
        parquet(tmp_path / "a" / "log.parquet", [documented()]),
        parquet(tmp_path / "b" / "exported.parquet", [event_row()]),
        json_lines(tmp_path / "log.jsonl", [completed_event()]),
        table(empty_postgres_url, [event_row()]),
    )
    for source in sources:
        _, queries, quarantined = extract(source, tmp_path)
        assert (queries, quarantined) == ([EXPECTED], []), source


def test_a_failed_query_keeps_its_errors_name_and_type(tmp_path: Path, empty_postgres_url: str) -> None:
    failed = {
        "errorName": "Exceeded_Cpu_Limit",
        "errorType": "INSUFFICIENT_RESOURCES",
        "queryState": "failed",
        "queryType": None,
    }
    failure = {"errorCode": {"code": 131077, "name": "EXCEEDED_CPU_LIMIT", "type": "INSUFFICIENT_RESOURCES"}}
    listed = {
        "error_code": "EXCEEDED_CPU_LIMIT",
        "error_type": "INSUFFICIENT_RESOURCES",
        "query_state": "FAILED",
        "query_type": None,
    }
    event = completed_event(failureInfo=failure, metadata__queryState="FAILED", context__queryType=None)
    expected = {**EXPECTED, **failed, "errorName": "EXCEEDED_CPU_LIMIT", "queryState": "FAILED"}
    for source in (
        parquet(tmp_path / "log.parquet", [documented(**failed)]),
        json_lines(tmp_path / "log.jsonl", [event]),
        table(empty_postgres_url, [event_row(**listed)]),
    ):
        assert extract(source, tmp_path)[1] == [expected]


BREACHES: dict[str, tuple[Row, ...]] = {
    "missing_query_id": ({"queryId": None}, {"queryId": " "}),
    "impossible_create_time": ({"createTime": datetime(2500, 1, 1, tzinfo=UTC)}, {"createTime": datetime(1900, 1, 1, tzinfo=UTC)}),
    "missing_end_time": ({"endTime": None}, {"endTime": datetime(2500, 1, 1, tzinfo=UTC)}),
    "end_before_create": ({"endTime": NOON - timedelta(seconds=1)},),
    "impossible_cost": ({"cpuTime": -0.1}, {"cpuTime": None}, {"cpuTime": float("nan")}, {"cpuTime": float("inf")},
                        {"peakUserMemoryBytes": -1}, {"peakUserMemoryBytes": None}),
    "missing_text": ({"query": None},),
    "missing_user": ({"user": None}, {"user": ""}),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "changes"), [(rule, case) for rule, cases in BREACHES.items() for case in cases])
def test_a_row_that_breaks_a_rule_is_quarantined_with_what_to_do(tmp_path: Path, rule: str, changes: Row) -> None:
    rows = [documented(queryId="20260105_000000_00009_other"), documented(**changes)]
    found, queries, quarantined = extract(parquet(tmp_path / "log.parquet", rows), tmp_path)
    assert [row["queryId"] for row in queries] == ["20260105_000000_00009_other"]
    assert (found.refused, quarantined[0]["rule"], quarantined[0]["remedy"]) == ({rule: 1}, rule, RULES[rule])
    told = json.loads(quarantined[0]["row"])
    assert told.get("query_id") == documented(**changes)["queryId"]
    assert quarantined[0]["reason"]


def test_rows_of_no_day_are_quarantined_by_the_one_day_that_asks_for_them(
    tmp_path: Path, empty_postgres_url: str
) -> None:
    lost = {"queryId": "x", "createTime": None}
    far = {"queryId": "y", "createTime": datetime(2500, 1, 1, tzinfo=UTC)}
    for source, strays in (
        (parquet(tmp_path / "log.parquet", [documented(), documented(**lost), documented(**far)]), 2),
        (table(empty_postgres_url, [event_row(), event_row(query_id="x"), event_row(query_id="20260230_120000_00001_abcde"),
                                    event_row(query_id="20260105-120000")]), 3),
    ):  # fmt: skip
        assert len(extract(source, tmp_path)[2]) == 0
        _, queries, quarantined = extract(source, tmp_path, strays=True)
        assert (len(queries), len(quarantined)) == (1, strays), (source, quarantined)
        other, _, again = extract(source, tmp_path, date(2026, 1, 6), strays=True)
        assert (other.kept, len(again)) == (0, strays)


BROKEN = [
    b"{", b"[1]", b'"x"', b"\xff", b"{}", b'{"metadata": null}', b'{"metadata": {"queryId": null}}', b'{"taskId": 1}',
    completed_event(metadata__queryId="x", createTime=None),
    completed_event(metadata__queryId="y", createTime="2500-01-01T00:00:00Z"),
]  # fmt: skip


def test_a_line_without_a_time_is_of_the_day_of_the_line_before_it(tmp_path: Path) -> None:
    times = {"createTime": "2026-01-07T12:00:00Z", "endTime": "2026-01-07T12:00:09Z"}
    later = completed_event(metadata__queryId="20260107_120000_00001_abcde", **times)
    lines = [*BROKEN, completed_event(), *BROKEN, later, *BROKEN[:3]]
    source = json_lines(tmp_path / "log.jsonl", lines)
    for day, expected in ((DAY, 2 * len(BROKEN)), (date(2026, 1, 6), 0), (date(2026, 1, 7), 3)):
        found, queries, quarantined = extract(source, tmp_path, day, strays=True)
        assert (len(queries), len(quarantined)) == (bool(expected), expected), (day, quarantined)
        assert extraction.rows_reconcile(found).passed
    assert {row["rule"] for row in quarantined} == {"unreadable_row"}


def test_a_file_in_which_no_line_tells_a_time_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.mkdir()
    json_lines(log / "good.jsonl", [completed_event()])
    json_lines(log / "torn.jsonl", BROKEN)
    with pytest.raises(SourceError, match=r"torn.jsonl is no log .* first 10 lines .*torn.jsonl, line 1.*replace it"):
        extract(str(log), tmp_path)
    monkeypatch.setattr(source_json_lines, "_MOST_WAITING", 3)
    monkeypatch.setattr(source_json_lines, "_BATCH_ROWS", 2)
    json_lines(log / "torn.jsonl", [*BROKEN, completed_event()])
    with pytest.raises(SourceError, match="first 4 lines"):
        extract(str(log), tmp_path)


def test_a_missing_create_time_is_that_of_the_id(tmp_path: Path) -> None:
    source = parquet(tmp_path / "log.parquet", [documented(createTime=None), documented()])
    found, queries, _ = extract(source, tmp_path)
    assert (queries, found.copies) == ([EXPECTED], 1)


def test_copies_are_counted_and_contradictions_quarantined(tmp_path: Path) -> None:
    rows = [documented(), documented(cpuTime=2.0), documented(), documented(cpuTime=2.0), documented(user="bob")]
    found, queries, quarantined = extract(parquet(tmp_path / "log.parquet", rows), tmp_path)
    assert (queries, found.rows_read, found.copies, found.refused) == ([EXPECTED], 5, 2, {"conflicting_query": 2})
    assert {json.loads(row["row"])["cpuTime"] for row in quarantined} == {1.5, 2.0}


def test_a_day_is_that_of_utc_to_the_microsecond(tmp_path: Path) -> None:
    first, last = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC) - timedelta(microseconds=1)
    times = [first - timedelta(microseconds=1), first, last, last + timedelta(microseconds=1)]
    rows = [documented(queryId=f"q{place}", createTime=time, endTime=time) for place, time in enumerate(times)]
    for source in (
        parquet(tmp_path / "log.parquet", rows, row_group_size=1),
        json_lines(tmp_path / "log.jsonl", [completed_event(metadata__queryId=row["queryId"], createTime=row["createTime"].isoformat(),
                                                            endTime=row["endTime"].isoformat()) for row in rows]),
    ):  # fmt: skip
        assert [row["queryId"] for row in extract(source, tmp_path)[1]] == ["q1", "q2"]


def test_row_groups_of_other_days_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        documented(queryId=f"q{day}", createTime=NOON + timedelta(days=day), endTime=NOON + timedelta(days=40))
        for day in range(30)
    ]
    source = parquet(tmp_path / "log.parquet", rows, row_group_size=1)
    listed = [event_row(query_id=f"{NOON + timedelta(days=day):%Y%m%d}_120000_00001_abcde") for day in range(30)]
    other = parquet(tmp_path / "b" / "log.parquet", listed, row_group_size=1)
    asked: list[int] = []
    read = pq.ParquetFile.iter_batches

    def counted(file: pq.ParquetFile, size: int, groups: list[int], *rest: Any, **named: Any) -> Any:
        asked.append(len(groups))
        return read(file, size, groups, *rest, **named)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    assert [len(batch) for path in (source, other) for batch in open_source(path).read(date(2026, 1, 15))] == [1, 1]
    assert asked == [1, 1]


def test_parquet_of_other_types_and_zones_says_the_same(tmp_path: Path) -> None:
    row = documented()
    naive = {
        **row,
        "createTime": NOON.replace(tzinfo=None),
        "endTime": "2026-01-05 12:00:03 UTC",
        "cpuTime": timedelta(seconds=1.5),
    }
    zoned = {**row, "createTime": "2026-01-05T13:00:00+01:00", "cpuTime": "PT1.5S", "peakUserMemoryBytes": 1024.0}
    for name, changed in (("naive", naive), ("zoned", zoned)):
        assert extract(parquet(tmp_path / f"{name}.parquet", [changed]), tmp_path)[1] == [EXPECTED]
    file = tmp_path / "nanoseconds.parquet"
    typed = pa.Table.from_pylist([row]).set_column(0, "queryId", pa.array([row["queryId"]]).dictionary_encode())
    place = typed.schema.names.index("createTime")
    pq.write_table(typed.set_column(place, "createTime", pa.array([NOON], pa.timestamp("ns", "UTC"))), file)
    assert extract(str(file), tmp_path)[1] == [EXPECTED]


def test_a_text_that_is_not_utf8_is_quarantined_alone(tmp_path: Path) -> None:
    found = pa.Table.from_pylist([documented(), documented(queryId="20260105_120000_00002_abcde")])
    texts = pa.Array.from_buffers(
        pa.string(), 2, pa.array([b"SELECT a FROM t", b"SELECT \xff\xfe"], pa.binary()).buffers()
    )
    pq.write_table(found.set_column(1, "query", texts), tmp_path / "log.parquet")
    _, queries, quarantined = extract(str(tmp_path / "log.parquet"), tmp_path)
    assert (queries, [row["rule"] for row in quarantined]) == ([EXPECTED], ["unreadable_text"])


def test_events_that_complete_no_query_are_passed_over(tmp_path: Path) -> None:
    created = {name: completed_event()[name] for name in ("metadata", "context", "createTime")}
    split = {"queryId": "q", "stageId": "1", "taskId": "1.0", "createTime": "2026-01-05T12:00:00Z", "statistics": {}}
    source = json_lines(tmp_path / "log.jsonl", [created, split, b"", completed_event()])
    found, queries, _ = extract(source, tmp_path, strays=True)
    assert (found.rows_read, queries) == (1, [EXPECTED])


def test_packed_lines_read_the_same_and_torn_ones_are_refused(tmp_path: Path) -> None:
    content = json.dumps(completed_event()).encode()
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    assert extract(str(tmp_path / "*.gz"), tmp_path)[1] == [EXPECTED]
    path.write_bytes(gzip.compress(content * 100)[:-20])
    with pytest.raises(SourceError, match="cut short"):
        extract(str(path), tmp_path)


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_json_lines, "LINE_LIMIT", 2_000)
    source = json_lines(tmp_path / "log.jsonl", [b"x" * 9_001, completed_event(), b"y" * 4_000])
    _, queries, quarantined = extract(source, tmp_path, strays=True)
    assert queries == [EXPECTED]
    assert [row["reason"] for row in quarantined] == [
        "log.jsonl, line 1: 9002 bytes, more than 2000",
        "log.jsonl, line 3: 4001 bytes, more than 2000",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (0, 0.0), ("PT1.5S", 1.5), ("PT8H6M12.345S", 29_172.345), ("P1DT1S", 86_401.0), ("PT-1.5S", -1.5), ("-PT1S", -1.0),
     ("2.5", 2.5), ("P", None), ("PT", None), ("1.50m", None), ("nan", None), (True, None), (None, None), (float("inf"), None),
     ("1e400", None), (10**400, None), ([], None)],
)  # fmt: skip
def test_durations_are_numbers_or_iso_texts(value: Any, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value",
    ["2026-01-05T12:00:00Z", "2026-01-05T12:00:00.000000000Z", "2026-01-05 12:00:00.000 UTC", "2026-01-05T07:00:00-05:00", NOON.timestamp(),
     int(NOON.timestamp() * 1000), NOON, NOON.replace(tzinfo=None), "2026-01-05T12:00:00"],
)  # fmt: skip
def test_times_are_texts_or_numbers(value: Any) -> None:
    assert moment(value) == NOON


@given(
    st.none()
    | st.booleans()
    | st.text()
    | st.floats()
    | st.integers()
    | st.datetimes()
    | st.binary()
    | st.lists(st.integers())
)
def test_no_value_at_all_breaks_the_readers(value: Any) -> None:
    for read in (seconds, moment, query_rows.created_from_id):
        read(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["\ud800", "\x00", "PT1S", "2026-01-05T12:00:00Z", "9" * 400]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2), max_leaves=4,
)  # fmt: skip
PATHS = st.sampled_from(
    ["metadata", "context", "statistics", "failureInfo", "createTime", "endTime", "metadata__queryId", "metadata__query", "context__user",
     "context__schema", "context__queryType", "statistics__cpuTime", "statistics__peakUserMemoryBytes", "statistics__wallTime"]
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PATHS, JSON) | st.binary(max_size=30), max_size=12))
def test_whatever_lines_hold_every_row_is_somewhere(tmp_path: Path, drawn: list[tuple[str, Any] | bytes]) -> None:
    lines = [
        item.replace(b"\n", b" ") if isinstance(item, bytes) else completed_event(**{item[0]: item[1]})
        for item in drawn
    ]
    found, queries, quarantined = extract(
        json_lines(tmp_path / "log.jsonl", [completed_event(), *lines]), tmp_path, strays=True
    )
    assert EXPECTED in queries
    assert found.rows_read == len(queries) + len(quarantined) + found.copies
    for row in quarantined:
        assert row["rule"] in RULES
        json.loads(row["row"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "query": st.sampled_from([None, "", "SELECT '\x00'", "SELECT 2"]), "user": st.sampled_from([None, "ann"]),
                "cpuTime": st.none() | st.floats(), "peakUserMemoryBytes": st.none() | st.integers(-(2**63), 2**63 - 1),
                "createTime": st.none() | st.datetimes(), "endTime": st.none() | st.datetimes(),
                "queryId": st.sampled_from([None, "", "20260105_120000_00001_abcde", "20261399_000000_0", "z"]),
            },
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_whatever_parquet_holds_every_row_is_in_one_day_or_in_none(
    tmp_path: Path, drawn: list[Mapping[str, Any]]
) -> None:
    schema = pa.Table.from_pylist([documented(errorName="", errorType="")]).schema
    for name in ("createTime", "endTime"):
        schema = schema.set(schema.names.index(name), pa.field(name, pa.timestamp("us")))
    rows = [
        documented(createTime=NOON.replace(tzinfo=None), endTime=NOON.replace(tzinfo=None)) | dict(row) for row in drawn
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "log.parquet", row_group_size=3)
    source = open_source(str(tmp_path / "log.parquet"))
    placed = [query_rows.day_of(row) for batch in source.read(DAY, strays=True) for row in batch]
    days = {query_rows.day_of(query_rows.RawQuery(row["queryId"], created=row["createTime"])) for row in rows} - {
        None,
        DAY,
    }
    read = {day: sum(len(batch) for batch in source.read(day)) for day in days if day is not None}
    assert len(placed) + sum(read.values()) == len(rows)
    assert all(read.values())
    extract(str(tmp_path / "log.parquet"), tmp_path, strays=True)


def test_a_table_in_a_schema_with_a_strange_name_is_quoted(tmp_path: Path, empty_postgres_url: str) -> None:
    source = table(empty_postgres_url, [event_row()], 'Log.trino"queries; drop'.replace('"', ""))
    assert extract(source.replace(" ", "%20").replace(";", "%3B"), tmp_path)[1] == [EXPECTED]


def test_hostile_texts_come_out_of_postgres_as_they_went_in(tmp_path: Path, empty_postgres_url: str) -> None:
    texts = [
        "SELECT '\\x00'",
        "\ufeffselect 'é😀' -- \u202e",
        "x" * 2_000_000,
        "'; DROP TABLE trino_queries; --",
        "%s $1 {0}",
    ]
    rows = [event_row(query_id=f"20260105_12000{place}_00001_abcde", query=text) for place, text in enumerate(texts)]
    rows.append(event_row(query_id="20260105_130000_00001_abcde", cpu_time_millis=-1, peak_memory_bytes=2**63 - 1))
    found, queries, quarantined = extract(table(empty_postgres_url, rows), tmp_path)
    assert [row["query"] for row in queries] == texts
    assert (found.refused, len(quarantined)) == ({"impossible_cost": 1}, 1)


def test_a_setting_that_cannot_be_used_is_named_without_its_password(tmp_path: Path, empty_postgres_url: str) -> None:
    (tmp_path / "mixed").mkdir()
    for name in ("a.parquet", "b.jsonl"):
        (tmp_path / "mixed" / name).touch()
    cases = (
        ("", "is not set"), (str(tmp_path / "nothing"), "no .parquet"), (str(tmp_path / "mixed"), "holds both"),
        ("mysql://user:secret@host/db", "only s3:// and postgresql"), ("postgresql://user:secret@host/db/t", "PGPASSWORD"),
        ("postgresql://user@host/db", "host/database/table"),
    )  # fmt: skip
    for setting, message in cases:
        with pytest.raises(SourceError, match=message) as caught:
            open_source(setting)
        assert "secret" not in str(caught.value)
    (tmp_path / "mixed" / "b.jsonl").unlink()
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        list(open_source(str(tmp_path / "mixed")).read(DAY))
    with pytest.raises(SourceError, match="has no column cpuTime"):
        list(
            open_source(
                parquet(tmp_path / "x.parquet", [{k: v for k, v in documented().items() if k != "cpuTime"}])
            ).read(DAY)
        )
    place, _, options = empty_postgres_url.partition("?")
    with pytest.raises(SourceError, match="holds no such table"):
        list(open_source(f"{place}/nothing?{options}").read(DAY))
    with psycopg.connect(empty_postgres_url) as connection:
        connection.execute("CREATE TABLE other (query_id text)")
    with pytest.raises(SourceError, match="has no column query, user"):
        list(open_source(f"{place}/other?{options}").read(DAY))
    with pytest.raises(WarehouseError):
        list(open_source("postgresql://nobody@127.0.0.1:1/db/t").read(DAY))


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    for name in ("b", "a", "_hidden"):
        parquet(tmp_path / "log" / f"{name}.parquet", [documented(user=name)])
    found, queries, _ = extract(str(tmp_path / "log"), tmp_path)
    assert (found.rows_read, queries[0]["user"]) == (2, "a")
    assert source_parquet.REQUIRED[0] == "queryId"
