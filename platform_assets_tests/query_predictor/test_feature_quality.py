"""The checks of a week's features: each with what makes it fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import feature_quality
from platform_assets.query_predictor.feature_sets import BuiltFeatures
from platform_assets_tests.query_predictor.test_feature_sets import Week, build, make_week

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Week, BuiltFeatures]:
    folder = tmp_path_factory.mktemp("week")
    week = make_week(folder, rows=90)
    return week, build(week, folder, vocabulary=8)


@pytest.fixture
def folder(built: tuple[Week, BuiltFeatures], tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(built[1].folder, tmp_path / "features"))


def counted(week: Week) -> dict[str, dict[str, int]]:
    heavy = {name: sum(row["is_heavy"] for row in rows) for name, rows in week.splits.items()}
    return {name: {"light": len(rows) - heavy[name], "heavy": heavy[name]} for name, rows in week.splits.items()}


def reconciled(week: Week, folder: Path, counts: dict[str, dict[str, int]] | None = None) -> Outcome:
    engine = Engine(folder.parent / "scratch", threads=1)
    outcome, rows = feature_quality.splits_reconcile(engine, folder, week.sample, counts or counted(week))
    assert rows.keys() == week.splits.keys()
    return outcome


def rewritten(path: Path, change: Callable[[Rows], Rows]) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), table.schema), path)


def test_the_rows_of_the_sample_pass_one_for_one(built: tuple[Week, BuiltFeatures], folder: Path) -> None:
    outcome = reconciled(built[0], folder)
    assert outcome.passed
    assert outcome.metadata["test heavy"] == counted(built[0])["test"]["heavy"] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "validation has"),
        (lambda rows: [{**rows[0], "is_heavy": not rows[0]["is_heavy"]}, *rows[1:]], "validation has"),
        (lambda rows: [{**rows[0], "queryId": "another"}, *rows[1:]], "rows of validation are the sample's"),
        (lambda rows: [{**rows[0], "weight": 7.0}, *rows[1:]], "rows of validation are the sample's"),
        (lambda rows: [{**rows[0], "template": "0" * 32}, *rows[1:]], "rows of validation are the sample's"),
    ],
)
def test_a_row_that_is_lost_relabelled_foreign_or_otherwise_weighed_is_found(
    built: tuple[Week, BuiltFeatures], folder: Path, change: Callable[[Rows], Rows], message: str
) -> None:
    rewritten(folder / "validation_rows.parquet", change)
    outcome = reconciled(built[0], folder)
    assert not outcome.passed
    assert message in outcome.reason


def test_a_sample_whose_manifest_counts_otherwise_is_found(built: tuple[Week, BuiltFeatures], folder: Path) -> None:
    counts = counted(built[0])
    counts["train"]["light"] += 1
    assert not reconciled(built[0], folder, counts).passed


def test_a_vocabulary_with_a_word_or_a_weight_of_other_days_is_found(
    built: tuple[Week, BuiltFeatures], folder: Path
) -> None:
    train = built[0].sample / "train.parquet"
    found = feature_quality.vocabulary_of_train(folder, train)
    assert found.passed
    assert found.metadata["texts"] == len({row["query"] for row in built[0].splits["train"]})
    path = folder / "tfidf.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "terms": ["onlylate", *content["terms"][1:]]}))
    assert "in no train text: onlylate" in feature_quality.vocabulary_of_train(folder, train).reason
    # What the same terms would weigh, had test texts a say.
    every = [row for rows in built[0].splits.values() for row in rows]
    path.write_text(json.dumps(content))
    together = folder.parent / "all.parquet"
    pq.write_table(pa.Table.from_pylist(every), together)
    outcome = feature_quality.vocabulary_of_train(folder, together)
    assert not outcome.passed
    assert "weighed by other texts too: " in outcome.reason


def test_texts_that_no_parser_reads_warn_where_they_are_many() -> None:
    status = {"parsed": 880, "command": 60, "refused": 20, "too_large": 20, "unterminated": 10, "cut": 5, "blank": 5}
    report = {"rows": {"train": {**status, "parsed": 0}, "validation": status, "test": status}}
    outcome = feature_quality.parse_fallbacks(report, 0.1)
    assert outcome.passed
    assert outcome.metadata["rows_counted"] == 120
    found = feature_quality.parse_fallbacks(report, 0.03)
    assert (found.passed, found.warning) == (False, True)
