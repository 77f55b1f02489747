"""The shipped log, read and labelled, with a registry and MLflow beside it: where a week's model is made, and judged.

Days are as many as two weeks of models need. Runs are in this process, and the programs that they start in their own. The first
week's model and the features of both weeks are made once for all test files of a process; each file gets a copy. What they, or a
verdict, must be is the tests' business.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.core.model_versions import ModelVersions
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse
from platform_assets.orchestration import partitions
from platform_assets.query_predictor.assets.common import FEATURES, MODEL, TRAINING_SAMPLE, ZERO_COST_CATEGORIES
from platform_assets.query_predictor.registration import MODEL as REGISTERED
from platform_assets_tests.postgres import copy_database, new_database
from platform_assets_tests.query_predictor.front_world import FrontWorld, in_small_groups, reason_of_failure

SHIPPED = Settings.from_environment({"PLATFORM_TRINO_START": "2025-06-07", "PLATFORM_TRINO_END": "2025-07-28"})
WEEK, NEXT = "2025-07-14", "2025-07-21"
"""The weeks that have all days of a sample."""
# A training of a second; the pictures are the longer part of it.
SMALL = {"model": {"n_estimators": 20, "cv_folds": 2}, "options": {"threads": "1", "max_depth": "3"}}
Requested = dict[dg.AssetKey, set[str]]
_MADE: dict[str, Made] = {}


@dataclass
class QueryPlatform(FrontWorld):
    """What runs leave in MLflow and in the registry, beside the lake."""

    cursor: Any = None
    """Of the automation conditions."""

    @property
    def tracking(self) -> Tracking:
        return Tracking(self.mlflow_uri)

    @property
    def models(self) -> dict[str, dict[str, str]]:
        """Version -> tags, as MLflow has them."""
        return ModelVersions(self.tracking, REGISTERED.model_name).all()

    @property
    def policy_versions(self) -> dict[int, PolicyVersion]:
        """By number, version 0 too."""
        registry = Registry(Warehouse(self.settings.warehouse_url or ""))
        return {each.version: each for each in registry.versions(REGISTERED.policy)}

    def read_log(self) -> dg.ExecuteInProcessResult:
        """All days of the calendar, read and labelled in one run."""
        days = partitions.days_in(SHIPPED.trino_start, partitions.day_window(NEXT)[0].date() + timedelta(days=6))
        result = self.run_days(days[0], days[-1])
        assert result.success, reason_of_failure(result)
        return result

    def requested(self) -> Requested:
        """What a tick of automation asks for, of the weekly assets that are no model's."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        weekly = (ZERO_COST_CATEGORIES, TRAINING_SAMPLE, FEATURES)
        found = {asset: result.get_requested_partitions(asset) for asset in weekly}
        return {asset: {str(week) for week in weeks} for asset, weeks in found.items() if weeks}

    def make_features(self, week: str) -> dg.ExecuteInProcessResult:
        """A week's categories, sample and features, in one run."""
        return self.succeed(week, ZERO_COST_CATEGORIES, TRAINING_SAMPLE, FEATURES)

    def train(self, week: str) -> dg.ExecuteInProcessResult:
        """A week's model, the smallest."""
        return self.succeed(week, MODEL, **SMALL)

    def succeed(self, week: str, *assets: dg.AssetKey, **configuration: object) -> dg.ExecuteInProcessResult:
        """As `materialize`, of what must not fail."""
        result = self.materialize(week, *assets, **configuration)
        assert result.success, reason_of_failure(result)
        return result


@dataclass(frozen=True)
class Made:
    """A platform with two weeks of features and the first week's model, and how it came to them."""

    platform: QueryPlatform
    runs: Mapping[str, dg.ExecuteInProcessResult]
    """The days, the first week's samples, its features, its model; then all of the next week but a model."""
    requested: tuple[Requested, Requested]
    """What automation asked for by itself after the days, and after the first week's samples."""


@contextmanager
def query_platform(server: str, folders: pytest.TempPathFactory) -> Iterator[Made]:
    """A copy, with an instance that knows of no run."""
    made = _MADE.get(server) or _MADE.setdefault(server, _make(server, folders.mktemp("made")))
    home, settings = folders.mktemp("queries"), made.platform.settings
    shutil.copytree(settings.lake_url, home / "lake")
    copies = replace(
        settings, home=home, lake_url=str(home / "lake"), warehouse_url=copy_database(server, settings.warehouse_url or "")
    )  # fmt: skip
    tracking = copy_database(server, made.platform.mlflow_uri.replace("+psycopg", "", 1))
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        uri = tracking.replace("postgresql://", "postgresql+psycopg://", 1)
        copied = replace(made.platform, folder=home, instance=instance, settings=copies, mlflow_uri=uri)
        yield replace(made, platform=copied)


def _make(server: str, home: Path) -> Made:
    with dg.DagsterInstance.ephemeral(tempdir=str(home)) as instance:
        platform = opened(server, home, instance)
        runs = {"days": platform.read_log()}
        after_days = platform.requested()
        runs["samples"] = platform.succeed(WEEK, ZERO_COST_CATEGORIES, TRAINING_SAMPLE)
        after_samples = platform.requested()
        runs["features"] = platform.succeed(WEEK, FEATURES)
        runs["model"] = platform.train(WEEK)
        runs["next"] = platform.make_features(NEXT)
    return Made(platform, runs, (after_days, after_samples))


def opened(server: str, home: Path, instance: dg.DagsterInstance) -> QueryPlatform:
    """The shipped log, services of its own, and an empty lake."""
    warehouse, tracking = new_database(server, "migrated"), new_database(server, "template1")
    settings = replace(
        SHIPPED,
        home=home,
        lake_url=str(home / "lake"),
        warehouse_url=warehouse,
        trino_gate_rows=20,
        trino_gate_templates=10,
    )
    log = in_small_groups(SHIPPED.trino_source, home / "log.parquet")
    uri = tracking.replace("postgresql://", "postgresql+psycopg://", 1)
    platform = QueryPlatform(home, instance, settings, log, mlflow_uri=uri)
    platform.tracking.create_experiments(home / "mlflow")
    return platform
