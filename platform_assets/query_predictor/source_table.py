"""Trino's log in Postgres: the event listener's table `trino_queries`, streamed as Arrow under one snapshot.

The setting is postgresql://user@host/database/table, the table with its schema where it has one (log.trino_queries); the password
comes from PGPASSWORD, never from the setting, which is shown. A day is a range of query ids, which the primary key serves.
A table of MySQL has the same columns: export it as Parquet. What a row means is `event_table`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from urllib.parse import unquote, urlsplit, urlunsplit

from platform_assets.core.redaction import without_password
from platform_assets.core.warehouse import Snapshot, Warehouse, database_url
from platform_assets.query_predictor import event_table
from platform_assets.query_predictor.query_rows import RawQuery
from platform_assets.query_predictor.sources import SETTING, SourceError, of_day

_BATCH_ROWS = 1_000
# What is left are dates that no month has; those are looked at one by one.
_TIMED = r"^(19[7-9][0-9]|2[01][0-9]{2})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])_([01][0-9]|2[0-3])([0-5][0-9]){2}_"
_NO_DATES = "('0229', '0230', '0231', '0431', '0631', '0931', '1131')"


class TableSource:
    """A table of queries in Postgres."""

    def __init__(self, setting: str) -> None:
        self.name = without_password(setting)
        self._url, self._table = _split(setting)

    def read(self, day: date, strays: bool = False) -> Iterator[list[RawQuery]]:
        """See `sources.Source`. Raises SourceError for another table, WarehouseError for what Postgres refuses."""
        with Warehouse(self._url).snapshot() as snapshot:
            sql = f"SELECT {self._columns(snapshot)} FROM {self._table} WHERE {_condition(strays)} ORDER BY query_id"
            reader = snapshot.stream(
                sql, {"first_id": f"{day:%Y%m%d}", "next_id": f"{day + timedelta(days=1):%Y%m%d}", "timed": _TIMED}
            )
            for batch in reader:
                for offset in range(0, batch.num_rows, _BATCH_ROWS):
                    rows = [event_table.raw_query(row) for row in batch.slice(offset, _BATCH_ROWS).to_pylist()]
                    if found := of_day(rows, day, strays):
                        yield found

    def _columns(self, snapshot: Snapshot) -> str:
        if not snapshot.has_table(self._table):
            raise SourceError(f"{SETTING} names {self.name}, which holds no such table, or shows none to its user")
        present = snapshot.stream(f"SELECT * FROM {self._table} LIMIT 0").read_all().schema.names
        if lacking := event_table.missing(present):
            raise SourceError(
                f"the table of {self.name} has no column {', '.join(lacking)}: is it Trino's trino_queries?"
            )
        return ", ".join(_column(name) for name in event_table.COLUMNS if name in present)


def _split(setting: str) -> tuple[str, str]:
    """The database's URL, and the table as SQL names it."""
    parts = urlsplit(setting)
    if parts.password:
        raise SourceError(
            f"{SETTING} holds a password; put it into PGPASSWORD and take it out of {without_password(setting)}"
        )
    words = [unquote(word) for word in parts.path.strip("/").split("/")]
    if len(words) != 2 or not all(words):
        raise SourceError(f"{SETTING} is {without_password(setting)}; write postgresql://user@host/database/table")
    database, table = words
    return database_url(urlunsplit(parts), database), ".".join(_identifier(word) for word in table.split(".", 1))


def _condition(strays: bool) -> str:
    day = (
        "query_id >= current_setting('platform.first_id') AND query_id < current_setting('platform.next_id') "
        "AND left(query_id, 8) = current_setting('platform.first_id')"
    )
    unplaced = (
        f"query_id IS NULL OR query_id !~ current_setting('platform.timed') OR substr(query_id, 5, 4) IN {_NO_DATES}"
    )
    return f"({day}) OR {unplaced}" if strays else day


def _column(name: str) -> str:
    quoted = _identifier(name)
    # Numbers of any type come as doubles: numeric would come as text. Byte counts keep their last digits.
    if name.endswith("_millis"):
        return f"CAST({quoted} AS double precision) AS {quoted}"
    return f"CAST({quoted} AS {'bigint' if name.endswith('_bytes') else 'text'}) AS {quoted}"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
