"""Queries as JSON lines: what is no completed query, no JSON or no end of a line, and the day that it belongs to."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import extraction, source_json_lines
from platform_assets.query_predictor.query_rows import RULES
from platform_assets.query_predictor.sources import SourceError
from platform_assets_tests.query_predictor.query_samples import DAY, completed_event
from platform_assets_tests.query_predictor.source_days import EXPECTED, extract, json_lines

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
    found, queries, quarantined = extract(
        json_lines(tmp_path / "log.jsonl", [completed_event(), *lines]), tmp_path, strays=True
    )
    assert EXPECTED in queries
    assert found.rows_read == len(queries) + len(quarantined) + found.copies
    for row in quarantined:
        assert row["rule"] in RULES
        json.loads(row["row"])
