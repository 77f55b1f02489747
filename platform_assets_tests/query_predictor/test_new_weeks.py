"""Which weeks the query predictor's retraining sensor takes for ready, and of which it asks for a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.core.lake import Input, Lake, Lineage
from platform_assets.core.settings import SettingError, Settings
from platform_assets.orchestration.checks import Check
from platform_assets.orchestration.resources import LakeResource
from platform_assets.query_predictor.assets import features, jobs, model, sensors, zero_cost_categories
from platform_assets.query_predictor.assets.common import FEATURES, MODEL, ZERO_COST_CATEGORIES, address
from platform_assets.query_predictor.definitions import build

WEEKS = [(date(2025, 7, 14) + timedelta(weeks=number)).isoformat() for number in range(6)]
SETTINGS = replace(Settings.from_environment({}), trino_retrain_weeks=3)
WITHIN = {"against": None, "beyond": [], "is_beyond_limit": False}
UNLIKE = {
    **WITHIN,
    "against": WEEKS[0],
    "urgent": "the features that the model of 2025-07-14 was trained on cannot be compared",
}
BEYOND = {"against": WEEKS[0], "beyond": [f"feature_{number}" for number in range(7)], "is_beyond_limit": True}


@dataclass
class Platform:
    """A lake and what Dagster knows of it; the sensor's cursor is kept, as the daemon keeps it."""

    folder: Path
    instance: dg.DagsterInstance
    cursor: str | None = None
    said: str = ""
    settings: Settings = SETTINGS
    configs: tuple[Any, ...] = ()

    def publish(self, *weeks: str, drift: dict[str, Any] | None = None, failing: str = "", content: str = "") -> None:
        """Categories and features, as a run leaves them."""
        for week in weeks:
            self.make(ZERO_COST_CATEGORIES, week, zero_cost_categories.CHECKS, failing=failing)
            details = {"drift": drift or WITHIN, "rows": {"train": 5, "validation": 2, "test": 2}}
            self.make(FEATURES, week, features.CHECKS, failing=failing, details=details, content=content)
            self.instance.report_runless_asset_event(dg.AssetMaterialization(FEATURES, partition=week))

    def train(self, week: str, failing: str = "", code_version: str = "") -> None:
        """A model, as somebody's run of the training's job leaves it."""
        lake = Lake(self.folder / "lake")
        made_of = [lake.current(address(asset, week)) for asset in (FEATURES, ZERO_COST_CATEGORIES)]
        inputs = [revision.as_input() for revision in made_of if revision]
        version = code_version or sensors.code_versions()[MODEL]
        self.make(MODEL, week, model.CHECKS, inputs, version, failing)

    def make(
        self, asset: dg.AssetKey, week: str, declared: Sequence[Check], made_of: Sequence[Input] = (), code_version: str = "",
        failing: str = "", details: dict[str, Any] | None = None, content: str = "",
    ) -> None:  # fmt: skip
        path = self.folder / "array.npy"
        path.write_text("\n".join([week, content, *(each.digest for each in made_of)]))
        told = {each.name: {"passed": each.name != failing, "warning": False, "reason": "so"} for each in declared}
        lineage = Lineage(tuple(made_of), code_version=code_version, details={"checks": told, **(details or {})})
        Lake(self.folder / "lake").publish_files(address(asset, week), {path.name: path}, lineage)

    def tick(self) -> list[str | None]:
        """The weeks that a tick asks for."""
        resources = {"lake": LakeResource(url=str(self.folder / "lake"))}
        with dg.build_sensor_context(self.instance, self.cursor, resources=resources) as context:
            result = sensors.new_weeks(self.settings, jobs.TRAINING)(context)
        assert isinstance(result, dg.SensorResult)
        requests = result.run_requests or []
        self.cursor, self.said = result.cursor, result.skip_reason.skip_message or "" if result.skip_reason else ""
        self.configs = tuple(request.run_config for request in requests)
        return [request.partition_key for request in requests]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Its sensor was switched on before Dagster heard of a week."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Platform(tmp_path, instance)
        assert made.tick() == []
        yield made


def test_of_a_burst_the_newest_week_alone_is_trained_on_and_the_next_waits_for_the_gap(platform: Platform) -> None:
    platform.publish(*WEEKS[:2])
    assert platform.tick() == [WEEKS[1]]
    platform.publish(WEEKS[2])
    assert platform.tick() == []
    assert f"{WEEKS[2]} waits: 1 week(s) after the last training, of 3" in platform.said
    platform.publish(WEEKS[3])
    assert platform.tick() == []
    platform.publish(WEEKS[4])
    assert platform.tick() == [WEEKS[4]]


def test_a_week_that_drifted_does_not_wait_for_the_gap(platform: Platform) -> None:
    platform.publish(WEEKS[0])
    assert platform.tick() == [WEEKS[0]]
    platform.publish(WEEKS[1], drift=WITHIN | {"beyond": ["feature_0"]})
    assert platform.tick() == []
    platform.publish(WEEKS[2], drift=BEYOND)
    assert platform.tick() == [WEEKS[2]]


def test_a_week_with_other_features_than_the_model_knows_does_not_wait_for_the_gap(platform: Platform) -> None:
    platform.publish(WEEKS[0])
    assert platform.tick() == [WEEKS[0]]
    platform.publish(WEEKS[1], drift=UNLIKE)
    assert platform.tick() == [WEEKS[1]]
    assert sensors._drifted(UNLIKE) == UNLIKE["urgent"]


def test_the_reason_names_the_features_that_drifted_and_the_model_they_drifted_from() -> None:
    assert sensors._drifted(WITHIN) == ""
    assert sensors._drifted(BEYOND) == (
        "feature_0, feature_1, feature_2, feature_3, feature_4 and 2 more drifted from what the model of 2025-07-14 was trained on"
    )


def test_a_week_waits_for_its_categories_and_is_out_where_its_own_check_failed(platform: Platform) -> None:
    platform.publish(WEEKS[0], failing="zero_cost_cap")
    assert platform.tick() == []
    assert f"{WEEKS[0]} waits for query_predictor/zero_cost_categories of {WEEKS[0]}, which failed" in platform.said
    platform.make(ZERO_COST_CATEGORIES, WEEKS[0], zero_cost_categories.CHECKS)
    assert platform.tick() == [WEEKS[0]]
    platform.publish(WEEKS[4], failing="served_rows_are_training_rows")
    assert platform.tick() == []
    assert f"{WEEKS[4]} is not trained on: served_rows_are_training_rows" in platform.said


@pytest.mark.parametrize(
    ("left", "asked"),
    [({}, []), ({"failing": "onnx_agrees"}, [WEEKS[0]]), ({"code_version": "older"}, [WEEKS[0]])],
    ids=["trained", "failed", "by older code"],
)
def test_a_week_that_somebody_trained_by_todays_code_is_left_alone(
    platform: Platform, left: dict[str, str], asked: list[str]
) -> None:
    platform.publish(WEEKS[0])
    platform.train(WEEKS[0], **left)
    assert platform.tick() == asked


def test_a_model_of_features_that_are_no_longer_current_counts_for_nothing(platform: Platform) -> None:
    platform.publish(WEEKS[0])
    platform.train(WEEKS[0])
    platform.publish(WEEKS[0], content="made again, of other days")
    assert platform.tick() == [WEEKS[0]]


def test_the_run_takes_the_settings_options_as_the_launchpad_does(platform: Platform) -> None:
    platform.settings = replace(SETTINGS, trino_training_options={"n_estimators": "40", "plots": "false"})
    platform.publish(WEEKS[0])
    assert platform.tick() == [WEEKS[0]]
    (config,) = platform.configs
    job = build(platform.settings).resolve_job_def(jobs.TRAINING)
    assert dg.validate_run_config(job, config)["ops"]["query_predictor__model"]["config"]["options"] == {
        "n_estimators": "40", "plots": "false",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"trees": "40"}, "--trees 40 is no option of python -m platform_assets.query_predictor.training"),
        ({"n_estimators": "0"}, "--n_estimators must be 1 or more, not 0"),
        ({"features": "elsewhere"}, "features: decided by the week; leave it out"),
    ],
)
def test_options_that_a_training_would_refuse_stop_the_start(given: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingError, match="PLATFORM_TRINO_TRAINING_OPTIONS: ") as caught:
        build(replace(SETTINGS, trino_training_options=given))
    assert reason in str(caught.value)
