"""A query's syntax tree: one parse, one walk, counts.

The parser's own compiled walk lists the nodes; counts go by class, and only the few classes that need it are looked at one
by one. What does not belong here: what a node counts for (`sql_counts`), tokens, and texts that are not parsed.
"""

from __future__ import annotations

import logging
import math
import threading

from sqlglot import exp
from sqlglot.dialects import Trino
from sqlglot.errors import ParseError

from platform_assets.query_predictor import features
from platform_assets.query_predictor.sql_counts import Counts, Walk, row_limit
from platform_assets.query_predictor.sql_tokens import Tokens

GROUPS = (features.TABLES, features.FILTERS, features.AGGREGATION, features.TREE, features.SETS, features.NULLS)
NAMES = tuple(feature.name for group in GROUPS for feature in group if feature.name != "parse_status")


class NotParsed(Exception):
    """The parser refused the text, which is a fact about the text; the message is the parser's."""


class TooDeep(NotParsed):
    """The parser ran out of stack."""


class _NoTextsInLogs(logging.Filter):
    """The parser warns of every SHOW and CALL with the text of the query: what people ask does not belong in a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "contains unsupported syntax" not in str(record.msg)


logging.getLogger("sqlglot").addFilter(_NoTextsInLogs())


class _Own(threading.local):
    """One parser a thread: it holds what it parses."""

    def __init__(self) -> None:
        self.parser = Trino.Parser(dialect=Trino)


_OWN = _Own()


def parse(read: Tokens) -> list[exp.Expr]:
    """The trees of a text's statements. Raises NotParsed; what the parser's own mistakes raise is a refusal as well."""
    try:
        return [tree for tree in _OWN.parser.parse(read.tokens, read.text) if tree is not None]
    except RecursionError as error:
        raise TooDeep("nested deeper than the parser's stack") from error
    except MemoryError:
        raise
    except ParseError as error:
        raise NotParsed(str(error)) from error
    except Exception as error:
        # On text that is no SQL the parser trips over itself (AttributeError, ValueError, IndexError, ...).
        raise NotParsed(f"{type(error).__name__}: {error}") from error


def count(trees: list[exp.Expr]) -> Counts:
    """Every feature that the trees tell, by name. The trees are taken apart by it: they are of no use afterwards.

    Parent and child hold one another: a tree left whole would wait for the collector of cycles, and that takes longer than
    the walk.
    """
    walk = Walk(dict.fromkeys(NAMES, 0.0))
    walk.counts["row_limit"] = row_limit(trees[0]) if trees else math.nan
    for tree in trees:
        nodes = list(tree.bfs())
        walk.visit(nodes)
        for node in nodes:
            node.args.clear()
    walk.finish()
    return walk.counts
