"""Trino's log as JSON lines: what the HTTP event listener posts when a query has completed, one event a line.

Events of queries created and of splits are none of a query's end and are passed over. A line that tells no time of its own (cut off,
no JSON, another kind of event) belongs to the day on which the query of the line before it ended, as lines are written when queries
end: what breaks today is quarantined today. At the beginning of a file the first line with a time decides, and where none has one the
file before it, by name; what comes before the calendar is its first day's. A file that begins with more than MOST_WAITING such lines
is no log, and refused. Files may be packed (.gz). A day reads every file, streamed: keep old ones elsewhere. What makes a row valid
does not belong here.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec

from platform_assets.query_predictor.query_rows import RawQuery, day_of, ended_on
from platform_assets.query_predictor.sources import LogFile, SourceError

# A longer line is not held in memory; Trino's own limit of a text is a million characters.
LINE_LIMIT = 64 * 1024 * 1024
_BATCH_ROWS = 1_000
_BATCH_BYTES = 8 * 1024 * 1024
# What is fetched at once: few requests, little memory.
_CHUNK_BYTES = 4 * 1024 * 1024
_SHOWN = 200
# They are held in memory, in part, until the first one with a time.
MOST_WAITING = 10_000


@dataclass(frozen=True)
class JsonLinesSource:
    """Files of JSON lines, read one after the other in the order given."""

    name: str
    files: Sequence[LogFile]

    def read(self, day: date, strays: bool = False) -> Iterator[list[RawQuery]]:
        """See `sources.Source`. Raises SourceError for a file that cannot be unpacked, or that is no log."""
        asked = _Asked(day, strays)
        for file in self.files:
            try:
                with _unpacked(file) as content:
                    yield from asked.rows(_batches(content, file.last_name), file.name)
            except (OSError, EOFError, zlib.error) as error:
                raise SourceError(
                    f"{file.name} cannot be read ({error}): it is damaged or cut short; replace it"
                ) from None


@contextmanager
def _unpacked(file: LogFile) -> Iterator[io.BufferedIOBase]:
    with file.opened() as content, io.BufferedReader(content, _CHUNK_BYTES) as packed:
        if file.key.endswith(".gz"):
            with gzip.GzipFile(fileobj=packed) as lines:
                yield lines
        else:
            yield packed


class _Asked:
    """The rows of a day, file after file. `_near` is the day of the newest line that has a time."""

    def __init__(self, day: date, strays: bool) -> None:
        self._day, self._strays = day, strays
        self._near: date | None = None

    def rows(self, batches: Iterator[list[RawQuery]], name: str) -> Iterator[list[RawQuery]]:
        """Those of one file. Raises SourceError for one that is no log."""
        near, waiting = None, list[RawQuery]()
        for batch in batches:
            found = []
            for row in batch:
                if own := day_of(row):
                    near = ended_on(row) or own
                    found += [*(waiting if self._is_asked(near) else ()), *([row] if own == self._day else ())]
                    waiting.clear()
                elif near is None:
                    waiting.append(row)
                elif self._is_asked(near):
                    found.append(row)
            if found:
                yield found
            if len(waiting) > MOST_WAITING:
                raise SourceError(_no_log(name, waiting))
        self._near = near or self._near
        if waiting and self._is_asked(self._near):
            yield waiting

    def _is_asked(self, near: date | None) -> bool:
        return near == self._day or (self._strays and (near is None or near < self._day))


def _no_log(name: str, waiting: Sequence[RawQuery]) -> str:
    why = waiting[0].fault or "no createTime, and no queryId that begins with one"
    return (
        f"{name} is no log of completed queries: none of its first {len(waiting):,} lines tells when a query was created ({why}); "
        "take it away, or replace it"
    )


def _batches(content: io.BufferedIOBase, name: str) -> Iterator[list[RawQuery]]:
    batch, size = [], 0
    for number, (line, length) in enumerate(_lines(content), start=1):
        row = _raw_query(line, f"{name}, line {number}") if line is not None else _too_long(name, number, length)
        if row is not None:
            batch.append(row)
            size += length
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _lines(content: io.BufferedIOBase) -> Iterator[tuple[bytes | None, int]]:
    """Lines and their lengths; of one that is too long no more than its length."""
    while line := content.readline(LINE_LIMIT):
        length = len(line)
        if length < LINE_LIMIT or line.endswith(b"\n"):
            yield line, length
            continue
        while (rest := content.readline(LINE_LIMIT)) and not rest.endswith(b"\n"):
            length += len(rest)
        yield None, length + len(rest)


def _too_long(name: str, number: int, length: int) -> RawQuery:
    return RawQuery(fault=f"{name}, line {number}: {length} bytes, more than {LINE_LIMIT}")


def _raw_query(line: bytes, place: str) -> RawQuery | None:
    """None for blank lines and for events that are not of a completed query."""
    if not line.strip():
        return None
    try:
        event = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return RawQuery(query=_shown(line), fault=f"{place}: {error}")
    if not isinstance(event, dict):
        return RawQuery(query=_shown(line), fault=f"{place}: no JSON object")
    return None if _is_other_event(event) else _completed(event)


def _is_other_event(event: Mapping[str, Any]) -> bool:
    """A query that was created has an id and a time, no statistics and no end; a split has a task. Anything else is to be judged."""
    if "metadata" not in event:
        return "taskId" in event and "queryId" in event
    is_begun = bool(_object(event, "metadata").get("queryId")) and "createTime" in event
    return is_begun and "statistics" not in event and "endTime" not in event


def _completed(event: Mapping[str, Any]) -> RawQuery:
    metadata, context, statistics, failure = (
        _object(event, name) for name in ("metadata", "context", "statistics", "failureInfo")
    )
    error = failure.get("errorCode")
    code = error if isinstance(error, dict) else {"name": error}
    return RawQuery(
        metadata.get("queryId"), metadata.get("query"), context.get("user"), context.get("source"), context.get("catalog"),
        context.get("schema"), context.get("clientInfo"), context.get("queryType"), metadata.get("queryState"), code.get("name"),
        code.get("type"), cpu_time=statistics.get("cpuTime"), peak_bytes=statistics.get("peakUserMemoryBytes"),
        created=event.get("createTime"), ended=event.get("endTime"),
        elapsed=[statistics[name] for name in ("queuedTime", "wallTime") if name in statistics],
    )  # fmt: skip


def _object(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = event.get(name)
    return value if isinstance(value, dict) else {}


def _shown(line: bytes) -> str:
    return line[:_SHOWN].decode("utf-8", "replace")
