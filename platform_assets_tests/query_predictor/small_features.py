"""A week's features as the asset lays them out, small and made up: heaviness follows from a few numbers, a term and the template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from platform_assets.query_predictor import features_document
from platform_assets.query_predictor.features_document import NUMBERS
from platform_assets.query_predictor.training_options import TrainingOptions
from platform_assets.query_predictor.zero_cost import CategoryCount, judge

WEEK = date(2026, 2, 16)
TERMS = ("from", "group", "join", "lineitem", "orders", "region", "select", "sum", "where")
DAYS = {"train": (44, 30), "validation": (14, 7), "test": (7, 7)}
"""Days before the week's end at which a split begins, and how many it has."""
_SUMS = {
    "users": ("queries", "heavy", "failed", "cpu_units", "memory_units", "largest_cpu"),
    "catalogs": ("queries", "heavy", "cpu_units", "memory_units"),
    "schemas": ("queries", "heavy", "cpu_units"),
    "templates": ("queries", "heavy", "last_cpu"),
}


@dataclass(frozen=True)
class MadeUpWeek:
    """Where it lies."""

    features: Path
    zero_cost: Path

    def options(self, output: Path, **changes: Any) -> TrainingOptions:
        """Of a training that takes a second."""
        given = {"n_estimators": 20, "early_stopping_rounds": 5, "max_depth": 3, "cv_folds": 3, "threads": 1, **changes}
        return TrainingOptions(self.features, given.pop("zero_cost", self.zero_cost), output, **given)


def write_week(
    folder: Path,
    rows: Mapping[str, int] | None = None,
    free: Mapping[str, tuple[int, int]] | None = None,
    seed: int = 0,
    heavy_odds: float = -7.0,
) -> MadeUpWeek:
    """`rows` by split, of the train days before they are sampled: of their light rows one in four is kept, and weighs four.

    `free`: category -> (queries, heavy), as the log counts them. Of made-up rows one in ten is a `show`, and none of these is heavy.
    """
    target = folder / "features"
    target.mkdir(parents=True)
    for place, (name, count) in enumerate({"train": 4000, "validation": 1500, "test": 2500, **(rows or {})}.items()):
        _write_split(target, name, count, np.random.default_rng([seed, place]), heavy_odds)
    weights = {"terms": TERMS, "idf": [1.0 + 0.1 * place for place in range(len(TERMS))]}
    (target / "tfidf.json").write_text(json.dumps(weights))
    features_document.write(target, WEEK)
    write_history(target / "history")
    counts = {"select": (90_000, 2_000), "show": (20_000, 0)} if free is None else dict(free)
    judged = judge({name: CategoryCount(*count) for name, count in counts.items()})
    (folder / "zero_cost_categories.json").write_text(judged.to_json())
    return MadeUpWeek(target, folder / "zero_cost_categories.json")


def write_history(folder: Path) -> None:
    """A snapshot in which one user has a past, and no template has."""
    folder.mkdir()
    for name, sums in _SUMS.items():
        known = 1 if name == "users" else 0
        columns: dict[str, Any] = {"name": pa.array(["ann"][:known], pa.string())}
        if name == "schemas":
            columns["inner_name"] = pa.array([], pa.string())
        for each in sums:
            is_cost = each in ("largest_cpu", "last_cpu")
            columns[each] = pa.array([4][:known], pa.float64() if is_cost else pa.int64())
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    end = WEEK + timedelta(days=7)
    content = {
        "day": end.isoformat(), "as_of": datetime(end.year, end.month, end.day, tzinfo=UTC).isoformat(), "delay_seconds": 0,
        "window_days": None, "strength": 20.0, "resource_errors": [], "all": {"queries": 100, "heavy": 3, "failed": 1},
    }  # fmt: skip
    (folder / "history.json").write_text(json.dumps(content))


def _write_split(folder: Path, name: str, count: int, chance: np.random.Generator, heavy_odds: float) -> None:
    templates = chance.integers(0, 60 if name == "train" else 80, count)
    numbers = chance.normal(size=(count, len(NUMBERS))).astype(np.float32)
    place = NUMBERS.index
    numbers[:, place("characters")] = chance.integers(20, 4000, count)
    numbers[:, place("joins")] = chance.integers(0, 6, count)
    numbers[:, place("parse_status")] = 0
    numbers[:, place("template_queries")] = np.log1p(np.where(templates < 60, 20, 0))
    numbers[:, place("template_heavy_rate")] = np.where(templates < 60, templates / 60, 0.1)
    numbers[:, place("user_heavy_rate")] = chance.uniform(0, 0.2, count)
    terms = chance.random((count, len(TERMS))) < 0.3
    category = np.where(chance.random(count) < 0.1, "show", "select")
    odds = heavy_odds + 4 * numbers[:, place("where_ranges")] + 2 * terms[:, 3] + 2 * (templates / 60)
    is_heavy = (chance.random(count) < 1 / (1 + np.exp(-odds))) & (category != "show")
    # Missing numbers, also of what decides.
    numbers[chance.random(numbers.shape) < 0.02] = np.nan
    kept = np.flatnonzero(is_heavy | (name != "train") | (np.arange(count) % 4 == 0))
    np.save(folder / f"{name}.npy", numbers[kept])
    _write_terms(folder, name, terms[kept], chance)
    _write_rows(folder, name, len(kept), is_heavy[kept], templates[kept], category[kept])


def _write_terms(folder: Path, name: str, terms: NDArray[np.bool_], chance: np.random.Generator) -> None:
    places = np.nonzero(terms)
    parts = {
        "data": chance.uniform(0.1, 1, len(places[0])).astype(np.float32), "indices": places[1].astype(np.int32),
        "indptr": np.concatenate([[0], np.cumsum(terms.sum(1))]).astype(np.int64),
    }  # fmt: skip
    for part, values in parts.items():
        np.save(folder / f"{name}_tfidf_{part}.npy", values)


def _write_rows(
    folder: Path, name: str, count: int, is_heavy: NDArray[Any], templates: NDArray[Any], category: NDArray[Any]
) -> None:
    begin, days = DAYS[name]
    first = datetime(WEEK.year, WEEK.month, WEEK.day, tzinfo=UTC) + timedelta(days=7 - begin)
    created = [first + timedelta(days=days * row / max(1, count)) for row in range(count)]
    columns = {
        "queryId": pa.array([f"{name}_{row:06}" for row in range(count)]), "is_heavy": pa.array(is_heavy.tolist()),
        "weight": pa.array(np.where(is_heavy | (name != "train"), 1.0, 4.0)),
        "template": pa.array([f"{each:032x}" for each in templates.tolist()]), "category": pa.array(category.tolist()),
        "createTime": pa.array(created, pa.timestamp("us", tz="UTC")), "parse_status": pa.array([0] * count, pa.int8()),
        "seen_template": pa.array((templates < 60).tolist()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / f"{name}_rows.parquet")
