"""How often texts are tokenised and parsed, counted where it is done."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest

from platform_assets.query_predictor import sql_tokens, sql_tree


class Read(NamedTuple):
    """How often which text was given to the tokenizer and to the parser of this thread."""

    tokenised: Counter[str]
    parsed: Counter[str]


class _Tokenizer:
    def __init__(self, inner: Any, counts: Counter[str]) -> None:
        self._inner, self._counts = inner, counts

    def tokenize(self, text: str) -> Any:
        self._counts[text] += 1
        return self._inner.tokenize(text)


class _Parser:
    def __init__(self, inner: Any, counts: Counter[str]) -> None:
        self._inner, self._counts = inner, counts

    def parse(self, tokens: Any, text: str) -> Any:
        self._counts[text] += 1
        return self._inner.parse(tokens, text)


def counted(patch: pytest.MonkeyPatch) -> Read:
    """Counts from now on, until the patch is undone."""
    read = Read(Counter(), Counter())
    patch.setattr(sql_tokens._OWN, "tokenizer", _Tokenizer(sql_tokens._OWN.tokenizer, read.tokenised))
    patch.setattr(sql_tree._OWN, "parser", _Parser(sql_tree._OWN.parser, read.parsed))
    return read
