"""From datasets to judged policy versions: what is in the lake, in MLflow and in Postgres, what a repetition changes, who is refused.

Two model weeks. Each model is judged against a planner of bad choices first, the newer model first: so that judging the older one
is a backfill. What a kill leaves is in test_planner_model_killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from platform_assets.core import packed_model
from platform_assets.core.model_versions import STAGE, ModelVersions
from platform_assets.core.policy_version import STAGE_OF
from platform_assets.core.quality import Outcome
from platform_assets.core.registered_model import ARTEFACT
from platform_assets.core.replay_record import EXPERIMENT
from platform_assets.orchestration import partitions
from platform_assets.planner import registration, replay_record
from platform_assets.planner.assets import jobs
from platform_assets.planner.assets.common import BASE_MODEL, DATASET, MODEL, POLICY_VERSION, REPLAY_SCORES
from platform_assets_tests.end_to_end.small_model_platform import WEEKS, ModelPlatform, model_platform

FIRST, SECOND, THIRD = WEEKS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelPlatform]:
    with model_platform(postgres_server, tmp_path_factory, is_trained=True) as found:
        told = found.train(SECOND)
        assert told.success, told.words
        with found.weak_baseline():
            for told in (found.judge(THIRD), found.judge(SECOND)):
                assert told.success, told.words
        yield found


def everything(platform: ModelPlatform) -> dict[str, object]:
    """All that a repetition must not change: digests, registered versions, rows."""
    keys = [(asset, week) for asset in (BASE_MODEL, MODEL) for week in (FIRST, SECOND)]
    keys += [(asset, week) for asset in (REPLAY_SCORES, POLICY_VERSION) for week in (SECOND, THIRD)]
    return {
        **{f"{asset.path[-1]} {week}": platform.current(asset, week).digest for asset, week in keys},
        "models": platform.models,
        "versions": platform.policy_versions,
        "replays": sorted(platform.rows("SELECT * FROM exp.offline_replay_results"), key=str),
        "verdicts": sorted(platform.rows("SELECT * FROM exp.policy_verdicts"), key=str),
    }


def test_a_registered_model_has_the_documented_tags_and_its_run_the_parameters_losses_and_datasets(
    platform: ModelPlatform,
) -> None:
    tags = platform.models["2"]
    dataset = platform.current(DATASET, SECOND)
    expected = {
        "policy_id": platform.policy_versions[2].policy_id, "task": "weekly plan generation",
        "dataset_version": "2026-01-16", "dataset_digest": dataset.digest, "dagster_asset": "planner/model",
        "dagster_partition": SECOND, "stage": "candidate", "policy_version_id": platform.policy_versions[2].id,
        "model_digest": platform.current(MODEL, SECOND).digest,
    }  # fmt: skip
    assert expected.items() <= tags.items()
    assert all(tags[name] for name in ("dagster_run_id", "git_sha", "base_digest", "fingerprint"))

    run = platform.tracking.client.get_run(tags["run_id"])
    assert run.info.status == "FINISHED"
    assert run.inputs
    digests = {platform.current(DATASET, week).digest for week in (FIRST, SECOND)}
    parameters = {
        "learning_rate": "0.001", "batch_size": "32", "epochs": "1", "model_base": "tiny", "fine_tuning_method": "lora",
        "dataset_version": "2026-01-16", "dataset_digest": dataset.digest,
    }  # fmt: skip
    assert parameters.items() <= run.data.params.items()
    assert set(run.data.params["dataset_digests"].split(",")) == digests
    assert {entry.dataset.digest for entry in run.inputs.dataset_inputs} == digests
    for name in ("train_loss", "val_loss"):
        assert [(each.step) for each in platform.tracking.client.get_metric_history(tags["run_id"], name)] == [0]
    replayed = platform.rows(
        "SELECT plan_alignment_score FROM exp.offline_replay_results ORDER BY dataset_version DESC"
    )
    assert run.data.metrics["replay_plan_alignment"] == pytest.approx(replayed[0][0])


def test_what_mlflow_serves_is_what_the_lake_holds_with_tokenizer_and_configuration(
    platform: ModelPlatform, tmp_path: Path
) -> None:
    packed = ModelVersions(platform.tracking, registration.MODEL_NAME).fetch("2", tmp_path)
    folder, revision = packed_model.model_folder(packed), platform.current(MODEL, SECOND)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {file.name for file in revision.data_files}
    assert {"planner.json", "adapter/adapter_config.json", "base/config.json", "base/tokenizer.json"} <= names
    for name in names:
        assert (folder / name).read_bytes() == platform.lake.fetch(revision, name, tmp_path / "lake").read_bytes()
    pictures = {item.path for item in platform.tracking.client.list_artifacts(platform.models["2"]["run_id"])}
    assert "loss.png" in pictures
    trained = set(pq.read_table(folder / "training_rows.parquet")["plan_id"].to_pylist())
    scores = platform.lake.fetch(platform.current(REPLAY_SCORES, THIRD), "replay_scores.parquet", tmp_path / "scores")
    replayed = pq.read_table(scores)["plan_id"].to_pylist()
    assert len(replayed) >= 20
    assert not trained & set(replayed)


@pytest.mark.parametrize(("week", "number"), [(SECOND, 1), (THIRD, 2)])
def test_a_verdict_is_the_same_document_in_the_lake_and_in_postgres_and_moves_the_version(
    platform: ModelPlatform, week: str, number: int
) -> None:
    revision, version = platform.current(POLICY_VERSION, week), platform.policy_versions[number]
    document = json.loads(platform.lake.read_side(revision, "verdict.json"))
    scores = platform.current(REPLAY_SCORES, week)
    recorded = platform.registry.verdicts(version.id)[0]
    assert recorded.document == version.verdict == document
    assert (recorded.outcome, recorded.replay_digest) == (document["outcome"], scores.digest)
    assert version.evaluated_week == recorded.evaluated_week == date.fromisoformat(partitions.dataset_date(week))
    assert (version.status, platform.models[str(number)]["stage"]) == ("candidate", "candidate")
    assert "demo (20 rows / 10 households)" in document["label"]
    assert document["digests"][f"planner/replay_scores/{week}"] == scores.digest
    assert document["digests"][f"planner/model/{partitions.previous_week(week)}"] == platform.current(
        MODEL, partitions.previous_week(week)
    ).digest  # fmt: skip


def test_the_verdict_of_an_older_week_that_came_later_moves_its_own_version_alone(platform: ModelPlatform) -> None:
    first, second = platform.policy_versions[1], platform.policy_versions[2]
    assert (first.status, second.status) == ("candidate", "candidate")
    assert first.evaluated_week
    assert second.evaluated_week
    assert first.evaluated_week < second.evaluated_week


def test_a_repetition_of_model_replay_and_verdict_changes_nothing(platform: ModelPlatform) -> None:
    before, runs = everything(platform), _runs(platform)
    with platform.weak_baseline():
        for told in (platform.train(SECOND), platform.judge(THIRD)):
            assert told.success, told.words
    assert everything(platform) == before
    assert _runs(platform) == runs, "a run that trained nothing"


def test_another_verdict_on_the_same_replay_is_refused_and_the_first_one_stands_everywhere(
    platform: ModelPlatform,
) -> None:
    before = everything(platform)
    told = platform.run(jobs.JUDGEMENT, THIRD, assets=[POLICY_VERSION], before=_other_thresholds)
    assert not told.success
    assert "a verdict is not rewritten" in told.words
    assert everything(platform) == before


def test_the_heuristic_planner_is_the_first_baseline_and_its_verdict_is_kept_beside_the_other(
    platform: ModelPlatform,
) -> None:
    told = platform.judge(SECOND)
    assert told.success, told.words
    compared = platform.current(REPLAY_SCORES, SECOND).lineage.details
    assert (compared["candidate"]["version"], compared["baseline"]["version"]) == (1, 0)
    verdicts = platform.registry.verdicts(platform.policy_versions[1].id)
    assert [each.outcome for each in verdicts] == ["pass", "fail"], "three steps of training beat no heuristic"
    assert platform.policy_versions[1].status == "rejected", "by the newest verdict on its week"
    assert (platform.models["1"]["stage"], platform.models["1"]["verdict"]) == ("archived", "fail")


def test_a_verdict_on_record_stands_when_only_the_inputs_of_its_scores_were_published_again(
    platform: ModelPlatform,
) -> None:
    before = everything(platform)
    told = platform.run(jobs.JUDGEMENT, SECOND, assets=[POLICY_VERSION], before=_other_inputs)
    assert told.success, told.words
    assert everything(platform) == before


def test_a_replay_whose_check_failed_is_not_judged_by_hand_either(platform: ModelPlatform) -> None:
    before = platform.policy_versions
    failed = platform.judge(SECOND, before=_a_row_is_lost)
    assert not failed.success
    by_hand = platform.run(jobs.JUDGEMENT, SECOND, assets=[POLICY_VERSION])
    assert not by_hand.success
    assert f"planner/replay_scores of {SECOND} failed a blocking check (rows_reconcile" in by_hand.words
    assert platform.policy_versions == before
    mended = platform.judge(SECOND)
    assert mended.success, mended.words


def test_a_replay_is_judged_only_against_the_version_that_is_active_now(platform: ModelPlatform) -> None:
    told = platform.judge(THIRD, assets=[REPLAY_SCORES])
    assert told.success, told.words
    before = platform.policy_versions[2]
    with _active(platform, 1):
        stale = platform.run(jobs.JUDGEMENT, THIRD, assets=[POLICY_VERSION])
        assert not stale.success
        assert (
            "the replay compared version 2 with 0, the active one is 1: materialise planner/replay_scores"
            in stale.words
        )
        assert platform.policy_versions[2] == before
        again = platform.judge(THIRD)
        assert again.success, again.words
        compared = platform.current(REPLAY_SCORES, THIRD).lineage.details
        assert (compared["candidate"]["version"], compared["baseline"]["version"]) == (2, 1)
        itself = platform.judge(SECOND)
        assert not itself.success
        assert "is version 1 of planner_policy, the active one: there is no other to compare it with" in itself.words


def test_a_baseline_that_was_trained_on_the_evaluated_week_judges_nothing_and_the_failure_is_on_record(
    platform: ModelPlatform,
) -> None:
    with _active(platform, 2):
        told = platform.judge(SECOND)
    assert not told.success
    assert "of the replayed plans were trained on" in told.words
    failed = platform.rows(
        "SELECT v.version, b.version, r.error_message FROM exp.offline_replay_results AS r"
        " JOIN exp.policy_versions AS v ON v.id = r.policy_version_id"
        " JOIN exp.policy_versions AS b ON b.id = r.baseline_version_id WHERE r.status = 'failed'"
    )
    assert [row[:2] for row in failed] == [(1, 2)]
    assert "of the replayed plans were trained on" in failed[0][2]


def test_a_version_that_only_one_of_the_registries_knows_fails_the_check(platform: ModelPlatform) -> None:
    client, versions = platform.tracking.client, ModelVersions(platform.tracking, registration.MODEL_NAME)
    run = platform.tracking.open_run(platform.models["1"]["run_id"])
    foreign = versions.register(run, ARTEFACT, {"made": "by hand"})
    try:
        told = platform.judge(THIRD)
        assert not told.success, "a foreign version"
    finally:
        client.delete_model_version(registration.MODEL_NAME, foreign)
    reason = registration.MODEL.judge_agreement(platform.tracking, platform.warehouse, "registries_agree")
    assert reason.passed, reason.reason
    client.delete_model_version(registration.MODEL_NAME, "1")
    deleted = registration.MODEL.judge_agreement(platform.tracking, platform.warehouse, "registries_agree")
    assert not deleted.passed
    assert "names planner_model 1, which MLflow does not have: was it deleted?" in deleted.reason


@contextmanager
def _active(platform: ModelPlatform, number: int) -> Iterator[None]:
    """A version serves, in both registries, as after a promotion."""
    versions = ModelVersions(platform.tracking, registration.MODEL_NAME)
    was = platform.policy_versions[number].status

    def set_status(status: str, stage: str) -> None:
        with psycopg.connect(platform.settings.warehouse_url or "") as connection:
            connection.execute("UPDATE exp.policy_versions SET status = %s WHERE version = %s", [status, number])
        versions.set_tags(str(number), {STAGE: stage})

    set_status("active", "production")
    try:
        yield
    finally:
        set_status(was, STAGE_OF[was])


def _runs(platform: ModelPlatform) -> int:
    names = (registration.MODEL.experiment, EXPERIMENT)
    experiments = [platform.tracking.experiment_id(name) for name in names]
    return len(platform.tracking.client.search_runs(experiments))


def _other_thresholds() -> None:
    from platform_assets.planner import judgement

    usual = judgement.thresholds
    judgement.thresholds = lambda rows, households: usual(rows + 1, households)


def _other_inputs() -> None:
    from platform_assets.planner.weekly_verdict import WeeklyVerdict

    usual = WeeklyVerdict._digests
    WeeklyVerdict._digests = lambda self: {**usual(self), "planner/enriched_plans/2026-01-09": "f" * 32}


def _a_row_is_lost() -> None:
    replay_record.judge = lambda *_: [Outcome("rows_reconcile", False, "one row is neither scored nor excluded")]
