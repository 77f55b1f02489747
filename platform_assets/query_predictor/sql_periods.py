"""How long a period a query's text names: what it reads of a partitioned table, as far as words tell.

Literals are normalised away before terms are counted, and two texts of one template differ in nothing but them: a day and a year of
the same table cost what they cost. Dates are taken from strings (DATE '2025-06-01', '2025-06-01 12:00', '20250601'), lengths from
INTERVAL '7' DAY and date_add('day', -7, ...), by tokens alone, so that a text that no parser reads has its period too. What does not
belong here: which column a date is compared with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date
from itertools import compress

from sqlglot.tokenizer_core import TokenType

from platform_assets.query_predictor.sql_tokens import STRINGS, Tokens

# Months and years as long as they are on average (Gregorian).
DAYS_OF = {
    "millisecond": 1 / 86_400_000, "second": 1 / 86_400, "minute": 1 / 1_440, "hour": 1 / 24, "day": 1.0, "week": 7.0,
    "month": 365.2425 / 12, "quarter": 365.2425 / 4, "year": 365.2425,
}  # fmt: skip
_DATE = re.compile(r"\s*(\d{4})(-?)(\d{2})\2(\d{2})(?!\d)", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(\d{1,9}(?:\.\d{1,9})?)\s*", re.ASCII)
_SIGNS = frozenset({TokenType.DASH, TokenType.PLUS})
# A length follows INTERVAL, or a comma of date_add.
_BEFORE_LENGTHS = frozenset({TokenType.INTERVAL, TokenType.COMMA})


def period_days(read: Tokens) -> float:
    """Days from the earliest to the latest date of a text, or its longest interval where that is longer; NaN: it has neither."""
    strings = compress(read.tokens, map(STRINGS.__contains__, read.types))
    dates = [found for token in strings if (found := _day(token.text)) is not None]
    lengths = list(_lengths(read))
    if len(dates) > 1:
        lengths.append(float(max(dates) - min(dates)))
    return max(lengths, default=math.nan)


def _day(text: str) -> int | None:
    """A date's number; None for a text that begins with none."""
    found = _DATE.match(text)
    if not found:
        return None
    try:
        return date(int(found[1]), int(found[3]), int(found[4])).toordinal()
    except ValueError:
        return None


def _lengths(read: Tokens) -> Iterator[float]:
    """Days of every INTERVAL 'n' UNIT and date_add('unit', n, ...)."""
    types, tokens = read.types, read.tokens
    for place in compress(range(len(types)), map(_BEFORE_LENGTHS.__contains__, types)):
        if types[place] == TokenType.INTERVAL:
            number = place + 1 + (_kind(types, place + 1) in _SIGNS)
            yield from _length(_text(read, number), _text(read, number + 1))
        elif place > 2 and tokens[place - 3].text.lower() == "date_add":
            number = place + 1 + (_kind(types, place + 1) in _SIGNS)
            yield from _length(_text(read, number), tokens[place - 1].text)


def _length(number: str, unit: str) -> Iterator[float]:
    found, days = _NUMBER.fullmatch(number), DAYS_OF.get(unit.lower().removesuffix("s"))
    if found and days:
        yield float(found[1]) * days


def _kind(types: list[TokenType], place: int) -> TokenType | None:
    return types[place] if place < len(types) else None


def _text(read: Tokens, place: int) -> str:
    return read.tokens[place].text if place < len(read.tokens) else ""
