"""Queries as JSON lines: what is no completed query, no JSON or no end of a line, and the day that it belongs to."""

from __future__ import annotations

import gzip
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import query_rows, source_json_lines
from platform_assets.query_predictor.query_rows import RULES
from platform_assets.query_predictor.sources import SourceError, open_source
from platform_assets_tests.query_predictor.query_samples import DAY, completed_event
from platform_assets_tests.query_predictor.source_days import EXPECTED, Row, extract, json_lines

NEXT, LATER = (DAY + timedelta(days=number) for number in (1, 2))
BROKEN = [
    b"{", b"[1]", b'"x"', b"\xff", b"{}", b'{"metadata": null}', b'{"metadata": {"queryId": null}}', b'{"taskId": 1}',
    completed_event(metadata__queryId="x", createTime=None),
    completed_event(metadata__queryId="y", createTime="2500-01-01T00:00:00Z"),
]  # fmt: skip


def at(day: date, ended: date | None = None) -> Row:
    return completed_event(
        metadata__queryId=f"{day:%Y%m%d}_120000_0000{2 if ended else 1}_abcde",
        createTime=f"{day}T12:00:00Z",
        endTime=f"{ended or day}T12:00:09Z",
    )


def test_a_line_without_a_time_is_of_the_day_on_which_the_query_before_it_ended(tmp_path: Path) -> None:
    lines = [*BROKEN, at(DAY), *BROKEN, at(LATER), *BROKEN[:3], at(DAY, ended=NEXT), *BROKEN[:2]]
    source = json_lines(tmp_path / "log.jsonl", lines)
    read = 0
    for day, kept, refused in ((DAY, 2, 2 * len(BROKEN)), (NEXT, 0, 2), (LATER, 1, 3)):
        found, queries, quarantined = extract(source, tmp_path, day)
        assert (len(queries) + found.copies, len(quarantined)) == (kept, refused), (day, quarantined)
        assert {row["rule"] for row in quarantined} >= {"unreadable_row"}
        read += found.rows_read
    assert read == len(lines)


def test_a_file_without_a_time_goes_with_the_one_before_it_and_what_precedes_the_calendar_with_its_first_day(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    json_lines(log / "a.jsonl", BROKEN[:1])
    json_lines(log / "b.jsonl", [at(date(1970, 1, 1)), *BROKEN[:3]])
    json_lines(log / "c.jsonl", [at(NEXT)])
    json_lines(log / "d.jsonl", BROKEN[:5])
    read = {day: extract(str(log), tmp_path, day, strays=day == DAY)[0].rows_read for day in (DAY, NEXT, LATER)}
    assert read == {DAY: 1 + 3, NEXT: 1 + 5, LATER: 0}


def test_a_file_that_begins_with_many_lines_without_a_time_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_json_lines, "MOST_WAITING", 3)
    monkeypatch.setattr(source_json_lines, "_BATCH_ROWS", 2)
    source = json_lines(tmp_path / "torn.jsonl", [*BROKEN, at(DAY)])
    with pytest.raises(SourceError, match=r"torn.jsonl is no log .* first 4 lines .*torn.jsonl, line 1.*replace it"):
        extract(source, tmp_path)


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
    source = json_lines(tmp_path / "log.jsonl", [completed_event(), *lines])
    _, queries, quarantined = extract(source, tmp_path)
    assert EXPECTED in queries
    for row in quarantined:
        assert row["rule"] in RULES
        json.loads(row["row"])
    written = [line for line in Path(source).read_bytes().split(b"\n") if line.strip()]
    rows = [source_json_lines._raw_query(line, "") for line in written]
    days = {found for row in rows if row for found in (query_rows.day_of(row), query_rows.ended_on(row)) if found}
    assert sum(len(batch) for day in days for batch in open_source(source).read(day)) == len(written)
