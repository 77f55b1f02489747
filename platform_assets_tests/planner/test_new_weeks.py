"""Which weeks the planner's retraining sensor takes for ready: those whose training finds all that it requires."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_assets.core.lake import Lake, Lineage
from platform_assets.core.settings import Settings
from platform_assets.orchestration.checks import Check
from platform_assets.orchestration.resources import LakeResource
from platform_assets.planner.assets import dataset, jobs, model, recipes, sensors
from platform_assets.planner.assets.common import (
    BASE_MODEL,
    DATASET,
    MODEL,
    POLICY_VERSION,
    RECIPES,
    REPLAY_SCORES,
    address,
)
from platform_assets.planner.definitions import build

WEEKS = ["2026-01-02", "2026-01-09", "2026-01-16"]
SETTINGS = replace(Settings.from_environment({}), planner_start=date(2026, 1, 2), planner_training_weeks=2)
CHECKS = {DATASET: dataset.CHECKS, RECIPES: recipes.CHECKS}
PASSED, FAILED, MISSING = "passed", "failed", "missing"


@dataclass
class Platform:
    """A lake and what Dagster knows of it; the sensor's cursor is kept, as the daemon keeps it."""

    folder: Path
    instance: dg.DagsterInstance
    cursor: str | None = None
    said: str = ""

    def train(
        self, week: str, datasets: list[str], failing: str = "", without: str = "", older: dg.AssetKey | None = None
    ) -> None:
        """As a run leaves it that somebody else started, on these datasets but for one; base or model by older code."""
        versions = {**sensors.code_versions(), **({older: "older"} if older else {})}
        told = _outcomes(model.CHECKS, True)
        if failing:
            told[failing]["passed"] = False
        recipes_of_it = (RECIPES, week)
        self._make(BASE_MODEL, week, [recipes_of_it], versions[BASE_MODEL], {})
        read = [recipes_of_it, (BASE_MODEL, week), *((DATASET, each) for each in datasets if each != without)]
        self._make(MODEL, week, read, versions[MODEL], told)

    def _make(
        self,
        asset: dg.AssetKey,
        week: str,
        read: list[tuple[dg.AssetKey, str]],
        code_version: str,
        told: dict[str, Any],
    ) -> None:
        lake, path = self.lake().open(), self.folder / "weights"
        path.write_text(week)
        made_of = [revision.as_input() for asset, each in read if (revision := lake.current(address(asset, each)))]
        assert len(made_of) == len(read)
        lineage = Lineage(tuple(made_of), code_version=code_version, details={"checks": told})
        lake.publish_files(address(asset, week), {path.name: path}, lineage)

    def publish(self, asset: dg.AssetKey, week: str, state: str = PASSED, rows: int = 3) -> None:
        if state == MISSING:
            return
        path = self.folder / "rows.parquet"
        self.folder.mkdir(exist_ok=True)
        pq.write_table(pa.table({"row": list(range(rows))}), path)
        lineage = Lineage(details={"checks": _outcomes(CHECKS[asset], state == PASSED)})
        Lake(str(self.folder / "lake")).publish_table(address(asset, week), {"rows.parquet": path}, lineage)
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=week))

    def tick(self) -> list[str | None]:
        """The weeks that a tick asks for."""
        resources = {"lake": self.lake()}
        with dg.build_sensor_context(self.instance, self.cursor, resources=resources) as context:
            result = sensors.new_weeks(SETTINGS, "job")(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor, self.said = result.cursor, result.skip_reason.skip_message or "" if result.skip_reason else ""
        return [request.partition_key for request in result.run_requests or []]

    def is_trainable(self, week: str) -> bool:
        """Whether the training itself finds all its inputs but the base model, which its job makes: the oracle."""
        with pytest.raises(dg.Failure) as failure:
            model._inputs(self.lake().open(), SETTINGS, model.ModelConfig(), week)
        return "planner/base_model" in str(failure.value.description)

    def lake(self) -> LakeResource:
        return LakeResource(url=str(self.folder / "lake"))


def _outcomes(checks: tuple[Check, ...], passed: bool) -> dict[str, Any]:
    return {check.name: {"passed": passed, "warning": False, "reason": "so", "metadata": {}} for check in checks}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        made = Platform(tmp_path, instance)
        made.tick()
        yield made


def test_a_week_is_asked_for_exactly_when_its_training_finds_all_that_it_reads(tmp_path: Path) -> None:
    asked = []
    for number, states in enumerate(itertools.product((PASSED, FAILED, MISSING), repeat=3)):
        with dg.DagsterInstance.ephemeral() as instance:
            platform = Platform(tmp_path / str(number), instance)
            platform.tick()
            for asset, week, state in zip((DATASET, DATASET, RECIPES), (*WEEKS[1:], WEEKS[2]), states, strict=True):
                platform.publish(asset, week, state)
            weeks = platform.tick()
            assert weeks == [week for week in WEEKS if platform.is_trainable(week)], states
            asked += [states for _ in weeks]
    assert asked == [(PASSED, PASSED, PASSED)]


def test_a_week_waits_for_its_catalogue_and_for_the_trailing_datasets_and_says_so(platform: Platform) -> None:
    platform.publish(DATASET, WEEKS[2])
    platform.publish(RECIPES, WEEKS[2], FAILED)
    assert platform.tick() == []
    assert platform.said == (
        f"{WEEKS[2]} waits for planner/dataset of {WEEKS[1]}, which is not published; "
        f"planner/recipes of {WEEKS[2]}, which failed recipes_readable"
    )
    platform.publish(RECIPES, WEEKS[2])
    platform.publish(DATASET, WEEKS[1], FAILED)
    assert platform.tick() == []
    assert f"planner/dataset of {WEEKS[1]}, which failed" in platform.said
    platform.publish(DATASET, WEEKS[1])
    assert platform.tick() == [WEEKS[2]]


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({}, []),
        ({"older": MODEL}, [WEEKS[1]]),
        ({"older": BASE_MODEL}, [WEEKS[1]]),
        ({"failing": "loss_fell"}, [WEEKS[1]]),
        ({"without": WEEKS[0]}, [WEEKS[1]]),
    ],
)
def test_a_week_that_was_trained_by_hand_is_asked_for_only_where_its_training_would_read_or_be_another(
    platform: Platform, changed: dict[str, Any], asked: list[str]
) -> None:
    platform.publish(DATASET, WEEKS[0])
    platform.publish(DATASET, WEEKS[1])
    platform.publish(RECIPES, WEEKS[1])
    platform.train(WEEKS[1], WEEKS[:2], **changed)
    assert platform.tick() == asked
    assert asked or f"{WEEKS[1]} is trained on already" in platform.said


def test_the_code_versions_are_those_of_the_assets_that_the_trainings_job_makes() -> None:
    job = build(SETTINGS).resolve_job_def(jobs.TRAINING)
    assert set(sensors.code_versions()) == job.asset_layer.executable_asset_keys


def test_a_dataset_that_changed_after_the_training_is_trained_on(platform: Platform) -> None:
    for week in WEEKS[:2]:
        platform.publish(DATASET, week)
    platform.publish(RECIPES, WEEKS[1])
    platform.train(WEEKS[1], WEEKS[:2])
    platform.publish(DATASET, WEEKS[0], rows=4)
    assert platform.tick() == [WEEKS[1]]


def test_the_calendars_first_week_waits_for_no_week_before_it(platform: Platform) -> None:
    platform.publish(DATASET, WEEKS[0])
    platform.publish(RECIPES, WEEKS[0])
    assert platform.tick() == [WEEKS[0]]


def test_automation_gives_each_asset_the_running_time_that_its_job_has_in_one_sensor() -> None:
    definitions = build(SETTINGS)
    graph = definitions.resolve_asset_graph()
    sensors = [each for each in definitions.sensors or [] if isinstance(each, dg.AutomationConditionSensorDefinition)]
    long = {key for job in jobs.build() if job.tags == jobs.LONG for key in job.selection.resolve(graph)}
    automated = {key for key in graph.materializable_asset_keys if graph.get(key).automation_condition}
    tags = {key: [each.run_tags for each in sensors if key in each.asset_selection.resolve(graph)] for key in automated}
    assert tags == {key: [jobs.LONG if key in long else {}] for key in automated}
    assert {REPLAY_SCORES, POLICY_VERSION} <= long & automated
