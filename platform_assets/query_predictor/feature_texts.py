"""The different texts of a week's sample, each featurised once: base features, how it was read, and its terms.

Texts are told apart by their hash, taken in the order in which they come, train first, and let go of again: memory holds hashes,
different words and some thousand texts at once, everything else lies in files. The vocabulary is made when the train texts are
over, so that no other text can have a say in it; each different text counts once in it. What does not belong here: rows
(`feature_sets`).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from platform_assets.query_predictor.features import SQL_NAMES
from platform_assets.query_predictor.sql_features import ParseStatus
from platform_assets.query_predictor.text_rows import featurise_all
from platform_assets.query_predictor.text_terms import TermCounts, TermRow, TermWeights

CHUNK_TEXTS = 20_000
# Longer texts make for smaller chunks.
_CHUNK_CHARACTERS = 60_000_000


@dataclass(frozen=True)
class TextTable:
    """T texts: float32 [T, 70], the ParseStatus of each, and terms of text t at `indptr[t]:indptr[t + 1]`."""

    values: NDArray[np.float32]
    statuses: NDArray[np.uint8]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.statuses)


class _Spool:
    """An array that grows in a file."""

    def __init__(self, path: Path, kind: DTypeLike) -> None:
        self._path, self._kind = path, np.dtype(kind)
        self._file = path.open("wb")

    def append(self, values: Any) -> None:
        self._file.write(np.asarray(values, self._kind).tobytes())

    def array(self) -> NDArray[Any]:
        """What was appended; nothing can be appended any more."""
        self._file.close()
        if not self._path.stat().st_size:
            return np.empty(0, self._kind)
        return np.memmap(self._path, self._kind, "r")


class TextStore:
    """Gathers texts: `numbers` for each batch of train rows, `end_of_train`, `numbers` for the others, `table`."""

    def __init__(self, folder: Path, vocabulary: int, processes: int = 1) -> None:
        self._folder, self._most, self._processes = folder, vocabulary, processes
        self._number_of: dict[bytes, int] = {}
        self._waiting: list[str] = []
        self._characters = 0
        self._counts = TermCounts()
        self._terms: TermWeights | None = None
        self._statuses, self._lengths, self._word_lengths = array("B"), array("q"), array("q")
        kinds = {"values": np.float32, "columns": np.int32, "weights": np.float32, "words": np.int32, "times": np.int32}
        self._spools = {name: _Spool(folder / f"{name}.bin", kind) for name, kind in kinds.items()}

    def numbers(self, hashes: Sequence[str], texts: Sequence[Any]) -> NDArray[np.int32]:
        """The number of each row's text; new ones wait until there are enough. `texts` is Arrow's: read where new."""
        found = np.empty(len(hashes), np.int32)
        for row, key in enumerate(map(bytes.fromhex, hashes)):
            number = self._number_of.get(key)
            if number is None:
                number = self._number_of[key] = len(self._number_of)
                self._take(texts[row].as_py())
            found[row] = number
        return found

    def end_of_train(self) -> TermWeights:
        """The vocabulary of the texts so far."""
        self._work()
        self._terms = self._counts.vocabulary(self._most)
        self._weigh_train(self._counts.columns(self._terms), self._terms)
        return self._terms

    def table(self) -> TextTable:
        """All texts; nothing can be added any more."""
        self._work()
        indptr = np.concatenate([[0], np.cumsum(np.array(self._lengths, np.int64))]).astype(np.int64)
        values = self._spools["values"].array().reshape(-1, len(SQL_NAMES))
        columns, weights = self._spools["columns"].array(), self._spools["weights"].array()
        return TextTable(values, np.array(self._statuses, np.uint8), indptr, columns, weights)

    def _take(self, text: str) -> None:
        self._waiting.append(text)
        self._characters += len(text)
        if len(self._waiting) >= CHUNK_TEXTS or self._characters >= _CHUNK_CHARACTERS:
            self._work()

    def _work(self) -> None:
        for row in featurise_all(self._waiting, self._processes):
            self._spools["values"].append(row.values)
            self._statuses.append(row.status)
            if self._terms is None:
                self._keep_words(self._counts.add(row.words))
            else:
                self._keep_terms(self._terms.row(row.words))
        self._waiting, self._characters = [], 0

    def _keep_words(self, counts: Counter[int]) -> None:
        self._word_lengths.append(len(counts))
        self._spools["words"].append(list(counts))
        self._spools["times"].append(list(counts.values()))

    def _keep_terms(self, row: TermRow) -> None:
        self._lengths.append(len(row.columns))
        self._spools["columns"].append(row.columns)
        self._spools["weights"].append(row.weights)

    def _weigh_train(self, column_of: NDArray[np.int32], terms: TermWeights) -> None:
        words, times = self._spools["words"].array(), self._spools["times"].array()
        start = 0
        for length in self._word_lengths:
            columns, counts = column_of[words[start : start + length]], times[start : start + length]
            is_term = columns >= 0
            found = zip(columns[is_term].tolist(), counts[is_term].tolist(), strict=True)
            self._keep_terms(terms.weigh(Counter(dict(found))))
            start += length


def by_status(statuses: NDArray[np.uint8]) -> dict[str, int]:
    """How many were read in each way, by name; every way is there."""
    counts = np.bincount(statuses, minlength=len(ParseStatus))
    return {status.name.lower(): int(counts[status]) for status in ParseStatus}
