"""Which weeks the world model's retraining sensor takes for ready, and of which it asks for a training."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.lake import Input, Lake, Lineage
from platform_assets.core.settings import Settings
from platform_assets.orchestration.checks import Check
from platform_assets.orchestration.resources import LakeResource
from platform_assets.world_model.assets import baskets, jobs, model, sensors, tensor_cache, transactions
from platform_assets.world_model.assets.common import (
    BASKETS,
    MODEL,
    POLICY_VERSION,
    PRICES,
    REPLAY_SCORES,
    TENSOR_CACHE,
    TRANSACTIONS,
    address,
)
from platform_assets.world_model.definitions import build

START, COUNT = date(2006, 4, 10), 46
WEEKS = [(START + timedelta(weeks=n)).isoformat() for n in range(COUNT)]
SETTINGS = replace(
    Settings.from_environment({}), retail_start=START, retail_end=START + timedelta(weeks=COUNT), retail_retrain_weeks=4
)
CHECKS = {TRANSACTIONS: transactions.CHECKS, BASKETS: baskets.CHECKS}


@dataclass
class Platform:
    """A lake and what Dagster knows of it; the sensor's cursor is kept, as the daemon keeps it."""

    folder: Path
    instance: dg.DagsterInstance
    cursor: str | None = None
    said: str = ""
    keys: tuple[str | None, ...] = ()
    configs: tuple[Any, ...] = ()
    settings: Settings = SETTINGS

    def publish(self, *weeks: str, failing: dg.AssetKey | None = None, rows: int = 3) -> None:
        """Transactions and baskets, as a run of the weeks leaves them."""
        for week in weeks:
            for asset in CHECKS:
                publish(self.folder, asset, week, asset != failing, rows)
        self.report(*weeks)

    def train(self, week: str, failing: str = "", older: dg.AssetKey | None = None) -> None:
        """Features, cache and model, as a run of the training's job leaves them that somebody else started; one by older code."""
        versions = {**sensors.code_versions(), **({older: "older"} if older else {})}
        weeks, lake = WEEKS[: WEEKS.index(week) + 1], Lake(self.folder / "lake")
        made: list[Input] = []
        for asset in CHECKS:
            made += [revision.as_input() for each in weeks if (revision := lake.current(address(asset, each)))]
        for asset, declared in tensor_cache.FEATURES.items():
            made.append(self._make(asset, week, declared, made, versions[asset]))
        cache = self._make(TENSOR_CACHE, week, tensor_cache.CHECKS, made, versions[TENSOR_CACHE])
        self._make(MODEL, week, model.CHECKS, [cache], versions[MODEL], failing)

    def _make(
        self, asset: dg.AssetKey, week: str, declared: Sequence[Check], made_of: Sequence[Input], code_version: str = "",
        failing: str = "",
    ) -> Input:  # fmt: skip
        path = self.folder / "array.npy"
        path.write_text("\n".join(each.digest for each in made_of))
        told = {each.name: {"passed": each.name != failing, "warning": False, "reason": "so"} for each in declared}
        lineage = Lineage(tuple(made_of), code_version=code_version, details={"checks": told})
        return (
            Lake(self.folder / "lake")
            .publish_files(address(asset, week), {path.name: path}, lineage)
            .revision.as_input()
        )

    def report(self, *weeks: str) -> None:
        """Dagster hears of the weeks' baskets."""
        for week in weeks:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(BASKETS, partition=week))

    def tick(self) -> list[str | None]:
        """The weeks that a tick asks for."""
        resources = {"lake": LakeResource(url=str(self.folder / "lake"))}
        with dg.build_sensor_context(self.instance, self.cursor, resources=resources) as context:
            result = sensors.new_weeks(self.settings, jobs.TRAINING)(context)
        assert isinstance(result, dg.SensorResult)
        requests = result.run_requests or []
        self.cursor, self.said = result.cursor, result.skip_reason.skip_message or "" if result.skip_reason else ""
        self.keys = tuple(request.run_key for request in requests)
        self.configs = tuple(request.run_config for request in requests)
        return [request.partition_key for request in requests]


def publish(folder: Path, asset: dg.AssetKey, week: str, passed: bool = True, rows: int = 3) -> None:
    """One partition, its checks passed or failed."""
    path = folder / "rows.parquet"
    pq.write_table(pa.table({"row": list(range(rows))}), path)
    told = {check.name: {"passed": passed, "warning": False, "reason": "so"} for check in CHECKS[asset]}
    lineage = Lineage(details={"checks": told})
    Lake(folder / "lake").publish_table(address(asset, week), {"rows.parquet": path}, lineage)


def withdraw(folder: Path, asset: dg.AssetKey, week: str) -> None:
    """As if it had never been published."""
    (folder / "lake" / address(asset, week).path / "manifest.json").unlink()


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with one week less than a split needs."""
    folder = tmp_path_factory.mktemp("early")
    for week, asset in itertools.product(WEEKS[:37], CHECKS):
        publish(folder, asset, week)
    return folder


@pytest.fixture
def platform(early: Path, tmp_path: Path) -> Iterator[Platform]:
    """Its sensor was switched on before Dagster heard of a week."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Platform(shutil.copytree(early, tmp_path / "platform"), instance)
        assert made.tick() == []
        yield made


def test_nothing_is_trained_below_the_weeks_of_a_split_and_then_the_first_that_has_them(platform: Platform) -> None:
    platform.report(*WEEKS[:37])
    assert platform.tick() == []
    assert f"{WEEKS[36]} is not trained on: a split needs 38 weeks, and 37 end with it" in platform.said
    assert platform.tick() == []
    assert platform.said == "no new week of a run and backfill that are over passed its checks and is due for training"
    platform.publish(WEEKS[37])
    assert platform.tick() == [WEEKS[37]]
    assert platform.tick() == []


def test_of_a_burst_the_newest_week_alone_is_trained_on(platform: Platform) -> None:
    platform.report(*WEEKS[:37])
    platform.publish(*WEEKS[37:40])
    assert platform.tick() == [WEEKS[39]]
    assert platform.tick() == []


def test_weeks_that_were_there_before_the_sensor_are_trained_on_once(early: Path, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(shutil.copytree(early, tmp_path / "platform"), instance)
        platform.report(*WEEKS[:37])
        platform.publish(*WEEKS[37:40])
        assert platform.tick() == [WEEKS[39]]
        assert platform.tick() == []


def test_the_next_training_comes_as_many_weeks_later_as_are_set(platform: Platform) -> None:
    platform.publish(WEEKS[37])
    assert platform.tick() == [WEEKS[37]]
    for gap, week in enumerate(WEEKS[38:41], 1):
        platform.publish(week)
        assert platform.tick() == []
        assert f"{week} waits: {gap} week(s) after the last training, of 4" in platform.said
    platform.publish(WEEKS[41])
    assert platform.tick() == [WEEKS[41]]
    assert platform.tick() == []


def test_a_week_waits_until_all_before_it_are_there_and_passed_and_says_what_lacks(platform: Platform) -> None:
    missing, failed, unread = WEEKS[3], WEEKS[20], WEEKS[30]
    withdraw(platform.folder, TRANSACTIONS, missing)
    publish(platform.folder, TRANSACTIONS, failed, passed=False)
    withdraw(platform.folder, BASKETS, unread)
    platform.publish(WEEKS[37])
    assert platform.tick() == []
    names = ", ".join(check.name for check in transactions.CHECKS if check.blocking)
    assert platform.said == (
        f"{WEEKS[37]} waits for world_model/transactions of {missing}, which is not published; world_model/transactions of "
        f"{failed}, which failed {names}; world_model/baskets of {unread}, which is not published"
    )
    publish(platform.folder, TRANSACTIONS, missing)
    publish(platform.folder, TRANSACTIONS, failed)
    assert platform.tick() == []
    assert platform.said == f"{WEEKS[37]} waits for world_model/baskets of {unread}, which is not published"
    publish(platform.folder, BASKETS, unread)
    assert platform.tick() == [WEEKS[37]]


def test_a_newest_week_that_lacks_something_holds_up_no_older_one_that_is_ready(platform: Platform) -> None:
    platform.publish(WEEKS[37])
    platform.publish(WEEKS[38], failing=BASKETS)
    platform.publish(WEEKS[39], failing=TRANSACTIONS)
    assert platform.tick() == [WEEKS[37]]


def test_a_week_without_rows_brings_nothing_to_learn_and_holds_nothing_up(platform: Platform) -> None:
    platform.publish(WEEKS[37], rows=0)
    assert platform.tick() == []
    assert platform.said == f"{WEEKS[37]} waits: 0 new rows of 1"
    platform.publish(WEEKS[38])
    assert platform.tick() == [WEEKS[38]]


def test_a_tick_that_failed_half_way_asks_for_the_same_run_again(platform: Platform) -> None:
    before = platform.cursor
    platform.publish(WEEKS[37])
    assert platform.tick() == [WEEKS[37]]
    keys, platform.cursor = platform.keys, before
    assert platform.tick() == [WEEKS[37]]
    assert platform.keys == keys


def test_a_corrected_week_that_was_trained_on_waits_for_the_next_training(platform: Platform) -> None:
    platform.publish(WEEKS[37])
    assert platform.tick() == [WEEKS[37]]
    platform.publish(WEEKS[2], rows=4)
    assert platform.tick() == []
    assert platform.said == f"{WEEKS[2]} changed; trained up to {WEEKS[37]} already: the next training reads it"


def test_a_week_that_was_trained_by_hand_is_left_as_it_is_and_the_next_is_asked_for_after_the_gap(
    early: Path, tmp_path: Path
) -> None:
    """As after a demo: the weeks, the model of the newest, and only then a sensor."""
    with dg.DagsterInstance.ephemeral() as instance:
        platform = Platform(shutil.copytree(early, tmp_path / "platform"), instance)
        platform.report(*WEEKS[:37])
        platform.publish(*WEEKS[37:40])
        platform.train(WEEKS[39])
        assert platform.tick() == []
        assert (
            f"{WEEKS[39]} is trained on already: its model is published with its checks passed, and what the training's job makes "
            "is of the inputs and of the code versions that it would be of now (options and releases of libraries are not "
            "compared)"
        ) in platform.said
        platform.publish(*WEEKS[40:43])
        assert platform.tick() == []
        assert f"{WEEKS[42]} waits: 3 week(s) after the last training, of 4" in platform.said
        platform.publish(WEEKS[43])
        assert platform.tick() == [WEEKS[43]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda platform: platform.train(WEEKS[37], failing="loss_fell"),
        # A week of before is corrected after the training.
        lambda platform: (platform.train(WEEKS[37]), publish(platform.folder, BASKETS, WEEKS[5], rows=4)),
        lambda platform: (platform.train(WEEKS[37]), publish(platform.folder, TRANSACTIONS, WEEKS[5], rows=4)),
        # The features were fitted again, and the cache was not made of them.
        lambda platform: (
            platform.train(WEEKS[37]),
            platform._make(PRICES, WEEKS[37], tensor_cache.FEATURES[PRICES], [], sensors.code_versions()[PRICES]),
        ),
        lambda platform: (platform.train(WEEKS[37]), withdraw(platform.folder, TENSOR_CACHE, WEEKS[37])),
        lambda platform: (platform.train(WEEKS[37]), withdraw(platform.folder, MODEL, WEEKS[37])),
    ],
    ids=[
        "learned nothing",
        "baskets changed",
        "rows changed",
        "features changed",
        "no cache",
        "no model",
    ],
)
def test_a_model_that_is_not_what_a_training_would_make_now_is_trained_again(
    platform: Platform, spoil: Callable[[Platform], object]
) -> None:
    platform.publish(WEEKS[37])
    spoil(platform)
    assert platform.tick() == [WEEKS[37]]


@pytest.mark.parametrize("older", [*tensor_cache.FEATURES, TENSOR_CACHE, MODEL], ids=lambda key: key.path[-1])
def test_a_week_of_which_older_code_made_anything_that_the_training_makes_is_trained_again(
    platform: Platform, older: dg.AssetKey
) -> None:
    """An upgrade of a feature's code that left the model's alone: the week was taken for trained."""
    platform.publish(WEEKS[37])
    platform.train(WEEKS[37], older=older)
    assert platform.tick() == [WEEKS[37]]


def test_the_code_versions_are_those_of_the_assets_that_the_trainings_job_makes() -> None:
    job = build(SETTINGS).resolve_job_def(jobs.TRAINING)
    assert set(sensors.code_versions()) == job.asset_layer.executable_asset_keys


def test_a_retraining_takes_its_options_from_the_settings_as_its_job_reads_them(platform: Platform) -> None:
    platform.publish(WEEKS[37])
    assert platform.tick() == [WEEKS[37]]
    assert platform.configs == ({},)
    given = '{"epochs": 6, "learning_rate": 0.001, "compile": false, "auxiliary": ["mission_type=0.2"]}'
    options = Settings.from_environment({"PLATFORM_RETAIL_TRAINING_OPTIONS": given}).retail_training_options
    platform.settings, platform.cursor = replace(SETTINGS, retail_training_options=options), None
    platform.publish(WEEKS[38])
    assert platform.tick() == [WEEKS[38]]
    (config,) = platform.configs
    told = {"epochs": "6", "learning_rate": "0.001", "compile": "false", "auxiliary": "mission_type=0.2"}
    assert config == {"ops": {"world_model__model": {"config": {"options": told}}}}
    assert dg.validate_run_config(build(platform.settings).resolve_job_def(jobs.TRAINING), config)
    assert model.ModelConfig(**config["ops"]["world_model__model"]["config"]).given() == told


def test_replay_and_verdict_run_by_automation_with_the_running_time_of_their_job() -> None:
    definitions = build(SETTINGS)
    graph = definitions.resolve_asset_graph()
    found = [each for each in definitions.sensors or [] if isinstance(each, dg.AutomationConditionSensorDefinition)]
    automated = {key for key in graph.materializable_asset_keys if graph.get(key).automation_condition}
    tags = {key: [each.run_tags for each in found if key in each.asset_selection.resolve(graph)] for key in automated}
    assert {key for key, given in tags.items() if given == [jobs.LONG]} == {REPLAY_SCORES, POLICY_VERSION}
    assert tags == {key: [jobs.LONG if key in (REPLAY_SCORES, POLICY_VERSION) else {}] for key in automated}
    assert not automated & {*tensor_cache.FEATURES}
