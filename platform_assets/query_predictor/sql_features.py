"""The one featuriser: a query's text to the 70 features of it, by one tokenisation, one parse and one walk.

Training and serving call the same function. A text that cannot be parsed, or would take too long, still has a row: what
tokens tell, NaN elsewhere, and `parse_status` saying so. Which of the two happens depends on the text alone (its length, its
tokens, its nesting), never on a clock. What does not belong here: features of who asks and when (`context_features`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from itertools import compress, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from platform_assets.query_predictor import sql_periods, sql_tokens, sql_tree
from platform_assets.query_predictor.features import QUERY_TYPE, SQL_NAMES, TEXT
from platform_assets.query_predictor.sql_counts import Counts
from platform_assets.query_predictor.sql_tokens import Tokens


class ParseStatus(IntEnum):
    """How a text was read; the number is the feature `parse_status`. All but PARSED are fallbacks to tokens."""

    PARSED = 0
    # SHOW, CALL, EXECUTE: the parser knows no more of these than their first word.
    COMMAND = 1
    # The parser refused it.
    REFUSED = 2
    # It has more work or nesting than `sql_tokens` allows.
    TOO_LARGE = 3
    # The tokenizer refused it: an unterminated string, name or comment.
    UNTERMINATED = 4
    # Longer than what is read.
    CUT = 5
    # Nothing in it.
    BLANK = 6


class SqlRow(NamedTuple):
    """The features of a text, float32 in the order of SQL_NAMES, and how it was read."""

    values: NDArray[np.float32]
    status: ParseStatus


_FIRST_WORDS = {
    **dict.fromkeys(
        (TokenType.SELECT, TokenType.WITH, TokenType.VALUES, TokenType.TABLE, TokenType.L_PAREN), "is_read"
    ),
    **dict.fromkeys((TokenType.INSERT, TokenType.REFRESH), "is_insert"),
    **dict.fromkeys((TokenType.UPDATE, TokenType.DELETE, TokenType.MERGE, TokenType.TRUNCATE), "is_change"),
    TokenType.EXECUTE: "is_call",
}
# What tokens tell of a text that has no tree.
_BY_TOKEN = {
    "joins": (TokenType.JOIN,), "unnests": (TokenType.UNNEST,),
    "selects": (TokenType.SELECT,), "likes": (TokenType.LIKE, TokenType.ILIKE), "group_bys": (TokenType.GROUP_BY,),
    "havings": (TokenType.HAVING,), "windows": (TokenType.OVER,), "conditionals": (TokenType.CASE,),
    "intersects_excepts": (TokenType.INTERSECT, TokenType.EXCEPT),
}  # fmt: skip
_TEXT_NAMES = tuple(feature.name for feature in TEXT)
_TYPE_NAMES = tuple(feature.name for feature in QUERY_TYPE)


def featurise(text: str) -> SqlRow:
    """The features of a text and how it was read. Never raises for what a text holds."""
    return featurise_tokens(text, sql_tokens.read(text))


def featurise_tokens(text: str, read: Tokens) -> SqlRow:
    """The same for whoever has the tokens of the text already."""
    shape = sql_tokens.shape(read.types)
    counts, status = _structure(read, shape)
    counts |= _text_counts(text, read, shape) | _query_type(read)
    counts["period_days"] = sql_periods.period_days(read)
    counts["parse_status"] = status
    return SqlRow(np.array([counts[name] for name in SQL_NAMES], np.float32), status)


def fallbacks(statuses: Iterable[ParseStatus]) -> dict[str, int]:
    """How many texts were read in each way, by name; every way is there."""
    found = Counter(statuses)
    return {status.name.lower(): found[status] for status in ParseStatus}


def _structure(read: Tokens, shape: sql_tokens.Shape) -> tuple[Counts, ParseStatus]:
    status = _why_not_parsed(read, shape)
    if status is None:
        try:
            trees = sql_tree.parse(read)
        except sql_tree.TooDeep:
            status = ParseStatus.TOO_LARGE
        except sql_tree.NotParsed:
            status = ParseStatus.REFUSED
        else:
            if not any(isinstance(tree, exp.Command) for tree in trees):
                return sql_tree.count(trees), ParseStatus.PARSED
            status = ParseStatus.COMMAND
    return _by_tokens(read.types), status


def _why_not_parsed(read: Tokens, shape: sql_tokens.Shape) -> ParseStatus | None:
    """Why a text is not given to the parser at all; None: it is."""
    if read.is_cut:
        return ParseStatus.CUT
    if read.is_refused:
        return ParseStatus.UNTERMINATED
    if not read.types:
        return ParseStatus.BLANK
    too_large = shape.work > sql_tokens.MOST_WORK or shape.nesting > sql_tokens.DEEPEST
    return ParseStatus.TOO_LARGE if too_large else None


def _by_tokens(types: list[TokenType]) -> Counts:
    """What tokens tell of the features that are a tree's; NaN where they do not. A text of no tokens has zeros."""
    found = Counter(types)
    counts = dict.fromkeys(sql_tree.NAMES, math.nan if types else 0.0)
    counts |= {name: sum(found[kind] for kind in kinds) for name, kinds in _BY_TOKEN.items()}
    counts["union_alls"] = sum(kind == TokenType.UNION and after == TokenType.ALL for kind, after in pairwise(types))
    counts["unions"] = found[TokenType.UNION] - counts["union_alls"]
    counts["largest_in_list"] = sql_tokens.longest_list(types)
    counts["row_limit"] = math.nan
    return counts


def _text_counts(text: str, read: Tokens, shape: sql_tokens.Shape) -> Counts:
    words = [token.text for token in read.tokens]
    comments = [comment for token in read.tokens if (found := token.comments) for comment in found]
    found, lengths = Counter(read.types), list(map(len, words))
    strings = list(compress(lengths, map(sql_tokens.STRINGS.__contains__, read.types)))
    counts = (
        len(text), text.count("\n") + 1, len(words), len(set(words)), max(lengths, default=0), len(comments),
        sum(map(len, comments)), len(strings), found[TokenType.NUMBER], max(strings, default=0),
        found[TokenType.IDENTIFIER], found[TokenType.COMMA], shape.bracket_depth, _statements(read.types),
        read.parameters + found[TokenType.PLACEHOLDER],
    )  # fmt: skip
    return dict(zip(_TEXT_NAMES, counts, strict=True))


def _statements(types: list[TokenType]) -> int:
    """Runs of tokens between semicolons."""
    if TokenType.SEMICOLON not in types:
        return int(bool(types))
    is_text = [kind != TokenType.SEMICOLON for kind in types]
    return sum(now and not before for now, before in zip(is_text, [False, *is_text], strict=False))


def _query_type(read: Tokens) -> Counts:
    counts = dict.fromkeys(_TYPE_NAMES, 0.0)
    types, tokens = read.types, read.tokens
    if not types or read.explained:
        return counts
    name = _FIRST_WORDS.get(types[0])
    if types[0] == TokenType.CREATE and TokenType.TABLE in types[1:4] and TokenType.ALIAS in types:
        name = "is_create_as"
    elif types[0] == TokenType.COMMAND and tokens[0].text.upper() in ("CALL", "EXECUTE"):
        name = "is_call"
    if name:
        counts[name] = 1.0
    return counts
