"""The event listener's table for Postgres, as a script that `psql -f` runs: its definition, then its rows by COPY.

What does not belong here: a connection. The listener itself writes MySQL; names and meaning are the same, types are Postgres'.
"""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from platform_assets.simulators.trino_cluster.layout import SCHEMA

TABLE = "trino_queries"
_END = b"\\.\n"


def create_table() -> bytes:
    """The definition; it refuses a table that is there already."""
    columns = ",\n".join(f"  {_column(field)}" for field in SCHEMA)
    return f"CREATE TABLE {TABLE} (\n{columns},\n  PRIMARY KEY (query_id)\n);\n".encode()


def copy_statement() -> str:
    """COPY as CSV: an empty field is null, an empty text is quoted."""
    names = ", ".join(f'"{name}"' for name in SCHEMA.names)
    return f"COPY {TABLE} ({names}) FROM STDIN WITH (FORMAT csv)"


def copy_rows(sink: BinaryIO, rows: pa.Table) -> None:
    """One COPY with its rows."""
    sink.write(f"{copy_statement()};\n".encode())
    sink.write(csv_rows(rows))
    sink.write(_END)


def csv_rows(rows: pa.Table) -> bytes:
    """The rows alone."""
    buffer = pa.BufferOutputStream()
    pa_csv.write_csv(rows, buffer, pa_csv.WriteOptions(include_header=False))
    return buffer.getvalue().to_pybytes()


def _column(field: pa.Field) -> str:
    kind = "bigint" if pa.types.is_integer(field.type) else "text"
    return f'"{field.name}" {kind}{"" if field.nullable else " NOT NULL"}'
