"""Replayed scores beside what serves: the registered model's router, which knows one snapshot, and the day's own history before it.

Everything is really made: labelled days, features of two weeks, a model of the first, its replay on the second.
"""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_assets.query_predictor import (
    feature_sets,
    history,
    judgement,
    replay,
    replay_drift,
    replay_figures,
    training,
)
from platform_assets.query_predictor.context_features import Context
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.onnx_model import OnnxModel
from platform_assets.query_predictor.router import AskedQuery, Router
from platform_assets.query_predictor.served_features import ServedFeatures
from platform_assets.query_predictor.text_terms import TermWeights
from platform_assets.query_predictor.training_options import TrainingOptions
from platform_assets.query_predictor.zero_cost import CategoryCount, judge
from platform_assets_tests.query_predictor.labelled_rows import Row, write_split
from platform_assets_tests.query_predictor.test_feature_sets import WEEK, Week, engine, make_week

BEFORE = WEEK - timedelta(days=7)


@dataclass(frozen=True)
class Replayed:
    week: Week
    folder: Path
    model: Path
    scores: dict[str, np.ndarray]
    summary: dict[str, Any]

    @property
    def rows(self) -> dict[str, Row]:
        return {row["queryId"]: row for row in self.week.rows}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp("served")
    week = make_week(folder, rows=700)
    write_week_before(week.rows, folder / "before")
    features = {}
    for monday, sample in ((BEFORE, folder / "before"), (WEEK, week.sample)):
        features[monday] = folder / f"features_{monday}"
        feature_sets.build(engine(folder), monday, sample, week.labelled, features[monday], vocabulary=12)
    zero_cost = folder / "zero_cost_categories.json"
    zero_cost.write_text(judge({"select": CategoryCount(90_000, 2_000), "show": CategoryCount(20_000, 0)}).to_json())
    options = TrainingOptions(
        features[BEFORE],
        zero_cost,
        folder / "model",
        n_estimators=30,
        max_depth=4,
        cost_fn=2.0,
        cv_folds=0,
        threads=1,
        plots=False,
    )
    training.train(options)
    given = {
        "model": options.output, "model_features": features[BEFORE], "features": features[WEEK], "sample": week.sample,
        "zero_cost": zero_cost, "baseline": replay.RULE, "output": folder / "out", "online_route": replay.ONLINE_ROUTE,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(replay_figures, "pictures", lambda *each: {})
        patched.setattr(replay_drift.Moved, "pictures", lambda *each: {})
        summary = replay.replay(Namespace(**given))
    return Replayed(week, folder, options.output, judgement.read(folder / "out" / replay.SCORES), summary)


def write_week_before(rows: list[Row], folder: Path) -> None:
    end = BEFORE + timedelta(days=7)
    starts = {"train": end - timedelta(days=44), "validation": end - timedelta(days=14), "test": BEFORE}
    ends = {"train": starts["validation"], "validation": BEFORE, "test": end}
    for name, start in starts.items():
        write_split(folder / f"{name}.parquet", [row for row in rows if start <= row["createTime"].date() < ends[name]])


def asked(row: Row) -> AskedQuery:
    return AskedQuery(
        row["query"], row["createTime"], row["user"] or "", row["catalog"], row["schema"], row["clientInfo"]
    )


def by_day(replayed: Replayed, is_wanted: Any) -> list[tuple[int, Row]]:
    found = [replayed.rows[each] for each in replayed.scores["query_id"]]
    return [(place, row) for place, row in enumerate(found) if is_wanted(row["createTime"].date())]


def scored_by(model: Path, snapshot: HistorySnapshot, row: Row) -> float:
    terms = TermWeights.from_json((model / "tfidf.json").read_text())
    context = Context(row["createTime"], row["catalog"], row["schema"], row["clientInfo"])
    served = ServedFeatures(snapshot, terms)(row["query"], row["user"], context)
    return float(OnnxModel(model / "model.onnx").scores(served.values[None])[0])


def test_queries_after_the_snapshot_have_the_score_and_the_route_that_the_router_answers(replayed: Replayed) -> None:
    late = by_day(replayed, lambda day: day >= WEEK)
    answers = Router.open(replayed.model).route([asked(row) for _, row in late])
    assert len(late) > 60
    assert {answer.route for answer in answers} == {"heavy", "light"}
    for (place, _), answer in zip(late, answers, strict=True):
        assert replayed.scores["candidate_routed"][place] == (answer.route == "heavy")
        assert replayed.scores["candidate_is_free"][place] == (answer.reason == "zero_cost")
        if answer.probability is not None:
            assert replayed.scores["candidate_score"][place] == answer.probability
    # The features' own history, which knows more by then, would answer otherwise.
    fresh = [scored_by(replayed.model, snapshot_of(replayed, row["createTime"].date()), row) for _, row in late]
    assert (
        sum(replayed.scores["candidate_score"][place] != score for (place, _), score in zip(late, fresh, strict=True))
        > 10
    )


def test_queries_before_the_snapshot_are_asked_with_the_history_of_their_own_day(replayed: Replayed) -> None:
    early = by_day(replayed, lambda day: day < WEEK)
    assert len(early) > 60
    for place, row in early:
        expected = scored_by(replayed.model, snapshot_of(replayed, row["createTime"].date()), row)
        assert replayed.scores["candidate_score"][place] == expected
    # The model's snapshot knows how these ended.
    knowing = HistorySnapshot.open(replayed.model / "history")
    assert any(
        replayed.scores["candidate_score"][place] != scored_by(replayed.model, knowing, row) for place, row in early
    )


def test_the_age_of_history_is_counted_from_the_snapshots_day(replayed: Replayed) -> None:
    ages = [max(0, (row["createTime"].date() - WEEK).days) for _, row in by_day(replayed, lambda day: True)]
    assert replayed.summary["history"]["candidate"] == {
        "snapshot": WEEK.isoformat(), "rows_of_snapshot": len(by_day(replayed, lambda day: day >= WEEK)),
        "mean_days": pytest.approx(sum(ages) / len(ages)), "max_days": max(ages),
    }  # fmt: skip
    document = json.loads((replayed.model / "history" / "history.json").read_text())
    assert document["day"] == WEEK.isoformat()


def snapshot_of(replayed: Replayed, day: date) -> HistorySnapshot:
    folder = replayed.folder / "snapshots" / f"{day}"
    if not folder.is_dir():
        made, options = engine(replayed.folder), HistoryOptions()
        days = history.gather(made, replayed.week.labelled, options, replayed.folder / "history_days.parquet")
        history.write_snapshot(made, days, day, options, folder)
    return HistorySnapshot.open(folder)
