"""The template of a query: a fingerprint of its text without what changes from one run to the next.

Gone are literals and their signs, the lengths of IN lists and of VALUES, comments, whitespace, the case of keywords and names,
and semicolons at the end. The words are `sql_tokens.normalised`, of the one tokenisation that features and vocabulary share, so
that a text which no tokenizer accepts has a template too, always the same one. EXPLAIN of a query is another template than the
query; EXPLAIN ANALYZE, which runs it, is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from sqlglot.dialects import Trino
from sqlglot.tokenizer_core import Token, TokenType

from platform_assets.query_predictor import sql_tokens
from platform_assets.query_predictor.sql_tokens import Tokens

_COMMANDS = frozenset(Trino.Tokenizer.COMMANDS)
_NUMBER = "0"
# After one of these a minus or plus is the sign of a number.
_BEFORE_SIGN = frozenset(
    [
        "(",
        "[",
        ",",
        "=",
        "<>",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "between",
        "and",
        "or",
        "not",
        "in",
        "like",
        "when",
        "then",
        "else",
        "select",
        "limit",
        "offset",
        "return",
    ]
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_QUERIES = frozenset({"select", "with", "values", "table"})
# Longer elements are not compared: what is nested in them would be read once for every level.
_LONGEST_ELEMENT = 256


def template(text: str) -> str:
    """32 hex digits, the same for every text of the template, in every process and release of Python."""
    return fingerprint(sql_tokens.read(text))


def fingerprint(read: Tokens, plain: Sequence[str] | None = None) -> str:
    """The template of a text that is already tokenised; `plain` are its normalised words, where they are known."""
    content = "\x1f".join(words(read, plain)).encode("utf-8", "surrogatepass")
    return blake2b(content, digest_size=16).hexdigest()


def words(read: Tokens, plain: Sequence[str] | None = None) -> list[str]:
    """What the fingerprint is taken of, in time and memory that grow with the tokens alone."""
    tokens = _with_tails(read)
    found = sql_tokens.normalised(tokens) if plain is None or tokens is not read.tokens else list(plain)
    found = _without_signs(found)
    while found and found[-1] == ";":
        found.pop()
    found = _with_short_lists(found)
    return ["explain", *found] if read.explained else found


def _with_tails(read: Tokens) -> Sequence[Token]:
    """The tokens; the rest of a command (SHOW, CALL, EXECUTE), which the tokenizer leaves in one string, taken apart."""
    if read.is_refused or _COMMANDS.isdisjoint(read.types):
        return read.tokens
    tokens: list[Token] = []
    for place, token in enumerate(read.tokens):
        if _is_tail(read, place):
            tokens += sql_tokens.lexemes(token.text)
        else:
            tokens.append(token)
    return tokens


def _is_tail(read: Tokens, place: int) -> bool:
    if not place or read.types[place] != TokenType.STRING or read.types[place - 1] not in _COMMANDS:
        return False
    # A command's word within a statement (ALTER TABLE t EXECUTE ...) is none, and a string after it is a string.
    return place == 1 or read.types[place - 2] in Trino.Tokenizer.COMMAND_PREFIX_TOKENS


def _without_signs(found: list[str]) -> list[str]:
    signs = {
        place
        for place, word in enumerate(found[:-1])
        if word in ("-", "+") and found[place + 1] == _NUMBER and (place == 0 or found[place - 1] in _BEFORE_SIGN)
    }
    return [word for place, word in enumerate(found) if place not in signs] if signs else found


class _Bracket:
    """An open bracket: where it and its current element begin in the output, and what has been seen in it."""

    __slots__ = ("begin", "element", "rows", "seen")

    def __init__(self, begin: int, is_list: bool) -> None:
        self.begin, self.element = begin, begin + 1
        self.seen: set[tuple[str, ...]] | None = set() if is_list else None
        self.rows: tuple[str, ...] | None = None  # the last row of VALUES in it


def _with_short_lists(found: Sequence[str]) -> list[str]:
    """The words with each different element of an IN list once, and of equal rows of VALUES only the first."""
    if "in" not in found and "values" not in found:
        return list(found)
    out: list[str] = []
    top = _Bracket(-1, False)
    opened = [top]
    for place, word in enumerate(found):
        if word in _OPEN:
            after = found[place + 1] if place + 1 < len(found) else ""
            opened.append(_Bracket(len(out), bool(out) and out[-1] == "in" and after not in _QUERIES))
            out.append(word)
        elif word in _CLOSE and len(opened) > 1:
            bracket = opened.pop()
            _end_element(bracket, out)
            out.append(word)
            _end_row(bracket, opened[-1], out)
        elif word == "," and opened[-1].seen is not None:
            _end_element(opened[-1], out)
            out.append(word)
            opened[-1].element = len(out)
        else:
            out.append(word)
    return out


def _end_element(bracket: _Bracket, out: list[str]) -> None:
    """Takes an element that was there before out again, with the comma in front of it."""
    if bracket.seen is None or len(out) - bracket.element > _LONGEST_ELEMENT:
        return
    element = tuple(out[bracket.element :])
    if element in bracket.seen:
        del out[bracket.element - 1 :]
    bracket.seen.add(element)


def _end_row(bracket: _Bracket, outer: _Bracket, out: list[str]) -> None:
    """Takes a row of VALUES that equals the one before out again, with the comma in front of it."""
    before = out[bracket.begin - 1] if bracket.begin else ""
    if (before != "values" and not (before == "," and outer.rows is not None)) or len(
        out
    ) - bracket.begin > _LONGEST_ELEMENT:
        outer.rows = None
        return
    row = tuple(out[bracket.begin :])
    if before == "," and row == outer.rows:
        del out[bracket.begin - 1 :]
    outer.rows = row
