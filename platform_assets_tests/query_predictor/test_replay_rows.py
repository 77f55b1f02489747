"""The rows of a replay, of features as they are really made: terms by any vocabulary are those that featurising gives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from platform_assets.query_predictor import replay, replay_rows, sql_tokens, text_terms
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.split_features import WeekFeatures, read_week
from platform_assets.query_predictor.text_terms import TermWeights
from platform_assets_tests.query_predictor.test_feature_sets import WEEK, Week, build, make_week

OTHER = TermWeights(("b", "late", "onlylate", "union"), (1.0, 1.5, 2.0, 2.5))
PATTERN = re.compile(replay.ONLINE_ROUTE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Week, WeekFeatures]:
    folder = tmp_path_factory.mktemp("week")
    week = make_week(folder)
    return week, read_week(build(week, folder).folder)


@pytest.fixture(scope="module")
def rows(made: tuple[Week, WeekFeatures]) -> replay_rows.ReplayRows:
    week, features = made
    own = TermWeights.from_json((features.folder / text_terms.NAME).read_text())
    past = HistorySnapshot.open(features.folder / "history")
    models = [replay_rows.Memory(own, past), replay_rows.Memory(OTHER, past)]
    return replay_rows.read(features, week.sample, models, PATTERN, features.splits["train"])


def test_terms_by_the_features_own_vocabulary_are_the_features_to_the_bit(
    made: tuple[Week, WeekFeatures], rows: replay_rows.ReplayRows
) -> None:
    asked, start = np.concatenate(list(rows.asked(0))), 0
    for name in replay_rows.SPLITS:
        split = made[1].splits[name]
        own = asked[start : start + len(split)]
        assert own.tobytes() == split.dense(split.all_rows).tobytes()
        assert rows.features.seen_template[start : start + len(split)].tolist() == split.seen_template.tolist()
        start += len(split)
    assert start == len(rows) > 20


def test_another_vocabulary_weighs_the_same_texts_by_its_own_terms(
    made: tuple[Week, WeekFeatures], rows: replay_rows.ReplayRows
) -> None:
    texts = [text for name in replay_rows.SPLITS for text in pq.read_table(made[0].sample / f"{name}.parquet")["query"].to_pylist()]  # fmt: skip
    (asked,) = rows.asked(1)
    dense = asked[:, -len(OTHER) :]
    assert dense.any()
    for row, text in zip(dense, texts, strict=True):
        expected = OTHER.row(text_terms.words(sql_tokens.read(text)))
        assert (np.flatnonzero(row).tolist(), row[row != 0].tolist()) == (
            expected.columns.tolist(),
            expected.weights.tolist(),
        )


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_rows_are_asked_so_many_at_once_and_the_same_as_together(size: int, rows: replay_rows.ReplayRows) -> None:
    parts = list(rows.asked(0, size))
    assert {len(part) for part in parts[:-1]} <= {size}
    assert np.concatenate(parts).tobytes() == np.concatenate(list(rows.asked(0))).tobytes()


def test_the_rows_have_what_the_judged_model_knows_of_the_past(rows: replay_rows.ReplayRows) -> None:
    (asked,) = rows.asked(0)
    assert rows.features.numbers.tobytes() == asked[:, : rows.features.columns].tobytes()


def test_the_days_are_the_fourteen_up_to_the_weeks_sunday(rows: replay_rows.ReplayRows) -> None:
    assert rows.week == WEEK
    assert [day.isoformat() for day in (rows.days[0], rows.days[-1])] == ["2026-02-23", "2026-03-08"]
    assert len(rows.days) == 14
    created = rows.features.created.astype("datetime64[D]")
    assert set(created.tolist()) <= set(rows.days)


def test_rows_in_another_order_than_the_samples_are_refused(made: tuple[Week, WeekFeatures], tmp_path: Path) -> None:
    week, features = made
    for name in replay_rows.SPLITS:
        table = pq.read_table(week.sample / f"{name}.parquet")
        pq.write_table(table.take(list(range(len(table)))[::-1]), tmp_path / f"{name}.parquet")
    with pytest.raises(
        replay_rows.ReplayError, match="name the training_sample that query_predictor/features was made"
    ):
        replay_rows.read(features, tmp_path, [], PATTERN, features.splits["train"])
