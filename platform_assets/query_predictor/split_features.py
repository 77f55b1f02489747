"""A week's features as training reads them: one split's rows, dense on demand, with their labels and what they are grouped by.

Numbers and terms lie in files of their own (`query_predictor/features`): float32 [R, 95] and a sparse [R, V]. XGBoost is only ever
given dense rows, zeros written out: of a model that was trained on sparse ones, ONNX takes every absent term for a missing value,
and answers wrongly without an error. What does not belong here: how features are made.

R rows, C columns (95 + V), V terms.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from platform_assets.core.folders import remedy
from platform_assets.query_predictor import features_document
from platform_assets.query_predictor.features_document import ASSET, NUMBERS, FeaturesError

SPLITS = ("train", "validation", "test")
TERMS, HISTORY = "tfidf.json", "history"
ROW_COLUMNS = (
    "queryId", "is_heavy", "weight", "template", "category", "createTime", "parse_status", "seen_template",
)  # fmt: skip
# 64 MB of a thousand columns: what is dense at once.
CHUNK = 16_384
Rows = NDArray[np.int64]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class SplitFeatures:
    """One split. `numbers` [R, 95]; the terms of row r are `indices[indptr[r]:indptr[r + 1]]`; all else is [R]."""

    name: str
    numbers: Matrix
    data: Matrix
    indices: NDArray[Any]
    indptr: NDArray[Any]
    terms: int
    is_heavy: NDArray[np.bool_]
    weight: NDArray[np.float64]
    """1 / inclusion probability, capped and scaled: metrics weighed by it speak of the queries as they come."""
    template: NDArray[Any]
    category: NDArray[Any]
    created: NDArray[np.datetime64]
    """UTC."""
    seen_template: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_heavy)

    @property
    def columns(self) -> int:
        """C."""
        return len(NUMBERS) + self.terms

    @cached_property
    def all_rows(self) -> Rows:
        """Every row's place."""
        return np.arange(len(self), dtype=np.int64)

    def number(self, name: str) -> Matrix:
        """[R], one of the 95 by its name."""
        return self.numbers[:, NUMBERS.index(name)]

    def is_of(self, categories: Collection[str]) -> NDArray[np.bool_]:
        """[R] whose category is one of these."""
        return np.isin(self.category, sorted(categories))

    def dense(self, rows: Rows) -> Matrix:
        """[rows, C]: NaN where a number is missing, 0 where a term is absent."""
        found = np.zeros((len(rows), self.columns), np.float32)
        found[:, : len(NUMBERS)] = self.numbers[rows]
        begins, counts = self.indptr[rows].astype(np.int64), np.diff(self.indptr)[rows].astype(np.int64)
        ends = np.cumsum(counts)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begins - ends + counts, counts)
        found[np.repeat(np.arange(len(rows)), counts), len(NUMBERS) + self.indices[places]] = self.data[places]
        return found

    def part(self, chosen: NDArray[np.bool_]) -> SplitFeatures:
        """Some of the rows, in memory; the split itself where these are all."""
        if chosen.all():
            return self
        counts = np.diff(self.indptr)
        kept = np.repeat(chosen, counts)
        names = ("numbers", "is_heavy", "weight", "template", "category", "created", "seen_template")
        return replace(
            self, data=self.data[kept], indices=self.indices[kept],
            indptr=np.concatenate([[0], np.cumsum(counts[chosen])]), **{name: getattr(self, name)[chosen] for name in names},
        )  # fmt: skip

    def chunks(self, rows: Rows | None = None, size: int = CHUNK) -> Iterator[tuple[Rows, Matrix]]:
        """Dense rows, so many at once: all of them, or those at `rows`."""
        chosen = self.all_rows if rows is None else rows
        for start in range(0, len(chosen), size):
            part = chosen[start : start + size]
            yield part, self.dense(part)


@dataclass(frozen=True)
class WeekFeatures:
    """All splits of a week, and how their columns are called."""

    folder: Path
    week: date
    """Its Monday."""
    splits: dict[str, SplitFeatures]
    term_names: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """C names: those of the table of features, then the terms as `term select`."""
        return (*NUMBERS, *(f"term {term}" for term in self.term_names))


def read_week(folder: Path) -> WeekFeatures:
    """A week's features; numbers stay on disk until they are asked for. Raises FeaturesError."""
    terms, week = _terms(folder), features_document.read(folder)
    if not (folder / HISTORY).is_dir():
        raise FeaturesError(f"{folder} holds no folder {HISTORY}: {remedy(folder / HISTORY, ASSET)}")
    return WeekFeatures(folder, week, {name: _split(folder, name, len(terms)) for name in SPLITS}, terms)


def read_split(folder: Path, name: str) -> SplitFeatures:
    """One split of a folder, which need not hold the others. Raises FeaturesError."""
    terms = _terms(folder)
    features_document.read(folder)
    return _split(folder, name, len(terms))


def _terms(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads((folder / TERMS).read_text(encoding="utf-8"))["terms"])
    except FileNotFoundError:
        raise FeaturesError(f"{folder} holds no {TERMS}: name a folder of {ASSET}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder / TERMS, error) from None


def _split(folder: Path, name: str, terms: int) -> SplitFeatures:
    data, indices, indptr = (_array(folder / f"{name}_tfidf_{part}.npy") for part in ("data", "indices", "indptr"))
    columns, numbers = _row_columns(folder / f"{name}_rows.parquet"), _array(folder / f"{name}.npy")
    found = SplitFeatures(name, numbers, data, indices, indptr, terms, **columns)
    for path, problem in _problems(folder, found):
        raise FeaturesError(f"{path} {problem}: {remedy(path, ASSET)}")
    return found


def _problems(folder: Path, split: SplitFeatures) -> Iterator[tuple[Path, str]]:
    name, rows = split.name, len(split)
    if split.numbers.dtype != np.float32 or split.numbers.shape != (rows, len(NUMBERS)):
        yield (
            folder / f"{name}.npy",
            f"is {split.numbers.dtype} {split.numbers.shape}, not float32 {(rows, len(NUMBERS))}",
        )
    bounds = split.indptr
    if len(bounds) != rows + 1 or bounds[0] != 0 or bounds[-1] != len(split.data) or (np.diff(bounds) < 0).any():
        yield folder / f"{name}_tfidf_indptr.npy", f"does not say where {rows:,} rows begin and end"
    if len(split.indices) != len(split.data) or (
        len(split.indices) and (split.indices.min() < 0 or split.indices.max() >= split.terms)
    ):
        yield folder / f"{name}_tfidf_indices.npy", f"does not name {len(split.data):,} of {split.terms:,} terms"
    if not np.isfinite(split.data).all():
        yield folder / f"{name}_tfidf_data.npy", "holds what is no number"
    if not np.isfinite(split.weight).all() or (split.weight <= 0).any():
        yield folder / f"{name}_rows.parquet", "holds a weight that is not above 0"


def _row_columns(path: Path) -> dict[str, Any]:
    try:
        table = pq.read_table(path, columns=list(ROW_COLUMNS))
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None
    for name in ROW_COLUMNS:
        if name not in table.column_names or table[name].null_count:
            raise FeaturesError(f"{path} lacks {name}, or has nulls in it: {remedy(path, ASSET)}")
    times = table["createTime"].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    return {
        "is_heavy": table["is_heavy"].to_numpy().astype(bool), "weight": table["weight"].to_numpy().astype(np.float64),
        "template": table["template"].to_numpy(), "category": table["category"].to_numpy(), "created": times.to_numpy().astype("datetime64[us]"),
        "seen_template": table["seen_template"].to_numpy().astype(bool),
    }  # fmt: skip


def _array(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> FeaturesError:
    return FeaturesError(f"{path} cannot be read ({error!r}): {remedy(path, ASSET)}")
