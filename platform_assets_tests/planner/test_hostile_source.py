"""Hostile rows in a real Postgres: every one is extracted, typed or quarantined by rule, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import sources, validation
from platform_assets_tests.planner.hostile_rows import COLUMNS, DAY, empty, enrich, extract, insert
from platform_assets_tests.planner.test_hostile_events import HOSTILE_TEXTS, rows
from platform_assets_tests.planner.test_validation import CONTEXT, HOUSEHOLD, NOW, PLAN, event


@pytest.fixture
def url(module_postgres_url: str) -> Iterator[str]:
    yield module_postgres_url
    empty(module_postgres_url)


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(rows(), min_size=1, max_size=20))
def test_whatever_postgres_accepts_is_extracted_and_its_day_can_be_enriched(
    url: str, tmp_path: Path, batch: list[dict[str, Any]]
) -> None:
    empty(url)
    folder = tmp_path / uuid4().hex
    accepted = insert(url, batch)
    good, bad = extract(url, folder)
    assert len(good) + len(bad) == accepted
    assert {row["rule"] for row in bad} <= validation.RULES.keys()
    day = enrich(url, folder)
    plans = sum(row["event_type"] == "plan_accepted" for row in good)
    assert pq.read_metadata(day.enriched).num_rows + pq.read_metadata(day.excluded).num_rows == plans


def test_every_hostile_text_that_postgres_accepts_is_extracted(url: str, tmp_path: Path) -> None:
    accepted = insert(url, [event(payload=text) for text in HOSTILE_TEXTS])
    assert accepted > 20
    good, bad = extract(url, tmp_path)
    assert (len(good), len(bad)) == (0, accepted)


def test_json_is_quarantined_down_to_the_deepest_level_that_postgres_accepts(url: str, tmp_path: Path) -> None:
    depths = (900, 2_000, 5_000, 10_000, 20_000, 100_000)
    texts = [json.dumps(PLAN)[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}" for depth in depths]
    assert insert(url, [event(payload=text) for text in texts]) >= 3, "10,000 levels, with the stack that Postgres has"
    good, bad = extract(url, tmp_path)
    assert all("recursion" in row["reason"] for row in bad)
    assert len(bad) >= 2
    assert len(good) <= 1


def test_what_a_json_column_holds_and_jsonb_refuses_is_quarantined_too(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url) as connection:
        for name in ("payload", "context", "experiments", "metrics"):
            connection.execute(f"ALTER TABLE exp.events ALTER {name} TYPE json USING {name}::text::json")
    texts = [
        '{"plan_id": "\\u0000"}',
        '{"plan_id": "\\ud800"}',
        '{"plan_id": 1e999999}',
        '{"plan_id": 1, "plan_id": "p"}',
    ]
    assert insert(postgres_url, [event(event_type="plan_rejected", payload=text) for text in texts]) == len(texts)
    good, bad = extract(postgres_url, tmp_path)
    assert not good
    assert {row["rule"] for row in bad} == {"malformed_payload"}
    assert any("U+0000" in row["reason"] for row in bad)


def replace_events_by_a_view(url: str, rows: int, **values: str) -> None:
    """exp.events becomes a view of `rows` equal rows: these SQL values, and null for every other column."""
    texts = {name: "NULL::text" for name in ("id", *COLUMNS[:-2])}
    times = {name: "NULL::timestamptz" for name in ("timestamp", "created_at")}
    columns = ", ".join(f"{value} AS {name}" for name, value in {**texts, **times, **values}.items())
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE exp.events")
        connection.execute(f"CREATE VIEW exp.events AS SELECT {columns} FROM generate_series(1, {rows})")


def test_a_source_may_be_a_view_of_texts_with_nulls_everywhere(postgres_url: str, tmp_path: Path) -> None:
    replace_events_by_a_view(postgres_url, 3, timestamp="timestamptz '2026-01-05 12:00+00'")
    good, bad = extract(postgres_url, tmp_path)
    assert (len(good), [row["rule"] for row in bad]) == (0, ["unknown_event_type"] * 3)


def test_an_event_without_a_time_is_quarantined_on_the_day_it_was_recorded(postgres_url: str, tmp_path: Path) -> None:
    replace_events_by_a_view(
        postgres_url, 1, event_type="text 'plan_rejected'", unit_type="text 'household'", unit_id=f"text '{HOUSEHOLD}'",
        created_at="timestamptz '2026-01-05 12:00+00'",
    )  # fmt: skip
    good, bad = extract(postgres_url, tmp_path)
    assert (len(good), [row["rule"] for row in bad]) == (0, ["impossible_timestamp"])
    with Warehouse(postgres_url).snapshot() as snapshot:
        assert {day: count.rows for day, count in sources.count_events(snapshot, *DAY).items()} == {"2026-01-05": 1}


@pytest.mark.parametrize("table", ["household_versions", "household_constraint_versions", "pantry_snapshots"])
@pytest.mark.parametrize("missing", ["valid", "recorded"])
def test_a_version_that_does_not_say_since_when_is_never_seen(
    postgres_url: str, tmp_path: Path, table: str, missing: str
) -> None:
    valid = "snapshot_time" if table == "pantry_snapshots" else "valid_from"
    column = valid if missing == "valid" else "recorded_at"
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"CREATE TABLE kept AS SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE kept RENAME TO {table}")
        connection.execute(
            f"INSERT INTO {table} (household_id, {valid}, recorded_at) VALUES (%(who)s, %(at)s, %(at)s), "
            f"(%(who)s, {'NULL' if column == valid else '%(at)s'}, {'NULL' if column == 'recorded_at' else '%(at)s'})",
            {"who": HOUSEHOLD, "at": NOW},
        )
    request = sources.VersionRequest([HOUSEHOLD], NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    with Warehouse(postgres_url).snapshot() as snapshot:
        if table == "pantry_snapshots":
            found = sources.stream_pantry(snapshot, request).read_all().num_rows
        else:
            sources.read_versions(snapshot, table, request, tmp_path / "versions.parquet")
            found = pq.read_metadata(tmp_path / "versions.parquet").num_rows
    assert found == 1


@pytest.mark.parametrize(
    "timestamp", ["0001-01-01 00:00+00", "4713-01-01 BC", "9999-12-31 23:59+00", "infinity", "-infinity", "1969-12-31"]
)
def test_an_event_of_an_impossible_time_is_quarantined_on_the_day_it_was_recorded(
    url: str, tmp_path: Path, timestamp: str
) -> None:
    insert(url, [event(), event(timestamp=timestamp)])
    good, bad = extract(url, tmp_path)
    assert [row["timestamp"] for row in good] == [NOW]
    assert [row["rule"] for row in bad] == ["impossible_timestamp"]
    assert 1 <= bad[0]["timestamp"].year <= 9999
    with Warehouse(url).snapshot() as snapshot:
        counts = sources.count_events(snapshot, DAY[0] - timedelta(days=400), DAY[1] + timedelta(days=400))
    assert {day: count.rows for day, count in counts.items()} == {"2026-01-05": 2}


@pytest.mark.parametrize(
    ("created_at", "rule"),
    [("infinity", "recorded_in_the_future"), ("9999-01-01", "recorded_in_the_future"), ("294276-01-01", "recorded_in_the_future"),
     ("-infinity", "clock_skew"), ("4713-01-01 BC", "clock_skew"), ("0001-01-01", "clock_skew")],
)  # fmt: skip
def test_an_event_recorded_at_an_impossible_time_is_quarantined(
    url: str, tmp_path: Path, created_at: str, rule: str
) -> None:
    insert(url, [event(), event(created_at=created_at, context={**CONTEXT, "request_id": "q2"})])
    good, bad = extract(url, tmp_path)
    assert (len(good), [row["rule"] for row in bad]) == (1, [rule])


def test_a_recording_a_little_ahead_of_the_sources_clock_is_kept(url: str, tmp_path: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=20)
    insert(url, [event(created_at=ahead), event(created_at=ahead + timedelta(hours=8), payload=PLAN)])
    good, bad = extract(url, tmp_path)
    assert (len(good), [row["rule"] for row in bad]) == (1, ["recorded_in_the_future"])


MEMORY_CODE = """
import json, re, sys
from datetime import datetime
from pathlib import Path
from platform_assets.core.engine import Engine
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import extraction
url, folder, *window = sys.argv[1:]
start, end = map(datetime.fromisoformat, window)
def peak_mib():  # not getrusage, which begins with the peak of the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) / 1024
engine = Engine(Path(folder), "200MB", 1)
extraction.extract_day(Warehouse(url), engine, (end, end), Path(folder))  # loads and warms up what every day needs
before = peak_mib()
found = extraction.extract_day(Warehouse(url), engine, (start, end), Path(folder))
print(json.dumps({"grown_mib": peak_mib() - before, "rows": found.rows_read}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux' /proc")
def test_a_day_of_ten_megabyte_payloads_is_read_in_bounded_memory(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO exp.events (event_type, unit_type, unit_id, payload, context, timestamp, created_at) "
            "SELECT 'plan_accepted', 'household', %s, jsonb_build_object('plan_id', 'p', 'notes', repeat(i::text || 'é', 3500000)), "
            "%s, %s, %s FROM generate_series(10, 35) AS i",
            (HOUSEHOLD, json.dumps(CONTEXT), NOW, NOW),
        )
    command = [sys.executable, "-c", MEMORY_CODE, url, str(tmp_path), *(instant.isoformat() for instant in DAY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["rows"] == 26
    assert measured["grown_mib"] < 64, "26 payloads of 14 MB are 364 MB of text"
    bad = pq.read_table(tmp_path / "quarantined_events.parquet").to_pylist()
    assert {row["rule"] for row in bad} == {"oversized_json"}
    assert all("payload has 14000" in row["reason"] and "sha256 " in row["reason"] for row in bad)
    assert all(len(row["payload"]) == 10_000 for row in bad)
    assert (tmp_path / "quarantined_events.parquet").stat().st_size < 100_000
