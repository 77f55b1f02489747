"""A named SQL transform: a .sql file of `CREATE TEMP TABLE name AS SELECT ...` statements, read and expanded here.

The files are written in the subset that DuckDB and Spark share (a test transpiles each one). The one thing the engines do
differently, the bitemporal as-of join, is written as `FROM as_of('requests', 'versions')` and expanded per engine. Running
a transform belongs to `core.engine`; column lineage is read from the same files by `core.lineage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp

AS_OF = "as_of"


class TransformError(ValueError):
    """A .sql file breaks the form that transforms have; the message names file and statement."""


@dataclass(frozen=True)
class Step:
    """One statement: the table it makes and the query that makes it, as parsed."""

    table: str
    query: exp.Query


@dataclass(frozen=True)
class Transform:
    """A parsed .sql file."""

    path: Path
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """File name without its ending: the asset the transform feeds."""
        return self.path.stem

    def code_version(self) -> str:
        """Short hash of the file's text."""
        return code_version(self.path)


def code_version(*paths: Path) -> str:
    """Short hash over the text of source files: what an asset's code_version is made of."""
    return sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:12]


@cache
def load(path: Path) -> Transform:
    """Parse a .sql file. Raises TransformError where a statement is not CREATE TEMP TABLE ... AS SELECT."""
    import sqlglot
    from sqlglot import exp

    steps = []
    for statement in sqlglot.parse(path.read_text(encoding="utf-8"), dialect="duckdb"):
        if not isinstance(statement, exp.Create) or not isinstance(statement.expression, exp.Query):
            raise TransformError(f"{path.name}: expected CREATE TEMP TABLE ... AS SELECT, got: {str(statement)[:80]}")
        steps.append(Step(statement.this.name, statement.expression))
    return Transform(path, tuple(steps))


def as_of_calls(query: exp.Query) -> Sequence[tuple[exp.Table, str, str]]:
    """The `as_of('requests', 'versions')` calls of a query: node, requests table, versions table."""
    from sqlglot import exp

    calls = []
    for table in query.find_all(exp.Table):
        function = table.this
        if isinstance(function, exp.Anonymous) and function.name.lower() == AS_OF:
            requests, versions = (argument.name for argument in function.expressions)
            calls.append((table, requests, versions))
    return calls


def to_duckdb(query: exp.Query) -> str:
    """The query as DuckDB runs it. At most one as-of join a statement: two in one took 22 times the memory."""
    from sqlglot import exp, parse_one

    expanded = query.copy()
    calls = as_of_calls(expanded)
    if len(calls) > 1:
        raise TransformError(f"one as_of() a statement, found {len(calls)}: {str(query)[:80]}")
    for node, requests, versions in calls:
        answer = parse_one(as_of_sql(requests, versions), dialect="duckdb", into=exp.Select)
        node.replace(answer.subquery(node.alias_or_name or AS_OF))
    return expanded.sql(dialect="duckdb")


def as_of_sql(requests: str, versions: str) -> str:
    """The bitemporal as-of join in DuckDB's SQL.

    `requests(request, entity, asked_at)` asks; `versions(version, entity, valid_from, recorded_at, id)` answers. A version is
    visible iff valid_from <= asked_at AND recorded_at <= asked_at; the winner is the greatest (valid_from, recorded_at, id).
    Returns (request, version), one row per request, version null where nothing is visible. `request` and `version` are keys
    of any type: what is wide stays out of this join and is fetched by them afterwards.

    A version is known from greatest(valid_from, recorded_at) on. An ASOF join on that alone is wrong where an older version
    is recorded later; so only the RECORDS stay, in the order of becoming known: versions greater than all known before.
    Among those, the last known one is the greatest. Entities are numbered first, because sorting by texts takes twice as long.
    """
    return f"""
        WITH entities AS (
            SELECT entity, ROW_NUMBER() OVER () AS number FROM (SELECT DISTINCT entity FROM {requests})
        ), placed AS (
            SELECT number, version, greatest(valid_from, recorded_at) AS known_at,
                   ROW_NUMBER() OVER (PARTITION BY number ORDER BY valid_from, recorded_at, id) AS place
            FROM {versions} JOIN entities USING (entity)
        ), records AS (
            SELECT number, version, known_at
            FROM placed
            QUALIFY place > COALESCE(MAX(place) OVER (
                PARTITION BY number ORDER BY known_at, place DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0)
        )
        SELECT asked.request AS request, records.version AS version
        FROM (SELECT request, number, asked_at FROM {requests} JOIN entities USING (entity)) AS asked
        ASOF LEFT JOIN records ON asked.number = records.number AND asked.asked_at >= records.known_at
    """
