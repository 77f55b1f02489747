"""The queries that a replay asks about: validation and test rows of a week's features, with what each text and session say beside.

The 78 numbers of text and session are the features' own. Terms and history are not: each model has a vocabulary, by which the
sample's texts are weighed here, every different text once, and one snapshot of history (`replay_history`). Rows are whole in memory,
about a kilobyte each, half of it numbers; texts are not, and what is asked is dense a chunk at a time. What does not belong here:
asking a model (`replay_sides`).
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from platform_assets.query_predictor import replay_history, sql_tokens, text_terms
from platform_assets.query_predictor.features import BASE_FEATURE_COUNT
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.replay_history import ServedHistory
from platform_assets.query_predictor.split_features import CHUNK, Matrix, SplitFeatures, WeekFeatures
from platform_assets.query_predictor.text_terms import TermWeights

SPLITS = ("validation", "test")
HEAVY, LIGHT = "heavy", "light"
_BATCH = 16_384
_COLUMNS = ("queryId", "textHash", "query", "clientInfo")
CANDIDATE = 0
"""The judged model's place among those that are asked."""
Texts = NDArray[np.int64]


class ReplayError(ValueError):
    """Inputs that cannot be replayed together; the message names the remedy."""


class Memory(NamedTuple):
    """What a model knows of words and of the past, as of its own week."""

    terms: TermWeights
    history: HistorySnapshot


@dataclass(frozen=True)
class TextTerms:
    """The terms of T texts by one vocabulary: those of text t are `columns[indptr[t]:indptr[t + 1]]`."""

    terms: int
    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]

    def dense(self, texts: Texts) -> Matrix:
        """[rows, terms] of rows with these texts; 0 where a term is absent."""
        found, counts = np.zeros((len(texts), self.terms), np.float32), np.diff(self.indptr)[texts]
        ends = np.cumsum(counts)
        places = np.arange(counts.sum()) + np.repeat(self.indptr[texts] - ends + counts, counts)
        found[np.repeat(np.arange(len(texts)), counts), self.columns[places]] = self.weights[places]
        return found


@dataclass(frozen=True)
class ReplayRows:
    """R rows, the older split first. `text_of` [R] is each row's text in every TextTerms."""

    features: SplitFeatures
    """With what the judged model knows of the past, without terms."""
    week: date
    query_id: NDArray[Any]
    text_of: Texts
    vocabularies: tuple[TextTerms, ...]
    histories: tuple[ServedHistory, ...]
    """By model, as the vocabularies."""
    online: NDArray[Any]
    """[R] what an online router decided: heavy, light, or None where nothing says."""
    odd_routes: int
    """Rows with a decision that is neither."""

    def __len__(self) -> int:
        return len(self.query_id)

    @property
    def days(self) -> list[date]:
        """The 14 days, also those without a query."""
        return [self.week + timedelta(days=number) for number in range(-7, 7)]

    def asked(self, model: int, size: int = CHUNK) -> Iterator[Matrix]:
        """The rows as that model is asked, dense, so many at once."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            numbers = self.features.numbers[rows].copy()
            numbers[:, BASE_FEATURE_COUNT:] = self.histories[model].values[rows]
            yield np.concatenate([numbers, self.vocabularies[model].dense(self.text_of[rows])], axis=1)


def read(
    week: WeekFeatures, sample: Path, models: Sequence[Memory], online: re.Pattern[str], train: SplitFeatures
) -> ReplayRows:
    """The rows of a week's features, with the texts and sessions of the sample that they were made from; the judged model first.

    `online` is searched in clientInfo, and its group is heavy or light. A template is seen when `train` has it, the split that the
    judged model was grown on. Raises ReplayError where the two folders are not of one sample, or hold no row.
    """
    joined = _joined([week.splits[name] for name in SPLITS])
    if not len(joined):
        raise ReplayError(f"{week.folder} holds no validation and no test row: replay a week with queries")
    texts, files = _Texts([each.terms for each in models]), [sample / f"{name}.parquet" for name in SPLITS]
    ids, text_of, decided = texts.read(files, online)
    _require_one_sample(week, sample, ids)
    sessions = _batches(files, replay_history.COLUMNS)
    histories = replay_history.as_served(joined, sessions, [each.history for each in models])
    if histories:
        # What the features knew on each row's own day is what no model answers by.
        joined.numbers[:, BASE_FEATURE_COUNT:] = histories[CANDIDATE].values
    seen = np.isin(joined.template.astype(str), np.unique(train.template.astype(str)))
    return ReplayRows(
        replace(joined, seen_template=seen), week.week, np.array(ids, object), np.array(text_of, np.int64),
        texts.tables(), histories, np.array(decided, object), texts.odd_routes,
    )  # fmt: skip


def _require_one_sample(week: WeekFeatures, sample: Path, ids: Sequence[str]) -> None:
    """Rows stand in the sample's order; one that does not would be asked with the text of another."""
    named = [week.folder / f"{name}_rows.parquet" for name in SPLITS]
    known = [each for path in named for each in pq.read_table(path, columns=["queryId"])["queryId"].to_pylist()]
    if known != list(ids):
        raise ReplayError(
            f"the features in {week.folder} hold {len(known):,} queries and the sample in {sample} {len(ids):,}, or others: name "
            "the training_sample that query_predictor/features was made from, or materialise the features again"
        )


def _joined(splits: Sequence[SplitFeatures]) -> SplitFeatures:
    """The rows of all splits, without terms."""
    names = ("numbers", "is_heavy", "weight", "template", "category", "created", "seen_template")
    rows = sum(len(split) for split in splits)
    none = {"data": np.empty(0, np.float32), "indices": np.empty(0, np.int32), "indptr": np.zeros(rows + 1, np.int64)}
    columns = {name: np.concatenate([np.asarray(getattr(split, name)) for split in splits]) for name in names}
    return SplitFeatures("replay", terms=0, **none, **columns)


class _Texts:
    """Different texts, weighed by every vocabulary as they come."""

    def __init__(self, vocabularies: Sequence[TermWeights]) -> None:
        self._vocabularies = vocabularies
        self.odd_routes = 0
        self._number_of: dict[str, int] = {}
        self._lengths, self._columns, self._weights = ([array(kind) for _ in vocabularies] for kind in "qif")

    def read(self, files: Sequence[Path], online: re.Pattern[str]) -> tuple[list[str], array[int], list[str | None]]:
        """Of each row its id, its text's number, and what an online router decided."""
        ids, text_of, decided = list[str](), array("q"), list[str | None]()
        for batch in _batches(files, _COLUMNS):
            ids += batch["queryId"].to_pylist()
            text_of.extend(self._number(*each) for each in _texts_of(batch))
            decided += [self._decision(each, online) for each in batch["clientInfo"].to_pylist()]
        return ids, text_of, decided

    def tables(self) -> tuple[TextTerms, ...]:
        """By vocabulary."""
        return tuple(
            TextTerms(
                len(terms), np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))]).astype(np.int64),
                np.array(columns, np.int32), np.array(weights, np.float32),
            )
            for terms, lengths, columns, weights in zip(
                self._vocabularies, self._lengths, self._columns, self._weights, strict=True
            )
        )  # fmt: skip

    def _decision(self, client_info: str | None, pattern: re.Pattern[str]) -> str | None:
        found = pattern.search(client_info) if client_info else None
        if found is None:
            return None
        decision = str(found[1]).lower()
        if decision in (HEAVY, LIGHT):
            return decision
        # Anybody may write anything there: it must not be in the way of a week's verdict.
        self.odd_routes += 1
        return None

    def _number(self, key: str, text: Any) -> int:
        number = self._number_of.get(key)
        if number is None:
            number = self._number_of[key] = len(self._number_of)
            self._weigh(text.as_py())
        return number

    def _weigh(self, text: str) -> None:
        words = text_terms.words(sql_tokens.read(text))
        for place, terms in enumerate(self._vocabularies):
            row = terms.row(words)
            self._lengths[place].append(len(row.columns))
            self._columns[place].extend(row.columns.tolist())
            self._weights[place].extend(row.weights.tolist())


def _texts_of(batch: pa.RecordBatch) -> Iterator[tuple[str, Any]]:
    """Hash and text of each row; the text is Arrow's, and read where it is new."""
    return zip(batch["textHash"].to_pylist(), batch["query"], strict=True)


def _batches(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                if missing := set(columns) - set(file.schema_arrow.names):
                    raise pa.ArrowInvalid(f"it lacks {', '.join(sorted(missing))}")
                yield from file.iter_batches(_BATCH, columns=list(columns), use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise ReplayError(
                f"{path} cannot be read ({error}): name a folder of query_predictor/training_sample"
            ) from None
