"""The replay program: each row as it would be served, a summary and pictures that follow from the rows, and errors of one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from platform_assets.query_predictor import judgement, replay, replay_drift, replay_figures, replay_summary
from platform_assets.query_predictor.features import HISTORICAL_NAMES
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.query_baselines import fingerprint, rule
from platform_assets.query_predictor.split_features import NUMBERS, read_week
from platform_assets.query_predictor.threshold import Threshold
from platform_assets_tests.query_predictor.small_features import WEEK, write_week
from platform_assets_tests.query_predictor.small_replay import (
    BEFORE,
    ONLINE,
    SPLITS,
    USERS,
    ReplayedWeek,
    slow_scores,
    spoilt,
    write_replayed,
    write_sample,
)

PICTURES = {
    "precision_recall.png", "cost.png", "calibration.png", "scores_by_template.png", "by_day.png", "feature_drift.png",
    "score_drift.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> ReplayedWeek:
    return write_replayed(tmp_path_factory.mktemp("weeks"))


@pytest.fixture(scope="module")
def output(week: ReplayedWeek, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay") / "output"
    assert replay.main(week.words(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def rows(output: Path) -> dict[str, np.ndarray]:
    return judgement.read(output / replay.SCORES)


@pytest.fixture(scope="module")
def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / replay.SUMMARY).read_text(encoding="utf-8"))


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures: they take longer than the rest."""
    monkeypatch.setattr(replay_figures, "pictures", lambda *each: {})
    monkeypatch.setattr(replay_drift.Moved, "pictures", lambda *each: {})


def test_every_row_has_the_score_that_it_would_be_served(week: ReplayedWeek, rows: dict[str, np.ndarray]) -> None:
    ids = [each for name in SPLITS for each in pq.read_table(week.sample / f"{name}.parquet")["queryId"].to_pylist()]
    assert rows["query_id"].tolist() == ids
    assert rows["candidate_score"].tolist() == slow_scores(week, week.model)


def test_decisions_mistakes_and_costs_follow_row_by_row(week: ReplayedWeek, rows: dict[str, np.ndarray]) -> None:
    limit = np.float32(Threshold.read(week.model).value)
    splits = [read_week(week.week.features).splits[name] for name in SPLITS]
    assert rows["fingerprint_score"].tolist() != [0.0] * len(rows["query_id"])
    assert rows["rule_score"].tolist() == [score for split in splits for score in rule(split).tolist()]
    for place, heavy in enumerate(rows["is_heavy"].tolist()):
        free = rows["category"][place] == "show"
        sent = {
            "candidate": not free and np.float32(rows["candidate_score"][place]) >= limit,
            "baseline": rows["rule_score"][place] > 1,
        }
        for side, is_sent in sent.items():
            assert rows[f"{side}_routed"][place] == is_sent
            assert rows[f"{side}_missed"][place] == (heavy and not is_sent)
            assert rows[f"{side}_false_alarm"][place] == (is_sent and not heavy)
            assert rows[f"{side}_cost"][place] == (100 if heavy and not is_sent else 1 if is_sent and not heavy else 0)
    assert (rows["candidate_is_free"] == (rows["category"] == "show")).all()
    assert not rows["baseline_is_free"].any()


def test_slices_are_by_week_and_by_the_templates_of_the_models_train_days(
    week: ReplayedWeek, rows: dict[str, np.ndarray]
) -> None:
    known = set(read_week(week.trained.features).splits["train"].template)
    assert [each == "seen" for each in rows["slice_template"]] == [each in known for each in rows["cluster"]]
    assert set(rows["slice_template"]) == {"seen", "unseen"}
    days = rows["created"].astype("datetime64[D]").tolist()
    assert rows["slice_week"].tolist() == [str(BEFORE if day < WEEK else WEEK) for day in days]


def test_the_summary_says_what_the_rows_say(rows: dict[str, np.ndarray], summary: dict[str, Any]) -> None:
    heavy = rows["is_heavy"]
    assert (summary["rows"], summary["heavy"], summary["templates"]) == (2000, heavy.sum(), 80)
    for side in ("candidate", "baseline"):
        told, caught = summary[side], int((rows[f"{side}_routed"] & heavy).sum())
        assert told["missed"] == heavy.sum() - caught == rows[f"{side}_missed"].sum()
        assert told["recall"] == caught / heavy.sum()
        assert told["cost"] == pytest.approx(rows[f"{side}_cost"].mean())
        kinds = told["by_template"]
        assert sum(each["missed"] for each in kinds.values()) == told["missed"]
        assert {check["name"]: check["value"] for check in told["requirements"]["checks"]}["routed_share"] == told["routed_share"]  # fmt: skip
    days = summary["tables"]["day"]
    assert len(days) == 14
    assert sum(each["rows"] for each in days.values()) == 2000
    assert {each["candidate_recall"] for each in days.values() if each["heavy"]} <= {
        caught / each for each in range(1, 200) for caught in range(each + 1)
    }


def test_the_headline_is_the_least_share_at_that_recall_for_each_ranking(
    week: ReplayedWeek, rows: dict[str, np.ndarray], summary: dict[str, Any]
) -> None:
    observed = summary["headline"]["routed_share_at_observed_recall"]
    needed = int(np.ceil(0.98 * rows["is_heavy"].sum()))
    reach = ~rows["candidate_is_free"]
    order = np.argsort(-rows["candidate_score"][reach], kind="stable")
    caught = np.cumsum(rows["is_heavy"][reach][order])
    assert observed["candidate"] == pytest.approx((np.searchsorted(caught, needed) + 1) / 2000, abs=0.01)
    assert observed["candidate"] < observed["fingerprint"]
    assert summary["headline"]["routed_share_at_certified_recall"]["candidate"] >= observed["candidate"]


def test_templates_history_ranks_by_what_the_candidate_knows_of_the_past(
    week: ReplayedWeek, rows: dict[str, np.ndarray]
) -> None:
    past, known = HistorySnapshot.open(week.model / "history"), read_week(week.week.features).splits
    queries, rate, user_rate = (
        HISTORICAL_NAMES.index(name) for name in ("template_queries", "template_heavy_rate", "user_heavy_rate")
    )
    ranked = []
    for place, template in enumerate(rows["cluster"][900:]):
        found = past.features(USERS[place % 3], "hive", None, template)
        ranked.append((found[rate] if found[queries] > 0 else found[user_rate], found[user_rate]))
    places = {pair: place for place, pair in enumerate(sorted(set(ranked)))}
    # Ranked together: the order within each split is the one that it has alone.
    alone = [fingerprint(known["validation"]), np.array([places[pair] for pair in ranked])]
    for part, expected in zip(np.split(rows["fingerprint_score"], [900]), alone, strict=True):
        assert (np.argsort(part, kind="stable") == np.argsort(expected, kind="stable")).all()


def test_the_summary_tells_how_old_the_history_was(summary: dict[str, Any]) -> None:
    told = summary["history"]
    assert list(told) == ["candidate"], "the rule asks no history"
    days = [number * 7 // 1100 for number in range(1100)]
    assert told["candidate"] == {
        "snapshot": WEEK.isoformat(), "rows_of_snapshot": 1100, "mean_days": pytest.approx(sum(days) / 2000), "max_days": 6,
    }  # fmt: skip
    assert f"candidate's history: of {WEEK}, 1.6 days old on average, 6 at most" in replay_summary.table(summary)


def test_a_share_that_too_few_heavy_queries_leave_undefined_is_told_with_the_reason(summary: dict[str, Any]) -> None:
    assert summary["candidate"]["heavy"] >= 149
    line = next(
        each for each in replay_summary.table(summary).splitlines() if each.startswith(replay_summary.CERTIFIED)
    )
    assert re.fullmatch(r"\w+: candidate 0\.\d{4}, fingerprint [^,]+, rule [^,]+", line)
    few = {**summary, "candidate": {**summary["candidate"], "heavy": 148}}
    assert (
        f"{replay_summary.CERTIFIED}: too few heavy queries to be certain of 0.98, it takes 149 or more"
        in replay_summary.table(few).splitlines()
    )


def test_pictures_scores_and_summary_are_there_and_name_how_each_side_answered(
    week: ReplayedWeek, output: Path, summary: dict[str, Any]
) -> None:
    assert {path.name for path in output.iterdir()} == {replay.SCORES, replay.SUMMARY, *PICTURES}
    assert all((output / name).read_bytes().startswith(b"\x89PNG") for name in PICTURES)
    config = json.loads((week.model / "config.json").read_text())
    asked = {name: config[name] for name in ("threshold", "columns", "trees", "week", "fingerprint")}
    assert summary["prediction"] == {"candidate": asked, "baseline": {}}
    assert (summary["model_week"], summary["week"]) == (BEFORE.isoformat(), WEEK.isoformat())
    assert set(summary["tables"]["feature_drift"]) == set(NUMBERS)
    assert (
        summary["score_drift"]["current_rows"] == (~judgement.read(output / replay.SCORES)["candidate_is_free"]).sum()
    )


def test_the_same_inputs_give_the_same_bytes(week: ReplayedWeek, output: Path, unseen: None, tmp_path: Path) -> None:
    replay.replay(week.options(tmp_path / "again"))
    for name in (replay.SCORES, replay.SUMMARY):
        assert (tmp_path / "again" / name).read_bytes() == (output / name).read_bytes()


def test_a_model_as_baseline_is_asked_by_its_own_vocabulary_and_behind_its_own_categories(
    week: ReplayedWeek, rows: dict[str, np.ndarray], unseen: None, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(week.model, tmp_path / "other"))
    document = json.loads((other / "tfidf.json").read_text())
    # The words of the texts lie in other columns: the same model would answer otherwise.
    (other / "tfidf.json").write_text(json.dumps({**document, "terms": document["terms"][::-1]}))
    none_safe = write_week(tmp_path / "none", {"train": 60, "validation": 1, "test": 1}, {"show": (20_000, 300)})
    shutil.copy(none_safe.zero_cost, other / "zero_cost_categories.json")
    summary = replay.replay(week.options(tmp_path / "out", baseline=str(other)))
    found = judgement.read(tmp_path / "out" / replay.SCORES)
    assert found["candidate_score"].tolist() == rows["candidate_score"].tolist()
    assert found["baseline_score"].tolist() == slow_scores(week, other) != found["candidate_score"].tolist()
    assert not found["baseline_is_free"].any()
    assert summary["baseline"]["policy"] == "model"
    assert summary["prediction"]["baseline"] == summary["prediction"]["candidate"]


def test_heavy_queries_that_are_no_row_count_as_missed_where_the_models_own_categories_let_them_by(
    week: ReplayedWeek, summary: dict[str, Any], unseen: None, tmp_path: Path
) -> None:
    document = json.loads(week.week.zero_cost.read_text())
    document["dropped_heavy"] = {
        "2026-02-08": {"show": 50}, "2026-02-09": {"show": 2, "explain": 40}, "2026-02-22": {"show": 1},
    }  # fmt: skip
    (tmp_path / "zero_cost_categories.json").write_text(json.dumps(document))
    found = replay.replay(week.options(tmp_path / "out", zero_cost=tmp_path))
    assert found["candidate"]["dropped_heavy"] == 3
    assert found["candidate"]["missed"] == summary["candidate"]["missed"] + 3
    assert found["candidate"]["missed_before_the_model"] == 3
    # Every row bears its part of them, and the rule is held to let the same by: both recalls are of the same heavy queries.
    rows = judgement.read(tmp_path / "out" / replay.SCORES)
    for side in ("candidate", "baseline"):
        mistakes = 100 * rows[f"{side}_missed"] + rows[f"{side}_false_alarm"]
        assert rows[f"{side}_cost"] == pytest.approx(mistakes + 100 * 3 / 2000)
        assert found[side]["cost"] == pytest.approx(summary[side]["cost"] + 0.15)
        assert (found[side]["heavy"], found[side]["missed"]) == (
            summary[side]["heavy"] + 3,
            summary[side]["missed"] + 3,
        )


def test_an_online_router_is_compared_on_the_rows_that_hold_its_decision(
    week: ReplayedWeek, unseen: None, tmp_path: Path
) -> None:
    told = ("heavy", "light", None, "HEAVY")
    # What is neither is no decision, and no reason to give up the week.
    odd = r"\broute=(\w+)\b"
    write_sample(
        tmp_path / "sample",
        week.week.features,
        lambda row: (told[row % 4] and ONLINE.format(told[row % 4])) or "route=odd",
    )
    summary = replay.replay(week.options(tmp_path / "out", sample=tmp_path / "sample", online_route=odd))
    found = summary["online"]
    assert summary["odd_online_routes"] == sum(row % 4 == 2 for count in (900, 1100) for row in range(count))
    rows = judgement.read(tmp_path / "out" / replay.SCORES)
    expected = [told[row % 4] for count in (900, 1100) for row in range(count)]
    assert rows["online_route"].tolist() == [each and each.lower() for each in expected]
    pairs = [
        (each.lower() == "heavy", bool(routed), bool(heavy))
        for each, routed, heavy in zip(expected, rows["candidate_routed"], rows["is_heavy"], strict=True)
        if each
    ]
    heavy = [sent for sent, _, is_heavy in pairs if is_heavy]
    assert (found["rows"], found["heavy"]) == (len(pairs), len(heavy))
    assert found["online"]["recall"] == pytest.approx(sum(heavy) / len(heavy))
    assert found["online"]["routed_share"] == pytest.approx(sum(sent for sent, _, _ in pairs) / len(pairs))
    assert found["candidate"]["agreement"] == pytest.approx(sum(sent == own for sent, own, _ in pairs) / len(pairs))


def test_without_decisions_of_an_online_router_nothing_is_said_of_one(summary: dict[str, Any]) -> None:
    assert (summary["online"], summary["odd_online_routes"]) == ({}, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"online_route": "("}, r"--online_route \( is no regular expression"),
        ({"online_route": "route"}, r"--online_route route has no group to hold heavy or light: write it as"),
        ({"model": "nowhere"}, r"nowhere has no config.json: it is no query predictor"),
        ({"model_features": "other"}, r"name the features of the model's own week as --model_features"),
        ({"features": "nowhere"}, r"nowhere holds no tfidf.json: name a folder of query_predictor/features"),
        (
            {"sample": "nowhere"},
            r"validation.parquet cannot be read .*name a folder of query_predictor/training_sample",
        ),
        ({"sample": "other"}, r"name the training_sample that query_predictor/features was made from"),
        ({"sample": "narrow"}, r"it lacks clientInfo.*name a folder of query_predictor/training_sample"),
        ({"zero_cost": "nowhere"}, r"nowhere cannot be read .*: name the categories of the evaluated week"),
        (
            {"baseline": "late"},
            r"on days from 2026-02-09 on, which are replayed here: replay the week after 2026-02-16",
        ),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(
    week: ReplayedWeek, changes: dict[str, str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {name: spoilt(week, name, value, tmp_path) for name, value in changes.items()}
    assert replay.main(week.words(tmp_path / "out", **given)) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(reason, line)
    assert not (tmp_path / "out").exists()


def test_a_week_without_queries_is_refused(
    week: ReplayedWeek, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write_week(tmp_path / "empty", {"train": 60, "validation": 0, "test": 0})
    write_sample(tmp_path / "sample", empty.features)
    assert replay.main(week.words(tmp_path / "out", features=empty.features, sample=tmp_path / "sample")) == 1
    assert "holds no validation and no test row: replay a week with queries" in capsys.readouterr().err
