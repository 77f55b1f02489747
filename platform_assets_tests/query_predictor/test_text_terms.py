"""Terms: the vocabulary by document frequency, weights as scikit-learn has them, one preparation for every text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_assets.query_predictor import text_terms
from platform_assets.query_predictor.sql_tokens import read
from platform_assets.query_predictor.text_terms import TermCounts, TermWeights

WORDS = st.lists(st.sampled_from(["select", "a", "b_1", "from", "(", "0", "''", "straße", "\ud800x"]), max_size=12)
TEXTS = st.lists(WORDS, min_size=1, max_size=8)


def counted(texts: Sequence[Sequence[str]]) -> TermCounts:
    counts = TermCounts()
    for words in texts:
        counts.add(words)
    return counts


def dense(terms: TermWeights, words: Sequence[str]) -> np.ndarray:
    row, found = terms.row(words), np.zeros(len(terms), np.float32)
    found[row.columns] = row.weights
    return found


@settings(deadline=None, max_examples=60)
@given(TEXTS.filter(lambda texts: any(word[0].isalpha() for words in texts for word in words)), TEXTS)
def test_weights_are_those_of_scikit_learn(train: list[list[str]], served: list[list[str]]) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    terms = counted(train).vocabulary(5)
    analyzer: Any = list
    oracle = TfidfVectorizer(analyzer=analyzer, vocabulary=terms.columns).fit(train)
    expected = oracle.transform(served).toarray()
    assert np.array([dense(terms, words) for words in served]) == pytest.approx(expected, abs=1e-7)


@given(TEXTS, st.integers(0, 6))
def test_the_vocabulary_is_what_occurs_in_most_texts(texts: list[list[str]], most: int) -> None:
    frequency = {word: sum(word in words for words in texts) for words in texts for word in words}
    terms = sorted((-count, word) for word, count in frequency.items() if any(sign.isalpha() for sign in word))
    assert counted(texts).vocabulary(most).terms == tuple(sorted(word for _, word in terms[:most]))
    assert counted(list(reversed(texts))).vocabulary(most) == counted(texts).vocabulary(most)


@given(TEXTS, WORDS)
def test_counted_train_words_weigh_as_the_words_do(texts: list[list[str]], words: list[str]) -> None:
    counts = counted(texts)
    numbers = counts.add(words)
    terms = counts.vocabulary(4)
    columns = counts.columns(terms)
    found = terms.weigh(type(numbers)({int(columns[n]): count for n, count in numbers.items() if columns[n] >= 0}))
    for one, other in zip(found, terms.row(words), strict=True):
        assert one.tobytes() == other.tobytes()


@given(TEXTS)
def test_a_vocabulary_is_read_back_to_the_bit(texts: list[list[str]]) -> None:
    terms = counted(texts).vocabulary(5)
    assert TermWeights.from_json(terms.to_json()) == terms
    assert TermWeights.from_json(terms.to_json()).to_json() == terms.to_json()


def test_literals_and_quotes_are_gone_and_names_stay() -> None:
    found = text_terms.words(read("SELECT \"Order Id\", 'secret' FROM T -- x\nWHERE b = 12.5"))
    assert found == ["select", "order id", ",", "''", "from", "t", "where", "b", "=", "0"]
    assert text_terms.words(read("select 'never ends")) == ["select", "''"]


def test_a_text_without_a_term_has_an_empty_row() -> None:
    terms = TermWeights(("a",), (1.0,))
    assert [len(part) for part in terms.row(["b"])] == [0, 0]
    assert terms.row(["a", "b", "a"]).weights.tolist() == [1.0]


@pytest.mark.parametrize("wrong", ["", "{}", "[1]", json.dumps({"terms": ["a", "a"], "idf": [1, 1]}),
                                   json.dumps({"terms": ["a"], "idf": []})])  # fmt: skip
def test_another_file_is_no_vocabulary(wrong: str) -> None:
    with pytest.raises(ValueError, match="not what training writes"):
        TermWeights.from_json(wrong)
