"""Column lineage read from a transform's SQL: which input columns each output column is made of.

Shown in the UI; computed from the same text that runs, so that it cannot go stale. Values that only decide which rows
exist (filters, join keys) are not lineage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.core import transform as transforms

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.lineage import Node

Column = tuple[str, str]
# What lineage sees of an as-of join: the key of the request and the key of its version.
_AS_OF_SHAPE = "SELECT asked.request, known.version FROM {requests} AS asked JOIN {versions} AS known ON known.entity = asked.entity"


def column_lineage(path: Path, table: str, inputs: Mapping[str, Sequence[str]]) -> dict[str, list[Column]]:
    """For each column of `table`: the (input, column) pairs it is computed from, sorted.

    `inputs` gives the columns of each input relation. Raises TransformError for a table the transform does not make.
    """
    frozen = tuple(sorted((name, tuple(columns)) for name, columns in inputs.items()))
    return {name: list(found) for name, found in _lineage(path, table, frozen)}


@cache
def _lineage(
    path: Path, table: str, inputs: tuple[tuple[str, tuple[str, ...]], ...]
) -> tuple[tuple[str, tuple[Column, ...]], ...]:
    from sqlglot import exp
    from sqlglot.lineage import lineage
    from sqlglot.optimizer.qualify import qualify

    schema: dict[str, object] = {name: dict.fromkeys(columns, "text") for name, columns in inputs}
    qualified: dict[str, exp.Query] = {}
    for step in transforms.load(path).steps:
        query = qualify(_plain(step.query), schema=schema, dialect="duckdb", validate_qualify_columns=False)
        assert isinstance(query, exp.Query)
        qualified[step.table] = query
        schema = {**schema, step.table: dict.fromkeys(query.named_selects, "text")}
    if table not in qualified:
        raise transforms.TransformError(f"{path.name} makes no table {table!r}; it makes {sorted(qualified)}")
    origin = {name: {column: {(name, column)} for column in columns} for name, columns in inputs}
    for name, query in qualified.items():
        origin[name] = {}
        for column in query.named_selects:
            root = lineage(column, query, schema=schema, dialect="duckdb", copy=False)
            origin[name][column] = _leaves(root, origin)
    return tuple((column, tuple(sorted(found))) for column, found in origin[table].items())


def _plain(query: exp.Query) -> exp.Query:
    from sqlglot import exp, parse_one

    plain = query.copy()
    for node, requests, versions in transforms.as_of_calls(plain):
        shape = parse_one(_AS_OF_SHAPE.format(requests=requests, versions=versions), dialect="duckdb", into=exp.Select)
        node.replace(shape.subquery(node.alias_or_name))
    return plain


def _leaves(root: Node, origin: Mapping[str, Mapping[str, set[Column]]]) -> set[Column]:
    from sqlglot import exp

    found: set[Column] = set()
    for node in root.walk():
        if not node.downstream and isinstance(node.expression, exp.Table):
            found |= origin.get(node.expression.name, {}).get(node.name.split(".")[-1].strip('"'), set())
    return found
