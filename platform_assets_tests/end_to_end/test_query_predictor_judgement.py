"""From a week's model to its verdict as Dagster runs it: replayed on the two weeks after its validation, judged, kept, refused.

The first week's model, as `small_query_platform` makes it, replayed on the next. Then another model of that week, when the first one
serves.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psycopg
import pytest

from platform_assets.core.model_versions import STAGE
from platform_assets.core.policy_version import STAGE_OF
from platform_assets.core.replay_record import EXPERIMENT
from platform_assets.query_predictor import judgement, replay, replay_checks
from platform_assets.query_predictor.assets import policy_version, replay_scores
from platform_assets.query_predictor.assets.common import (
    FEATURES,
    MODEL,
    POLICY_VERSION,
    REPLAY_SCORES,
    TRAINING_SAMPLE,
    ZERO_COST_CATEGORIES,
    address,
)
from platform_assets.query_predictor.opened_model import OpenedModel
from platform_assets.query_predictor.registration import MODEL as REGISTERED
from platform_assets.query_predictor.registration import version_zero
from platform_assets_tests.end_to_end.small_query_platform import (
    NEXT,
    SHIPPED,
    SMALL,
    WEEK,
    QueryPlatform,
    query_platform,
)
from platform_assets_tests.query_predictor.front_world import failed, is_evaluated, reason_of_failure

PICTURES = {
    "precision_recall", "cost", "calibration", "scores_by_template", "by_day", "feature_drift", "score_drift",
}  # fmt: skip
READ = ((MODEL, WEEK), (FEATURES, WEEK), (FEATURES, NEXT), (TRAINING_SAMPLE, NEXT), (ZERO_COST_CATEGORIES, NEXT))
Results = dict[str, dg.ExecuteInProcessResult]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueryPlatform]:
    with query_platform(postgres_server, tmp_path_factory) as found:
        yield found.platform


@pytest.fixture(scope="module", autouse=True)
def chain(platform: QueryPlatform) -> Results:
    """Scores and verdict of the first model. In between its version is said to be served with another threshold."""
    found = {"replay": platform.succeed(NEXT, REPLAY_SCORES)}
    served = platform.policy_versions[1].config_defaults["prediction"]["threshold"]
    serve_with_threshold(platform, 0.5)
    found["otherwise"] = platform.materialize(NEXT, POLICY_VERSION)
    serve_with_threshold(platform, served)
    found["verdict"] = platform.succeed(NEXT, POLICY_VERSION)
    return found


@pytest.fixture
def copied(tmp_path: Path, platform: QueryPlatform) -> Iterator[QueryPlatform]:
    """The same services with a copy of the lake, to be spoilt."""
    shutil.copytree(platform.folder / "lake", tmp_path / "lake")
    with dg.DagsterInstance.ephemeral() as instance:
        yield replace(platform, folder=tmp_path, instance=instance)


def execute(platform: QueryPlatform, statement: str, values: Sequence[Any] = ()) -> list[tuple]:
    with psycopg.connect(platform.settings.warehouse_url or "") as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


def serve_with_threshold(platform: QueryPlatform, value: float) -> None:
    execute(
        platform,
        "UPDATE exp.policy_versions SET config_defaults = jsonb_set(config_defaults, '{prediction,threshold}', %s::jsonb) "
        "WHERE version = 1",
        [json.dumps(value)],
    )


def on_record(platform: QueryPlatform) -> dict[str, Any]:
    """All that a repetition must not change."""
    return {
        **{asset.path[-1]: platform.revision(asset, NEXT) for asset in (REPLAY_SCORES, POLICY_VERSION)},
        "models": platform.models,
        "versions": platform.policy_versions,
        "replays": execute(platform, "SELECT * FROM exp.offline_replay_results ORDER BY created_at"),
        "verdicts": execute(platform, "SELECT * FROM exp.policy_verdicts"),
        "runs": len(replay_runs(platform)),
    }


def replay_runs(platform: QueryPlatform) -> list[Any]:
    """Those that hold the current replay; a step's own run in the tracking server has no digest."""
    digest = platform.revision(REPLAY_SCORES, NEXT).digest
    experiment = platform.tracking.experiment_id(EXPERIMENT)
    return list(platform.tracking.client.search_runs([experiment], f"tags.digest = '{digest}'"))


def scores_of(platform: QueryPlatform) -> dict[str, np.ndarray]:
    return judgement.read(platform.file(REPLAY_SCORES, NEXT, replay.SCORES))


def test_every_query_of_the_two_newest_weeks_is_replayed_once_and_every_check_is_recorded(
    platform: QueryPlatform, chain: Results
) -> None:
    revision, rows = platform.revision(REPLAY_SCORES, NEXT), scores_of(platform)
    sampled = [
        row for name in ("validation", "test") for row in platform.rows(TRAINING_SAMPLE, NEXT, f"{name}.parquet")
    ]
    assert rows["query_id"].tolist() == [row["queryId"] for row in sampled]
    assert rows["is_heavy"].tolist() == [row["is_heavy"] for row in sampled]
    assert revision.rows == len(sampled) > 800
    days = rows["created"].astype("datetime64[D]")
    assert (str(days.min()), str(days.max())) == (WEEK, "2025-07-27")
    assert set(rows["slice_template"]) == {"seen", "unseen"}
    assert is_evaluated(chain["replay"], REPLAY_SCORES, NEXT, replay_scores.CHECKS)
    assert is_evaluated(chain["verdict"], POLICY_VERSION, NEXT, policy_version.CHECKS)
    assert "rows_reconcile" not in failed(chain["replay"], REPLAY_SCORES, NEXT)
    assert {(each.asset, each.partition) for each in revision.lineage.inputs} == {
        (asset.to_user_string(), week) for asset, week in READ
    }
    assert revision.lineage.code_version == replay_checks.CODE_VERSION


def test_decisions_are_those_of_the_registered_model_as_it_is_served(platform: QueryPlatform, tmp_path: Path) -> None:
    opened, rows = OpenedModel.open(REGISTERED.fetch_model(platform.tracking, "1", tmp_path)), scores_of(platform)
    asked = opened.threshold.routes(rows["candidate_score"].astype(np.float32)) & ~rows["candidate_is_free"]
    assert rows["candidate_routed"].tolist() == asked.tolist()
    summary = platform.revision(REPLAY_SCORES, NEXT).lineage.details["summary"]
    assert summary["prediction"]["candidate"] == opened.prediction
    assert summary["prediction"]["candidate"] == platform.policy_versions[1].config_defaults["prediction"]


def test_a_replay_is_one_row_and_one_run_with_its_pictures(platform: QueryPlatform) -> None:
    revision, [run] = platform.revision(REPLAY_SCORES, NEXT), replay_runs(platform)
    summary = revision.lineage.details["summary"]
    first = execute(
        platform,
        "SELECT v.version, b.version, r.dataset_version, r.dataset_digest, r.n_rows, r.n_households, r.replay_digest, "
        "r.offline_eval_score FROM exp.offline_replay_results AS r JOIN exp.policy_versions AS v ON v.id = r.policy_version_id "
        "JOIN exp.policy_versions AS b ON b.id = r.baseline_version_id ORDER BY r.created_at LIMIT 1",
    )
    features = platform.revision(FEATURES, NEXT)
    assert first == [
        (
            1,
            0,
            NEXT,
            features.digest,
            summary["rows"],
            summary["templates"],
            revision.digest,
            -summary["candidate"]["cost"],
        )
    ]
    drawn = {item.path for item in platform.tracking.client.list_artifacts(run.info.run_id)}
    assert {f"{name}.png" for name in PICTURES} <= drawn
    assert run.data.metrics["candidate_recall"] == pytest.approx(summary["candidate"]["recall"])
    trained = platform.tracking.client.get_run(platform.models["1"]["run_id"])
    assert trained.data.metrics["replay_minus_cost"] == pytest.approx(-summary["candidate"]["cost"])
    whole = json.loads(platform.lake.read_side(revision, replay.SUMMARY))
    assert summary == {name: value for name, value in whole.items() if name != "tables"}
    shown = platform.instance.fetch_materializations(REPLAY_SCORES, limit=1).records[0].asset_materialization
    assert shown
    assert all("data:image/png" in str(shown.metadata[name].value) for name in PICTURES)


def test_a_recall_that_is_surely_too_low_rejects_and_the_verdict_is_the_same_everywhere(
    platform: QueryPlatform,
) -> None:
    version, verdict = platform.policy_versions[1], platform.revision(POLICY_VERSION, NEXT)
    document = json.loads(platform.lake.read_side(verdict, "verdict.json"))
    assert version.verdict == document
    assert (document["outcome"], version.status) == ("fail", "rejected")
    assert version.evaluated_week == date.fromisoformat(NEXT)
    required = {each["name"]: each["status"] for each in document["requirements"]}
    assert required["end_to_end_recall"] == "fail"
    assert "0.98 is required: look at what was missed" in document["reasons"][0]
    assert "demo (20 rows / 10 templates)" in document["label"]
    page = platform.instance.fetch_materializations(POLICY_VERSION, limit=1).records[0].asset_materialization
    assert page
    assert "| end_to_end_recall | fail | " in str(page.metadata["requirements"].value)
    assert (platform.models["1"]["stage"], platform.models["1"]["verdict"]) == ("archived", "fail")
    assert (platform.policy_versions[0].status, platform.policy_versions[0].config_defaults) == (
        "active",
        version_zero(),
    )
    for asset, week in (*READ, (REPLAY_SCORES, NEXT)):
        assert document["digests"][f"{asset.to_user_string()}/{week}"] == platform.revision(asset, week).digest


def test_a_replay_with_another_threshold_than_is_served_is_not_judged(chain: Results) -> None:
    assert not chain["otherwise"].success
    reason = reason_of_failure(chain["otherwise"])
    assert "the candidate, version 1, was replayed with threshold" in reason
    assert "and is served with 0.5" in reason


def test_a_repetition_changes_nothing(platform: QueryPlatform) -> None:
    before = on_record(platform)
    platform.succeed(NEXT, REPLAY_SCORES)
    platform.succeed(NEXT, POLICY_VERSION)
    assert on_record(platform) == before


def test_the_first_week_of_a_sample_has_no_model_of_the_week_before() -> None:
    calendar = replay_scores.evaluated_weekly(SHIPPED)
    assert calendar.get_partition_keys() == [NEXT]


def test_features_that_a_late_day_made_anew_are_not_those_of_the_model_and_do_not_stop_its_replay(
    copied: QueryPlatform,
) -> None:
    trained, before = copied.revision(FEATURES, WEEK), copied.revision(REPLAY_SCORES, NEXT)
    files = {file.name: copied.file(FEATURES, WEEK, file.name) for file in trained.data_files}
    [name] = [each for each in files if each.endswith("history.json")]
    later = copied.folder / "later.json"
    later.write_bytes(files[name].read_bytes() + b" ")
    copied.lake.publish_files(address(FEATURES, WEEK), {**files, name: later}, trained.lineage)
    assert copied.revision(FEATURES, WEEK).digest != trained.digest
    copied.succeed(NEXT, REPLAY_SCORES)
    after = copied.revision(REPLAY_SCORES, NEXT)
    assert after.digest == before.digest
    assert trained.as_input() in after.lineage.inputs


def test_a_missing_model_and_inputs_of_others_are_refused_by_name(copied: QueryPlatform) -> None:
    def refused() -> str:
        return reason_of_failure(copied.materialize(NEXT, REPLAY_SCORES))

    reasons = {
        MODEL: "does not name the query_predictor/features that it was trained on",
        FEATURES: "was made from another query_predictor/training_sample than the current one",
    }
    for asset, week, source in ((MODEL, WEEK, FEATURES), (FEATURES, NEXT, TRAINING_SAMPLE)):
        revision, name = copied.revision(asset, week), asset.to_user_string()
        files = {file.name: copied.file(asset, week, file.name) for file in revision.data_files}
        others = tuple(each for each in revision.lineage.inputs if each.asset != source.to_user_string())
        copied.lake.publish_files(address(asset, week), files, replace(revision.lineage, inputs=others))
        reason = refused()
        assert f"{name} of {week} {reasons[asset]}" in reason
        assert f"materialise {name} of {week} again" in reason
        copied.lake.publish_files(address(asset, week), files, revision.lineage)
    (copied.folder / "lake" / address(MODEL, WEEK).path / "manifest.json").unlink()
    assert f"replay {NEXT} needs query_predictor/model of {WEEK}, which was not published" in refused()


def test_a_later_model_is_compared_with_the_one_that_serves_and_that_one_not_with_itself(
    platform: QueryPlatform,
) -> None:
    promote(platform, 1)
    itself = platform.materialize(NEXT, REPLAY_SCORES)
    assert "is version 1 of query_router_policy, the active one: there is no other to compare it with" in reason_of_failure(itself)  # fmt: skip
    # A verdict that is on record stands.
    platform.succeed(NEXT, POLICY_VERSION)
    platform.succeed(WEEK, MODEL, **{**SMALL, "options": {**SMALL["options"], "max_depth": "2"}})
    platform.succeed(NEXT, REPLAY_SCORES)
    platform.succeed(NEXT, POLICY_VERSION)
    summary = platform.revision(REPLAY_SCORES, NEXT).lineage.details["summary"]
    assert (summary["candidate"]["policy"], summary["baseline"]["policy"]) == ("model", "model")
    versions = platform.policy_versions
    assert summary["prediction"]["baseline"] == versions[1].config_defaults["prediction"]
    assert versions[1].status == "active"
    judged = versions[2].verdict
    assert judged
    # Too few heavy queries for a pass, whatever it costs.
    assert {"fail": "rejected", "inconclusive": "registered"}[judged["outcome"]] == versions[2].status
    assert platform.models["2"]["verdict"] == judged["outcome"]


def promote(platform: QueryPlatform, version: int) -> None:
    """As a promotion leaves both registries."""
    execute(
        platform,
        "UPDATE exp.policy_versions SET status = CASE WHEN version = %s THEN 'active' ELSE 'deprecated' END",
        [version],
    )
    REGISTERED.versions(platform.tracking).set_tags(str(version), {STAGE: STAGE_OF["active"]})
