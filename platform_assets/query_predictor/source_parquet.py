"""Trino's log as Parquet files: the documented names (queryId, query, ..., createTime), or the event listener's table exported.

Row groups without the day are not read, by the statistics of the column that holds the time: of a file in a bucket the footer and
the day's row groups are fetched. Memory holds one batch of one row group, and that group packed. Times without a zone are UTC. What does not belong here: what makes a row valid (`query_rows`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.query_predictor import event_table
from platform_assets.query_predictor.query_rows import RawQuery
from platform_assets.query_predictor.sources import SETTING, LogFile, SourceError, of_day

REQUIRED = ("queryId", "query", "user", "cpuTime", "peakUserMemoryBytes", "createTime", "endTime")
OPTIONAL = ("source", "catalog", "schema", "clientInfo", "queryType", "queryState", "errorName", "errorType")
# A few megabytes of people's queries.
_BATCH_ROWS = 1_000


@dataclass(frozen=True)
class _Layout:
    columns: tuple[str, ...]
    time: str
    raw_query: Callable[[Mapping[str, Any]], RawQuery]


@dataclass(frozen=True)
class ParquetSource:
    """Parquet files, read one after the other in the order given."""

    name: str
    files: Sequence[LogFile]

    def read(self, day: date, strays: bool = False) -> Iterator[list[RawQuery]]:
        """See `sources.Source`. Raises SourceError for a file that is damaged or has other columns."""
        for file in self.files:
            try:
                yield from _read(file, day, strays)
            except (pa.ArrowException, OSError) as error:
                reason = str(error).partition("\n")[0][:300]
                raise SourceError(
                    f"{file.name} cannot be read as Parquet ({reason}): replace it, or correct {SETTING}"
                ) from None


def _read(log: LogFile, day: date, strays: bool) -> Iterator[list[RawQuery]]:
    with log.opened() as content, pq.ParquetFile(content) as file:
        layout = _layout(file.schema_arrow, log.name)
        groups = [group for group in range(file.num_row_groups) if strays or _may_hold(file, group, layout.time, day)]
        columns = [name for name in layout.columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(_BATCH_ROWS, groups, columns, use_threads=False):
            values = {name: _values(batch.column(name)) for name in columns}
            rows = [layout.raw_query(dict(zip(values, row, strict=True))) for row in zip(*values.values(), strict=True)]
            if found := of_day(rows, day, strays):
                yield found


def _layout(schema: pa.Schema, name: str) -> _Layout:
    if "query_id" in schema.names and not (lacking := event_table.missing(schema.names)):
        return _Layout(event_table.COLUMNS, "query_id", event_table.raw_query)
    if "query_id" not in schema.names and not (
        lacking := [column for column in REQUIRED if column not in schema.names]
    ):
        return _Layout((*REQUIRED, *OPTIONAL), "createTime", _raw_query)
    raise SourceError(f"{name} has no column {', '.join(lacking)}: export it with the documented names")


def _raw_query(row: Mapping[str, Any]) -> RawQuery:
    return RawQuery(
        row["queryId"], row["query"], row["user"], *(row.get(name) for name in OPTIONAL), cpu_time=row["cpuTime"],
        peak_bytes=row["peakUserMemoryBytes"], created=row["createTime"], ended=row["endTime"],
    )  # fmt: skip


def _may_hold(file: pq.ParquetFile, group: int, column: str, day: date) -> bool:
    """Whether a row group may hold a row of the day: by least and greatest time, where every row has one."""
    place = file.schema_arrow.names.index(column)
    if file.metadata.num_columns != len(file.schema_arrow.names):
        return True  # nested columns shift the places
    statistics = file.metadata.row_group(group).column(place).statistics
    if statistics is None or not statistics.has_min_max or statistics.null_count != 0:
        return True
    least, most = statistics.min, statistics.max
    if isinstance(least, datetime):
        first = datetime(day.year, day.month, day.day, tzinfo=UTC)
        low, high = (value if value.tzinfo else value.replace(tzinfo=UTC) for value in (least, most))
        # A time that no calendar can hold may stand beside an id that tells the day.
        is_sane = low.year >= 1970 and high.year < 2200
        return not is_sane or (low < first + timedelta(days=1) and high >= first)
    if isinstance(least, str) and column == "query_id":
        return least < f"{day + timedelta(days=1):%Y%m%d}" and most >= f"{day:%Y%m%d}"
    return True


def _values(column: pa.Array) -> list[Any]:
    """Python values of a column, each of them readable: what is none stays visible as something that no rule accepts."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        instants = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if value is None else _instant(value) for value in instants]
    if pa.types.is_duration(column.type):
        micros = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if value is None else value / 1e6 for value in micros]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        try:
            return column.to_pylist()
        except UnicodeDecodeError:
            return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64()).to_pylist()
    return column.to_pylist()


def _instant(micros: int) -> datetime | str:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} microseconds since 1970"


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return value and value.decode()
    except UnicodeDecodeError:
        return value
