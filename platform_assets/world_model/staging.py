"""Raw files to staged Parquet: the columns of either release under one set of names, every value as the text it was.

Nothing is judged and nothing is lost: a line that is no row of the file's columns is kept as text, with its fault. Types and
rules are sql/transactions.sql's business, which file holds which week is raw_weeks.py's.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.core.engine import Engine
from platform_assets.world_model.raw_schema import (
    COLUMNS,
    SOURCE_FILE,
    RawDataError,
    column_map,
)

if TYPE_CHECKING:
    import duckdb

# Read once and thrown away: time to write counts, bytes do not.
_PARQUET = "FORMAT parquet, COMPRESSION lz4_raw"
# Rows that a week may hold in memory while a file of many weeks is parted: a hundred weeks are open at once.
_FLUSH_ROWS = 20_000
STRAY = "stray"


@dataclass(frozen=True)
class CsvFile:
    """A CSV file on this machine; `name` is what people know it by. Columns are read by their position."""

    path: Path
    name: str

    def selection(self) -> str:
        """A SELECT of the staged columns."""
        header = _read_header(self.path, self.name)
        with read_errors(self.name):
            _require_whole(self.path)
        position = {name: f"c{number}" for number, name in enumerate(header)}
        mapping = {ours: position[theirs] if theirs else None for ours, theirs in column_map(header, self.name).items()}
        columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(len(header)))
        # Not sniffed: what is no row of these columns is to be found out, not to be guessed around.
        scan = (
            f"read_csv({_literal(self.path)}, auto_detect = false, header = true, delim = ',', quote = '\"', "
            f"escape = '\"', columns = {{{columns}}}, store_rejects = true)"
        )
        return f"SELECT {_columns(self.name, mapping)} FROM {scan}"


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file on this machine."""

    path: Path
    name: str

    def rows(self) -> int:
        """By its footer."""
        import pyarrow.parquet as pq

        with read_errors(self.name):
            return pq.read_metadata(self.path).num_rows

    def selection(self, shop_week: int | None = None) -> str:
        """A SELECT of the staged columns, of one week or of all; row groups without the week are not read."""
        scan = f"read_parquet({_literal(self.path)}, hive_partitioning = false)"
        column = self._columns()["shop_week"]
        # Compared in the column's own type: a cast would hide it from the statistics of the row groups.
        week = f"'{shop_week}'" if self._is_text(column) else str(shop_week)
        chosen = f" WHERE {_identifier(column)} = {week}" if shop_week else ""
        mapping = {ours: _identifier(theirs) if theirs else None for ours, theirs in self._columns().items()}
        return f"SELECT {_columns(self.name, mapping)} FROM {scan}{chosen}"

    def count_weeks(self, engine: Engine) -> dict[str, int]:
        """Rows by what SHOP_WEEK says; one column is read."""
        column = _identifier(self._columns()["shop_week"])
        scan = f"read_parquet({_literal(self.path)}, hive_partitioning = false)"
        with read_errors(self.name), engine.session({}) as connection:
            found = connection.execute(f"SELECT CAST({column} AS VARCHAR), count(*) FROM {scan} GROUP BY 1").fetchall()
        return {text or "": rows for text, rows in found}

    def _columns(self) -> dict:
        import pyarrow.parquet as pq

        with read_errors(self.name):
            return column_map(pq.read_schema(self.path).names, self.name)

    def _is_text(self, column: str) -> bool:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kind = pq.read_schema(self.path).field(column).type
        return not pa.types.is_integer(kind)


def stage_file(engine: Engine, file: CsvFile | ParquetFile, rows: Path, lines: Path, week: int | None = None) -> int:
    """Stage a file, or of a Parquet file one week; returns how many rows it holds, unreadable lines among them."""
    selection = file.selection(week) if isinstance(file, ParquetFile) else file.selection()
    with read_errors(file.name), engine.session({}) as connection:
        connection.execute(f"COPY ({selection}) TO {_literal(rows)} ({_PARQUET})")
        if isinstance(file, ParquetFile):
            return file.rows() if week is None else ParquetFile(rows, file.name).rows()
        return ParquetFile(rows, file.name).rows() + _write_lines(connection, file.name, lines)


def part_csv(engine: Engine, file: CsvFile, weeks: Sequence[int], calendar: Sequence[int], target: Path) -> int:
    """Part a CSV file of many weeks in one pass: `weeks` and what has no week of the calendar; returns unreadable lines.

    Below `target` lie folders `part=200607` and `part=stray`; weeks of the calendar that are not asked for are left out.
    """
    wanted, known = (", ".join(f"'{week}'" for week in sorted(chosen)) for chosen in (weeks, calendar))
    part = f"CASE WHEN shop_week IN ({wanted}) THEN shop_week ELSE '{STRAY}' END AS part"
    left_out = f"shop_week IN ({known}) AND shop_week NOT IN ({wanted})"
    with read_errors(file.name), engine.session({}) as connection:
        connection.execute(f"SET partitioned_write_flush_threshold = {_FLUSH_ROWS}")
        connection.execute(
            f"COPY (SELECT *, {part} FROM ({file.selection()}) WHERE ({left_out}) IS NOT TRUE) "
            f"TO {_literal(target)} ({_PARQUET}, PARTITION_BY (part))"
        )
        return _write_lines(connection, file.name, target / "lines.parquet")


def write_empty(path: Path, columns: Sequence[str]) -> Path:
    """A staged file without a row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {name: pa.int64() if name == "line" else pa.string() for name in columns}
    pq.write_table(pa.schema(list(kinds.items())).empty_table(), path)
    return path


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """What a damaged file raises, as a RawDataError that names it."""
    import duckdb
    import pyarrow as pa

    try:
        yield
    except (
        duckdb.InvalidInputException,
        duckdb.IOException,
        pa.ArrowInvalid,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
    ) as error:
        reason = str(error).partition("\n")[0][:300]
        raise RawDataError(
            f"{name} cannot be read ({reason}): it is damaged or not what its name says; replace it"
        ) from None


def _write_lines(connection: duckdb.DuckDBPyConnection, name: str, target: Path) -> int:
    connection.execute(
        f"COPY (SELECT {_literal(name)} AS {SOURCE_FILE}, CAST(line AS BIGINT) AS line, trim(first(csv_line), E'\\r\\n') AS content, "
        f"first(error_message) AS fault FROM reject_errors GROUP BY line ORDER BY line) TO {_literal(target)} ({_PARQUET})"
    )
    found = connection.execute("SELECT count(DISTINCT line) FROM reject_errors").fetchone()
    return found[0] if found else 0


def _require_whole(path: Path) -> None:
    """Unpacks a compressed file once, for its length and checksum: the engine takes one that was cut short for whole."""
    if path.suffix == ".gz":
        with gzip.open(path) as content:
            while content.read(1 << 20):
                pass


def _read_header(path: Path, name: str) -> list[str]:
    with (
        read_errors(name),
        (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as text,
    ):
        try:
            return next(csv.reader(text), [])
        except UnicodeDecodeError:
            raise RawDataError(f"{name} is not UTF-8 text; write it as UTF-8") from None


def _columns(name: str, mapping: Mapping[str, str | None]) -> str:
    ours = ", ".join(f"CAST({mapping[column] or 'NULL'} AS VARCHAR) AS {column}" for column in COLUMNS)
    return f"{_literal(name)} AS {SOURCE_FILE}, {ours}"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str | Path) -> str:
    return "'" + str(value).replace("'", "''") + "'"
