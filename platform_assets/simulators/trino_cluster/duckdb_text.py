"""What DuckDB runs for a text that Trino's users sent: the same statement in its dialect, or a stand-in.

The log keeps Trino's text. What does not belong here: running it.
"""

from __future__ import annotations

import re

from platform_assets.simulators.trino_cluster.metadata import stand_in
from platform_assets.simulators.trino_cluster.writing import Statement

_COMMENTS = re.compile(r"\A(?:\s*(?:--[^\n]*\n|/\*.*?\*/))*\s*", re.DOTALL)
_EXPLAIN = re.compile(r"\Aexplain( analyze)? ", re.IGNORECASE)
_STORED = re.compile(r"\Acreate table sandbox\.(\w+) as\s", re.IGNORECASE)


def in_duckdb(statement: Statement) -> str:
    """The statement to run. A text that does not parse is handed on as it stands, for DuckDB to refuse.

    A stored result becomes a temporary table, as the data is shared by all queries and stays as it is.
    """
    text = _COMMENTS.sub("", statement.prepared or statement.text, count=1)
    if (instead := stand_in(text.upper())) is not None:
        return instead
    for pattern, start in ((_EXPLAIN, "EXPLAIN{} "), (_STORED, "CREATE TEMP TABLE {} AS ")):
        if found := pattern.match(text):
            return start.format(found.group(1) or "") + _transpiled(text[found.end() :])
    return _transpiled(text)


def _transpiled(text: str) -> str:
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        return sqlglot.transpile(text, read="trino", write="duckdb")[0]
    except SqlglotError:
        return text
