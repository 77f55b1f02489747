"""From raw weeks to a judged world model: what is in the lake, in MLflow and in Postgres, what a repetition changes, who is refused.

One small retailer for the whole file. Its last week is trained on and judged first; then the first split's, across
a kill; then a week of its raw files is corrected.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from platform_assets.core import packed_model
from platform_assets.core.folders import fetch_folder, folder_digest
from platform_assets.core.model_versions import ModelVersions
from platform_assets.core.replay_record import EXPERIMENT
from platform_assets.core.step import words
from platform_assets.orchestration import checks
from platform_assets.world_model import registration
from platform_assets.world_model.assets import baskets, jobs, sensors, transactions
from platform_assets.world_model.assets.common import (
    BASKETS,
    CUSTOMER_FEATURES,
    MODEL,
    POLICY_VERSION,
    PRICES,
    PRODUCT_EMBEDDINGS,
    QUARANTINED_TRANSACTIONS,
    REPLAY_SCORES,
    STORE_FEATURES,
    TENSOR_CACHE,
    TRANSACTIONS,
)
from platform_assets_tests.end_to_end import warm_processes
from platform_assets_tests.end_to_end.small_retail_platform import (
    DECLARED,
    KNOWN,
    OPTIONS,
    SCENARIO,
    SMALL,
    WEEKS,
    RetailPlatform,
    ToldAll,
    correct_a_row,
    retail_platform,
    upload,
)
from platform_assets_tests.lake_stores import Server

FIRST, LAST = KNOWN
PICTURES = {
    PRODUCT_EMBEDDINGS: {"product_map"}, CUSTOMER_FEATURES: {"customers by snapshot"}, STORE_FEATURES: {"store_map"},
    PRICES: {"examples"}, TENSOR_CACHE: {"baskets by week", "baskets by length"}, MODEL: {"loss"},
    REPLAY_SCORES: {"rankers", "auxiliary", "hit_at_10_by_week", "hit_at_10_by_hour"}, POLICY_VERSION: {"verdict_plot"},
}  # fmt: skip
# Several batches an epoch, a checkpoint after each: there is a middle.
SLOW = {"epochs": 2, "batch_size": 4, "options": {"checkpoint_every": "1"}}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def platform(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RetailPlatform]:
    with retail_platform(postgres_server, tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def chain(platform: RetailPlatform) -> list[ToldAll]:
    """The last week's features, cache and model; then its scores and verdict."""
    told = [platform.train(LAST), platform.run(jobs.JUDGEMENT, LAST)]
    assert all(each.success for each in told), [each.words for each in told]
    return told


def everything(platform: RetailPlatform) -> dict[str, object]:
    """All that a repetition must not change: digests, registered versions, rows."""
    return {
        **{asset.path[-1]: platform.current(asset, LAST) for asset in DECLARED},
        "models": platform.models,
        "versions": platform.policy_versions,
        "replays": sorted(platform.rows("SELECT * FROM exp.offline_replay_results"), key=str),
        "verdicts": sorted(platform.rows("SELECT * FROM exp.policy_verdicts"), key=str),
        "runs": len(platform.tracking.client.search_runs(_experiments(platform))),
    }


def test_all_weeks_are_read_in_one_run_and_no_row_is_lost(platform: RetailPlatform) -> None:
    counts = {
        asset: [platform.current(asset, week).rows or 0 for week in WEEKS]
        for asset in (TRANSACTIONS, QUARANTINED_TRANSACTIONS, BASKETS)
    }
    assert sum(counts[TRANSACTIONS]) == SCENARIO.rows
    assert sum(counts[QUARANTINED_TRANSACTIONS]) == 0
    assert 0 < sum(counts[BASKETS]) < SCENARIO.rows
    for asset, declared in ((TRANSACTIONS, transactions.CHECKS), (BASKETS, baskets.CHECKS)):
        recorded = [platform.current(asset, week).lineage.details for week in WEEKS]
        assert [checks.failed_blocking(details, declared) for details in recorded] == [{}] * len(WEEKS)


def test_every_asset_of_a_split_is_published_with_its_checks_and_its_pictures(
    platform: RetailPlatform, chain: list[ToldAll]
) -> None:
    evaluated = [each for told in chain for each in told.checks]
    pictures = {asset: shown for told in chain for asset, shown in told.pictures.items()}
    for asset, declared in DECLARED.items():
        name = asset.to_user_string()
        found = {each.name: each for each in evaluated if each.asset == name}
        assert found.keys() == {check.name for check in declared}
        assert {each.partition for each in found.values()} == {LAST}
        assert [each for check in declared if check.blocking and not (each := found[check.name]).passed] == []
        assert pictures[name] == PICTURES[asset]
        assert platform.current(asset, LAST).lineage.inputs
    read = {each.partition for each in platform.current(TENSOR_CACHE, LAST).lineage.inputs}
    assert read == set(WEEKS)


def test_all_that_the_training_makes_records_the_code_version_that_the_retraining_sensor_compares(
    platform: RetailPlatform,
) -> None:
    compared = sensors.code_versions()
    assert {asset: platform.current(asset, LAST).lineage.code_version for asset in compared} == compared
    assert len(set(compared.values())) == len(compared)


def test_a_registered_model_has_the_documented_tags_and_its_run_parameters_losses_and_dataset(
    platform: RetailPlatform,
) -> None:
    version, tags = platform.policy_versions[1], platform.models["1"]
    cache = platform.current(TENSOR_CACHE, LAST)
    fingerprint = cache.lineage.details["fingerprint"]
    expected = {
        "policy_id": version.policy_id, "task": "masked product prediction", "dataset_version": LAST,
        "dataset_digest": fingerprint, "dagster_asset": "world_model/model", "dagster_partition": LAST,
        "stage": "training", "policy_version_id": version.id, "model_digest": platform.current(MODEL, LAST).digest,
    }  # fmt: skip
    assert expected.items() <= tags.items()
    assert all(tags[name] for name in ("dagster_run_id", "git_sha", "fingerprint"))

    run = platform.tracking.client.get_run(tags["run_id"])
    assert run.info.status == "FINISHED"
    parameters = {
        "learning_rate": "0.003", "batch_size": "16", "epochs": "1", "dataset_version": LAST, "dataset_digest": fingerprint,
        "width": "16", "max_seq_len": "50", "mask_prob": "0.15", "enable_auxiliary_tasks": "True",
    }  # fmt: skip
    assert parameters.items() <= run.data.params.items()
    assert run.inputs
    (logged,) = run.inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == (f"world_model/tensor_cache/{LAST}", fingerprint)
    for name in ("train_loss", "val_loss", "val_hit_at_10"):
        assert [each.step for each in platform.tracking.client.get_metric_history(tags["run_id"], name)] == [0]
    assert "loss.png" in {item.path for item in platform.tracking.client.list_artifacts(tags["run_id"])}
    replayed = platform.rows("SELECT offline_eval_score, dataset_digest FROM exp.offline_replay_results")
    assert replayed == [(pytest.approx(run.data.metrics["replay_hit_at_10"]), fingerprint)]


def test_what_mlflow_holds_is_what_the_lake_holds(platform: RetailPlatform, tmp_path: Path) -> None:
    packed = ModelVersions(platform.tracking, registration.MODEL.model_name).fetch("1", tmp_path)
    folder, revision = packed_model.model_folder(packed), platform.current(MODEL, LAST)
    assert {file.name for file in revision.data_files} >= {"weights.safetensors", "network.json", "metrics.json"}
    assert folder_digest(folder) == revision.digest


def test_a_few_baskets_are_no_reason_to_serve_a_model_and_the_verdict_is_the_same_everywhere(
    platform: RetailPlatform,
) -> None:
    bar, version = platform.policy_versions[0], platform.policy_versions[1]
    assert (bar.status, bar.model_version) == ("active", None)
    assert bar.config_defaults == registration.version_zero()
    scores, verdict = platform.current(REPLAY_SCORES, LAST), platform.current(POLICY_VERSION, LAST)
    document = json.loads(platform.lake.read_side(verdict, "verdict.json"))
    (recorded,) = platform.registry.verdicts(version.id)
    assert recorded.document == version.verdict == document
    assert (recorded.outcome, recorded.replay_digest) == ("inconclusive", scores.digest)
    assert (version.status, version.evaluated_week) == ("registered", date.fromisoformat(LAST))
    assert (platform.models["1"]["stage"], platform.models["1"]["verdict"]) == ("training", "inconclusive")
    assert "demo (1,000 rows / 2 customers)" in document["label"]
    for asset in (TENSOR_CACHE, MODEL, REPLAY_SCORES):
        assert document["digests"][f"{asset.to_user_string()}/{LAST}"] == platform.current(asset, LAST).digest


def test_a_replay_is_one_row_and_one_run_and_counts_every_test_basket(platform: RetailPlatform) -> None:
    scores, cache = platform.current(REPLAY_SCORES, LAST), platform.current(TENSOR_CACHE, LAST)
    summary = scores.lineage.details["summary"]
    whole = json.loads(platform.lake.read_side(scores, "replay_summary.json"))
    assert summary == {name: value for name, value in whole.items() if name != "tables"}
    assert {"date", "hour", "week"} <= whole["tables"].keys()
    assert scores.rows == summary["rows"] >= 100
    assert summary["rows"] + sum(summary["excluded"].values()) == cache.lineage.details["splits"]["test"]["baskets"]
    recorded = platform.rows(
        "SELECT v.version, b.version, r.dataset_version, r.n_rows, r.replay_digest, r.status, r.is_better_than_baseline"
        " FROM exp.offline_replay_results AS r JOIN exp.policy_versions AS v ON v.id = r.policy_version_id"
        " JOIN exp.policy_versions AS b ON b.id = r.baseline_version_id"
    )
    assert recorded == [(1, 0, LAST, summary["rows"], scores.digest, "completed", None)]
    (experiment,) = _experiments(platform)[1:]
    runs = platform.tracking.client.search_runs([experiment], f"tags.digest = '{scores.digest}'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    drawn = {item.path for item in platform.tracking.client.list_artifacts(runs[0].info.run_id)}
    assert {f"{name}.png" for name in PICTURES[REPLAY_SCORES]} <= drawn


def test_a_repetition_as_a_backfill_runs_it_changes_nothing(platform: RetailPlatform) -> None:
    before = everything(platform)
    for told in (platform.train(LAST, LAST, assets=[MODEL]), platform.run(jobs.JUDGEMENT, LAST, LAST)):
        assert told.success, told.words
    assert everything(platform) == before


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"options": {"widht": "16"}}, "--widht 16 is no option of python -m platform_assets.world_model.training"),
        ({"options": {"heads": "3"}}, "--width must be a multiple of --heads, and 16 is none of 3"),
        ({"options": {"tensor_cache": "elsewhere"}}, "tensor_cache: decided by the week, and no option of"),
    ],
)
def test_a_wrong_option_is_told_once_before_anything_is_trained(
    platform: RetailPlatform, given: dict, reason: str
) -> None:
    before = everything(platform)
    told = platform.train(LAST, model=given, assets=[MODEL])
    assert (told.success, told.attempts) == (False, 1)
    assert told.words.count(reason) == 1
    assert everything(platform) == before


@pytest.fixture(scope="module")
def backfilled(platform: RetailPlatform, chain: list[ToldAll]) -> ToldAll:
    """The features and caches of both splits, made in one run; of the last week they are there already."""
    before = everything(platform)
    told = platform.run(jobs.FEATURES, FIRST, LAST)
    assert told.success, told.words
    assert everything(platform) == before
    return told


def test_two_splits_in_one_run_are_two_caches_each_with_its_own_checks(
    platform: RetailPlatform, backfilled: ToldAll
) -> None:
    caches = [platform.current(TENSOR_CACHE, week).lineage.details for week in KNOWN]
    assert caches[0]["fingerprint"] != caches[1]["fingerprint"]
    assert [details["splits"]["train"]["weeks"] for details in caches] == [1, 2]
    for asset in (PRODUCT_EMBEDDINGS, CUSTOMER_FEATURES, STORE_FEATURES, PRICES, TENSOR_CACHE):
        found = {(each.name, each.partition) for each in backfilled.checks if each.asset == asset.to_user_string()}
        assert found >= {(check.name, week) for check in DECLARED[asset] for week in KNOWN}
        assert checks.failed_blocking(platform.current(asset, FIRST).lineage.details, DECLARED[asset]) == {}


def test_a_training_killed_in_an_epoch_goes_on_and_ends_with_the_same_bytes(
    platform: RetailPlatform, backfilled: ToldAll, tmp_path: Path
) -> None:
    train = partial(platform.train, FIRST, model=SLOW, assets=[MODEL])
    an_epoch = -(-platform.current(TENSOR_CACHE, FIRST).lineage.details["splits"]["train"]["baskets"] // 4)
    killed = train(in_programs=partial(_after_batches, an_epoch + 3, _die))
    assert not killed.success
    assert "platform_assets.world_model.training was killed (SIGKILL), as the system does" in killed.words
    assert len(list(platform.settings.training_folder.rglob("newest.ckpt"))) == 1
    assert set(platform.models) == {"1"}

    resumed = train(in_programs=partial(_after_batches, an_epoch - 3, _begin_anew))
    assert resumed.success, resumed.words
    cache = fetch_folder(platform.lake, platform.current(TENSOR_CACHE, FIRST), tmp_path / "cache")
    warm_processes.in_process(_train_undisturbed, str(cache), str(tmp_path / "model"))
    assert platform.current(MODEL, FIRST).digest == folder_digest(tmp_path / "model")
    assert set(platform.models) == {"1", "2"}
    history = platform.tracking.client.get_metric_history(platform.models["2"]["run_id"], "val_loss")
    assert [each.step for each in history] == [0, 1]
    assert not list(platform.settings.training_folder.rglob("newest.ckpt"))


def test_a_cache_and_a_model_on_s3_are_those_of_a_folder(
    platform: RetailPlatform, moto: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_s3 = platform.with_lake(moto.use(monkeypatch))
    features = {key: [LAST] for key in (PRODUCT_EMBEDDINGS, CUSTOMER_FEATURES, STORE_FEATURES, PRICES)}
    upload(platform, on_s3.settings.lake_url, {TRANSACTIONS: WEEKS, BASKETS: WEEKS, **features})
    given = {"model": {"seed": 5}, "assets": [TENSOR_CACHE, MODEL], "environment": moto.environment()}
    told = on_s3.train(LAST, **given)
    assert told.success, told.words
    assert on_s3.current(TENSOR_CACHE, LAST).digest == platform.current(TENSOR_CACHE, LAST).digest
    trained = on_s3.current(MODEL, LAST).digest
    assert trained != platform.current(MODEL, LAST).digest
    assert trained in {tags["model_digest"] for tags in platform.models.values()}


def test_after_a_late_correction_what_was_made_before_it_is_refused_by_name_until_it_is_made_again(
    platform: RetailPlatform,
) -> None:
    corrected, before = WEEKS[1], platform.current(TRANSACTIONS, WEEKS[1]).digest
    correct_a_row(platform.raw / "transactions_200608.csv")
    told = platform.run(jobs.WEEKS, corrected)
    assert told.success, told.words
    assert platform.current(TRANSACTIONS, corrected).digest != before

    stale = platform.run(jobs.FEATURES, LAST, assets=[TENSOR_CACHE])
    assert (stale.success, stale.attempts) == (False, 1)
    for asset in (PRODUCT_EMBEDDINGS, CUSTOMER_FEATURES, STORE_FEATURES, PRICES):
        name = re.escape(asset.to_user_string())
        assert re.search(
            f"{name} of {LAST} was made of other revisions of [^;]*transactions of {corrected}", stale.words
        )
    assert "Materialise it again first." in stale.words

    mended = platform.run(jobs.FEATURES, LAST)
    assert mended.success, mended.words
    older = platform.run(jobs.JUDGEMENT, LAST)
    assert (older.success, older.attempts) == (False, 1)
    assert f"the model of {LAST} was trained on another tensor cache than the current one: materialise" in older.words

    for again in (platform.train(LAST, assets=[MODEL]), platform.run(jobs.JUDGEMENT, LAST)):
        assert again.success, again.words
    newest = max(platform.policy_versions.values(), key=lambda each: each.version)
    assert (newest.status, newest.evaluated_week) == ("registered", date.fromisoformat(LAST))
    assert newest.model_version is not None
    assert platform.models[newest.model_version]["model_digest"] == platform.current(MODEL, LAST).digest


def _experiments(platform: RetailPlatform) -> list[str]:
    return [platform.tracking.experiment_id(name) for name in (registration.MODEL.experiment, EXPERIMENT)]


def _after_batches(count: int, end: Callable[[], object]) -> None:
    """Call `end` when one more batch than `count` is learned from."""
    from platform_assets.world_model.fitting import HiddenProducts

    usual, batches = HiddenProducts.learned_and_shown, itertools.count(1)

    def counted(self, content):
        if next(batches) > count:
            end()
        return usual(self, content)

    HiddenProducts.learned_and_shown = counted


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _begin_anew() -> None:
    raise AssertionError("the training began anew")


def _train_undisturbed(cache: str, output: str) -> None:
    from platform_assets.world_model import training

    given = {**SMALL, **SLOW, "options": None}
    options = {name: str(value) for name, value in given.items() if value is not None}
    where = {"tensor_cache": cache, "output": output}
    assert training.main(words({**where, **options, **OPTIONS, **SLOW["options"]})) == 0
