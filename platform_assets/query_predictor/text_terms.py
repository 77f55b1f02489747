"""The words of a query as TF-IDF: a vocabulary from train texts, and the weights of a text by it.

Words are `sql_tokens.normalised`, of the tokenisation that features and templates share: literals are gone, a name in double
quotes is a name. Training and serving weigh a text by the same function. A word's weight is its count in the text times
idf = ln((1 + texts) / (1 + texts with the word)) + 1, and a text's weights have length 1: the smoothed idf and the norm of
scikit-learn's TfidfVectorizer, after Manning, Raghavan and Schuetze, Introduction to Information Retrieval, 6.2. What does not
belong here: which texts are train texts (`feature_sets`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from platform_assets.query_predictor import sql_tokens
from platform_assets.query_predictor.sql_tokens import Tokens

NAME = "tfidf.json"


class TermRow(NamedTuple):
    """The terms of a text that are in the vocabulary: columns, int32 in rising order, and weights, float32."""

    columns: NDArray[np.int32]
    weights: NDArray[np.float32]


def words(read: Tokens) -> list[str]:
    """The words of a text, in its order: the one way in which training and serving prepare a text."""
    return sql_tokens.normalised(read.tokens)


@dataclass(frozen=True)
class TermWeights:
    """A vocabulary with the idf of each term; columns are in the order of `terms`."""

    terms: tuple[str, ...]
    idf: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.terms) != len(self.idf) or len(set(self.terms)) != len(self.terms):
            raise ValueError(f"{len(self.terms)} terms with {len(self.idf)} weights are no vocabulary: each term once")

    def __len__(self) -> int:
        return len(self.terms)

    @cached_property
    def columns(self) -> dict[str, int]:
        """The column of each term."""
        return {term: column for column, term in enumerate(self.terms)}

    def row(self, found: Sequence[str]) -> TermRow:
        """The weights of a text by its words; empty where it has no term."""
        columns = self.columns
        return self.weigh(Counter(columns[word] for word in found if word in columns))

    def weigh(self, counts: Counter[int]) -> TermRow:
        """The weights of a text by how often it has which column. Added up exactly, so that no order of words matters."""
        order = sorted(counts)
        weights = [counts[column] * self.idf[column] for column in order]
        length = math.sqrt(math.fsum(weight * weight for weight in weights))
        return TermRow(np.array(order, np.int32), np.array([weight / length for weight in weights], np.float32))

    def to_json(self) -> str:
        """The file's text, the same for the same content; numbers are read back to the bit."""
        return json.dumps({"terms": self.terms, "idf": self.idf}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TermWeights:
        """What `to_json` wrote. Raises ValueError for anything else."""
        try:
            content: dict[str, Any] = json.loads(text)
            terms = tuple(str(term) for term in content["terms"])
            return cls(terms, tuple(float(value) for value in content["idf"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{NAME} is not what training writes ({error!r}): take it from the model's folder or the features' partition"
            ) from None


class TermCounts:
    """In how many texts each word occurs. Memory holds the different words, no text."""

    def __init__(self) -> None:
        self.texts = 0
        self._numbers: dict[str, int] = {}
        self._texts_with: list[int] = []

    def add(self, found: Iterable[str]) -> Counter[int]:
        """Counts the words of one text; returns how often it has which, by the numbers of the words (`columns`)."""
        self.texts += 1
        counts = Counter(self._numbers.setdefault(word, len(self._numbers)) for word in found)
        self._texts_with += [0] * (len(self._numbers) - len(self._texts_with))
        for number in counts:
            self._texts_with[number] += 1
        return counts

    def vocabulary(self, most: int) -> TermWeights:
        """The `most` words that occur in most texts, equal ones in the order of the alphabet; what has no letter is none."""
        ranked = [(-self._texts_with[number], word) for word, number in self._numbers.items() if _is_term(word)]
        chosen = sorted((word, -count) for count, word in sorted(ranked)[:most])
        idf = [math.log((1 + self.texts) / (1 + count)) + 1 for _, count in chosen]
        return TermWeights(tuple(word for word, _ in chosen), tuple(idf))

    def columns(self, terms: TermWeights) -> NDArray[np.int32]:
        """The column of each word by its number; -1: it is no term."""
        return np.array([terms.columns.get(word, -1) for word in self._numbers], np.int32)


def _is_term(word: str) -> bool:
    """Brackets, operators and the signs that stand for literals say less than the counts of them do."""
    return any(map(str.isalpha, word))
