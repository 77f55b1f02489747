"""A query's text as tokens, whatever the text is, and what they say of it before anything is parsed.

The tokenizer of the Trino dialect reads the text once; parser, features and vocabulary share what it gives. Two things are
done to the text first: {{placeholders}} become a name, and EXPLAIN is taken off what it explains. A text that the tokenizer
refuses (an unterminated string or comment) is read by a regular expression that accepts everything. What does not belong
here is the syntax tree (`sql_tree`) and which column a count goes to (`sql_features`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from itertools import accumulate, compress
from typing import NamedTuple

from sqlglot.dialects import Trino
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

# Trino refuses longer ones itself (query.max-length); of the rest of such a text only its length is told.
LONGEST_READ = 1_000_000
# The parser takes about 4 microseconds a token: 0.1 s.
MOST_WORK = 20_000
# Recursion in the parser is not bounded by itself: 20,000 levels end the process. No person nests fifty.
DEEPEST = 60

PARAMETER = re.compile(r"\{\{[^{}]*\}\}")
_BLANK = r"(?:\s|--[^\n]*+(?:\n|\Z)|/\*.*?\*/)*+"
EXPLAIN = re.compile(
    rf"({_BLANK})EXPLAIN\b{_BLANK}(ANALYZE\b{_BLANK})?(?:VERBOSE\b{_BLANK})?(?:\((?:TYPE|FORMAT)\b[^()]*\){_BLANK})?",
    re.IGNORECASE | re.DOTALL,
)
# An unterminated string, name or comment runs to the end of the text.
LEXEME = re.compile(
    r"(?P<comment>--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)|'(?P<string>(?:[^']|'')*+)'?|\"(?P<name>(?:[^\"]|\"\")*+)\"?"
    r"|(?P<number>\d[\w.]*+)|(?P<word>[^\W\d]\w*+)|(?P<symbol>\S)"
)

BRACKETS = {
    TokenType.L_PAREN: TokenType.R_PAREN,
    TokenType.L_BRACKET: TokenType.R_BRACKET,
    TokenType.L_BRACE: TokenType.R_BRACE,
}
_CLOSING = frozenset(BRACKETS.values())
_PREFIXES = frozenset({TokenType.NOT, TokenType.DASH, TokenType.TILDE, TokenType.PLUS, TokenType.INTERVAL})
_CASES = frozenset({TokenType.CASE, TokenType.END})
_JOINING = frozenset(
    {TokenType.JOIN, TokenType.STRAIGHT_JOIN, TokenType.ON, TokenType.USING, TokenType.WHERE, TokenType.SELECT}
)
_SHAPING = frozenset({*BRACKETS, *_CLOSING, *_PREFIXES, *_CASES, *_JOINING})
_MOST_DOUBLINGS = 40
_STEPS: dict[TokenType, int] = dict.fromkeys(BRACKETS, 1) | dict.fromkeys(_CLOSING, -1)
_TYPES = frozenset(Trino.Parser.TYPE_TOKENS) - {TokenType.IDENTIFIER, TokenType.VAR}
STRINGS = frozenset({TokenType.STRING, TokenType.NATIONAL_STRING, TokenType.RAW_STRING, TokenType.UNICODE_STRING})
_LITERALS = {TokenType.NUMBER: "0", **dict.fromkeys(STRINGS, "''")}
_LITERALS |= dict.fromkeys((TokenType.HEX_STRING, TokenType.BIT_STRING, TokenType.BYTE_STRING), "''")
_KINDS = {"string": TokenType.STRING, "name": TokenType.IDENTIFIER, "number": TokenType.NUMBER}


class _Own(threading.local):
    """One tokenizer a thread: to make one takes as long as to read a short text, and it holds what it reads."""

    def __init__(self) -> None:
        self.tokenizer = Trino.Tokenizer(dialect=Trino)


_OWN = _Own()


class Tokens(NamedTuple):
    """A text's tokens. `text` is what was tokenised: a parser needs it for its messages only."""

    text: str
    tokens: list[Token]
    types: list[TokenType]
    parameters: int
    explained: bool  # EXPLAIN without ANALYZE: nothing of the text runs
    is_cut: bool
    is_refused: bool  # by the tokenizer; the tokens are then those of the regular expression


class Shape(NamedTuple):
    """How hard a text would be to parse. `work` is in tokens read, those read again counted as often."""

    bracket_depth: int
    nesting: int
    work: int


def read(text: str) -> Tokens:
    """The tokens of any text. The same text gives the same tokens in every process; time and memory are bounded."""
    read_text, parameters = (
        PARAMETER.subn("parameter", text[:LONGEST_READ]) if "{{" in text else (text[:LONGEST_READ], 0)
    )
    explain = EXPLAIN.match(read_text)
    if explain:
        read_text = explain[1] + read_text[explain.end() :]
    try:
        tokens, is_refused = _OWN.tokenizer.tokenize(read_text), False
    except TokenError:
        tokens, is_refused = lexemes(read_text), True
    explained = bool(explain) and not explain[2]
    types = [token.token_type for token in tokens]
    return Tokens(read_text, tokens, types, parameters, explained, len(text) > LONGEST_READ, is_refused)


def lexemes(text: str) -> list[Token]:
    """Tokens of a text that no tokenizer accepts; comments hang on the token before them, as the tokenizer's do."""
    tokens: list[Token] = []
    for match in LEXEME.finditer(text):
        kind, lexeme = match.lastgroup, match[match.lastgroup or 0]
        if kind == "comment":
            if tokens:
                tokens[-1].comments.append(lexeme)
        elif kind == "word":
            tokens.append(Token(Trino.Tokenizer.KEYWORDS.get(lexeme.upper()) or TokenType.VAR, lexeme))
        else:
            kind_of_symbol = Trino.Tokenizer.SINGLE_TOKENS.get(lexeme) or TokenType.VAR
            tokens.append(Token(_KINDS.get(kind or "", kind_of_symbol), lexeme))
    return tokens


def shape(types: Sequence[TokenType]) -> Shape:
    """Depth of brackets, nesting of everything that makes the parser recurse, and its work.

    The parser tries and takes back. What is in square brackets, or in brackets after the name of a type, it reads as a type
    first and then again; the joins after a JOIN without an ON it reads as its own, and then again. Each level of either
    doubles the work on what is below it (`date(date(date(...)))`, `a join b join c ...`). The k-th index of a chain
    `a[1][2]...` takes the work of about 3k tokens. Of a text whose tokens are too many, only the brackets are followed.
    """
    if len(types) > MOST_WORK:
        steps = (_STEPS[kind] for kind in types if kind in _STEPS)
        return Shape(max(accumulate(steps, lambda depth, step: max(0, depth + step)), default=0), 0, len(types))
    outer: list[tuple[int, int, int]] = []
    # `doublings` are those at this place, `joins` the part of them that joins of this bracket are to blame for.
    doublings = joins = link = chain = depth = nesting = cases = work = last = run = prefixed = 0
    for place in compress(range(len(types)), map(_SHAPING.__contains__, types)):
        kind = types[place]
        work += (place - last) << doublings if doublings < _MOST_DOUBLINGS else MOST_WORK
        if kind in BRACKETS:
            before = types[place - 1] if place else None
            outer.append((doublings, joins, link))
            link = chain + 1 if kind == TokenType.L_BRACKET and before == TokenType.R_BRACKET else 0
            work += 3 * link
            doublings, joins = doublings + (kind == TokenType.L_BRACKET or before in _TYPES), 0
            depth = max(depth, len(outer))
            nesting = max(nesting, len(outer) + cases)
        elif kind in _CLOSING:
            if outer:
                chain = link
                doublings, joins, link = outer.pop()
        elif kind in _JOINING:
            waiting = _waiting_joins(joins, types, place)
            doublings, joins = doublings + waiting - joins, waiting
        elif kind in _CASES:
            cases = max(0, cases + (1 if kind == TokenType.CASE else -1))
            nesting = max(nesting, len(outer) + cases)
        else:
            run = run + 1 if place == prefixed + 1 else 1
            prefixed = place
            nesting = max(nesting, len(outer) + cases + run)
        last = place
    return Shape(depth, nesting, work + ((len(types) - last) << min(doublings, _MOST_DOUBLINGS)))


def _waiting_joins(joins: int, types: Sequence[TokenType], place: int) -> int:
    """Joins that still wait for their ON after a token, of those that waited before it."""
    kind = types[place]
    if kind in (TokenType.JOIN, TokenType.STRAIGHT_JOIN):
        needs_none = {TokenType.CROSS, TokenType.NATURAL}.intersection(types[max(place - 3, 0) : place])
        return joins + (not needs_none)
    return max(0, joins - 1) if kind in (TokenType.ON, TokenType.USING) else 0


def longest_list(types: Sequence[TokenType]) -> int:
    """Values of the longest IN list, by the commas directly in its brackets; a subquery has none."""
    longest, opened = 0, []
    for place, kind in enumerate(types):
        if kind in BRACKETS:
            is_list = place > 0 and types[place - 1] == TokenType.IN
            opened.append(1 if is_list and types[place + 1 : place + 2] != [TokenType.SELECT] else -len(types))
        elif kind == TokenType.COMMA and opened:
            opened[-1] += 1
        if kind in _CLOSING and opened:
            longest = max(longest, opened.pop())
    return max([longest, *opened])


def normalised(tokens: Sequence[Token]) -> list[str]:
    """Words of a text without its literals: lower case, a string is '' and a number 0; names lose their quotes.

    Two texts with the same words are of the same template; the vocabulary is made of these words.
    """
    return [_LITERALS.get(token.token_type) or token.text.lower() for token in tokens]
