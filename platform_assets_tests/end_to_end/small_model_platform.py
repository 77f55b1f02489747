"""A small platform with three weeks of datasets, and its model's jobs run in processes that a test may kill.

Every run has a process of its own (`warm_processes`), and so have the programs that it starts; `real_programs` leaves these as
they are in production. Datasets and the first week's model are made once for all test files of a process; each file gets a copy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.types.json import Jsonb

from platform_assets.core.lake import Lake, Revision
from platform_assets.core.model_versions import ModelVersions
from platform_assets.core.registry import PolicyVersion, Registry
from platform_assets.core.settings import Settings
from platform_assets.core.tracking import Tracking
from platform_assets.core.warehouse import Warehouse
from platform_assets.orchestration import failures, partitions
from platform_assets.orchestration.partitioned import RANGE_END, RANGE_START
from platform_assets.orchestration.resources import (
    EngineResource,
    LakeResource,
    MlflowResource,
    SourceResource,
    WarehouseResource,
)
from platform_assets.planner import registration
from platform_assets.planner.assets import common, jobs
from platform_assets.planner.baselines import HeuristicPlanner, HeuristicWeights
from platform_assets.planner.definitions import build
from platform_assets.planner.registration import MODEL_NAME, POLICY
from platform_assets.simulators.meal_app import Scenario, load, simulate
from platform_assets_tests.end_to_end import warm_processes
from platform_assets_tests.end_to_end.small_platform import attempts, words
from platform_assets_tests.postgres import new_database

START, END = date(2026, 1, 2), date(2026, 1, 23)
WEEKS = ("2026-01-02", "2026-01-09", "2026-01-16")
SCENARIO = Scenario(seed=11, households=60, start=START, weeks=len(WEEKS))
RUN_SECONDS = 600
# The number of a planner that loses; far above those of the models.
WEAK = 90
_FILLED: dict[str, ModelPlatform] = {}
_TRAINED: dict[str, ModelPlatform] = {}
QUIET = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}


@dataclass(frozen=True)
class Told:
    """What a run said of itself before its process ended."""

    success: bool
    attempts: int
    words: str
    """Of its failures and retries, cause by cause."""
    run_id: str


@dataclass(frozen=True)
class Call:
    """One job for one partition, or a range of them."""

    job: str
    first: str
    last: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[], object] | None = None
    """Called in the run's process first: a function of a test module, which may replace others by such that kill."""
    environment: Mapping[str, str] = field(default_factory=dict)
    in_programs: Callable[[], object] | None = None
    """As `before`, in the programs that the run starts."""
    real_programs: bool = False
    assets: Sequence[dg.AssetKey] = ()
    """Of the job, these alone."""


@dataclass(frozen=True)
class ModelPlatform:
    """Settings and services; `replace` gives the same with others."""

    settings: Settings
    mlflow_uri: str

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake_url)

    @property
    def tracking(self) -> Tracking:
        return Tracking(self.mlflow_uri)

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.warehouse_url or "")

    @property
    def registry(self) -> Registry:
        return Registry(self.warehouse)

    @property
    def models(self) -> dict[str, dict[str, str]]:
        """Version -> tags, as MLflow has them."""
        return ModelVersions(self.tracking, MODEL_NAME).all()

    @property
    def policy_versions(self) -> dict[int, PolicyVersion]:
        """By number, without the heuristic planners."""
        return {each.version: each for each in self.registry.versions(POLICY) if each.model_version}

    def current(self, asset: dg.AssetKey, partition: str) -> Revision:
        """What is published; there is something."""
        revision = self.lake.current(common.address(asset, partition))
        assert revision, f"{asset.to_user_string()} of {partition} is not published"
        return revision

    def with_lake(self, url: str) -> ModelPlatform:
        """The same with a lake elsewhere."""
        return replace(self, settings=replace(self.settings, lake_url=url))

    def run(self, job: str, first: str, last: str | None = None, **how: Any) -> Told:
        """Run a job to its end; `how` are the other fields of Call."""
        with self.started(job, first, last, **how) as (process, answer):
            assert answer.poll(RUN_SECONDS), f"{job} {first} takes too long"
            try:
                return answer.recv()
            except EOFError:
                process.join()
                raise AssertionError(f"{job} {first} ended with {process.exitcode}") from None

    def killed(self, job: str, first: str, **how: Any) -> int:
        """Run a job whose process is killed on the way; its exit code."""
        with self.started(job, first, **how) as (process, _):
            process.join(RUN_SECONDS)
            return process.exitcode or 0

    @contextmanager
    def started(self, job: str, first: str, last: str | None = None, **how: Any) -> Iterator[tuple[Any, Connection]]:
        """A run's process, and where it will answer."""
        answer, told = warm_processes.PROCESSES.Pipe(duplex=False)
        process = warm_processes.start(_run, self, Call(job, first, last, **how), told)
        told.close()
        try:
            yield process, answer
        finally:
            process.kill()
            process.join()

    def train(self, week: str, **how: Any) -> Told:
        """The week's base model, model and registration; `base` and `model` in `how` go over the smallest training's."""
        given = {"epochs": 1, "options": {"threads": "1"}, **how.pop("model", {})}
        base = how.pop("base", {})
        config = {"ops": {"planner__base_model": {"config": base}, "planner__model": {"config": given}}}
        return self.run(jobs.TRAINING, week, config=config, **how)

    def judge(self, week: str, **how: Any) -> Told:
        """The week's replay and policy version."""
        return self.run(jobs.JUDGEMENT, week, **how)

    @contextmanager
    def weak_baseline(self) -> Iterator[None]:
        """A heuristic planner serves for a while that takes what nobody asked for nor ever ate, dear, and lets the pantry spoil.

        It logged no row, so that all of them judge. In the registry, and not in a replay's options: it is the active version.
        """
        weak = Jsonb(HeuristicPlanner(HeuristicWeights(-1.0, -2.0, 5.0, -0.5)).document())
        policy = registration.MODEL.ensure_policy(self.warehouse)
        self.rows(
            "INSERT INTO exp.policy_versions (policy_id, version, config_defaults, status) VALUES (%s, %s, %s, 'active')"
            " ON CONFLICT (policy_id, version) DO UPDATE SET status = 'active' RETURNING id", policy, WEAK, weak,
        )  # fmt: skip
        try:
            yield
        finally:
            self.rows("UPDATE exp.policy_versions SET status = 'deprecated' WHERE version = %s RETURNING id", WEAK)

    def rows(self, statement: str, *values: Any) -> list[tuple]:
        """What Postgres answers."""
        with psycopg.connect(self.settings.warehouse_url or "") as connection:
            return connection.execute(statement.encode(), values).fetchall()


@contextmanager
def model_platform(server: str, folders: pytest.TempPathFactory, is_trained: bool = False) -> Iterator[ModelPlatform]:
    """A platform whose weeks have datasets and catalogues, and no model yet, or the smallest of the first week."""
    filled = _FILLED.get(server) or _FILLED.setdefault(server, _fill(server, folders.mktemp("filled")))
    if is_trained and server not in _TRAINED:
        _TRAINED[server] = _train(server, folders.mktemp("trained"), filled)
    yield _copy(server, folders.mktemp("home"), _TRAINED[server] if is_trained else filled)


def _copy(server: str, home: Path, of: ModelPlatform) -> ModelPlatform:
    shutil.copytree(of.settings.lake_url, home / "lake")
    source = new_database(server, _name(of.settings.warehouse_url or ""))
    return _platform(home, source, new_database(server, _name(of.mlflow_uri)))


def _train(server: str, home: Path, filled: ModelPlatform) -> ModelPlatform:
    platform = _copy(server, home, filled)
    told = platform.train(WEEKS[0])
    assert told.success, told.words
    return platform


def _fill(server: str, home: Path) -> ModelPlatform:
    source, tracking = new_database(server, "migrated"), new_database(server, "template1")
    platform = _platform(home, source, tracking)
    load(simulate(SCENARIO), source)
    days = partitions.days_in(START, date.fromisoformat(partitions.days_of_week(WEEKS[-1])[-1]))
    # In the run's process, like all that connects to MLflow's database: one that is in use cannot be copied.
    experiments = partial(platform.tracking.create_experiments, home / "mlflow")
    for job, first, last in ((jobs.DAYS, days[0], days[-1]), (jobs.WEEKS, WEEKS[0], WEEKS[-1])):
        told = platform.run(job, first, last, before=experiments)
        assert told.success, told.words
    return platform


def _platform(home: Path, source: str, tracking: str) -> ModelPlatform:
    settings = replace(
        Settings.from_environment({"PLATFORM_HOME": str(home)}),
        planner_start=START, planner_end=END, planner_minimum_rows=1, source_url=source, warehouse_url=source,
        planner_tiny_steps=3, planner_gate_rows=20, planner_gate_households=10,
    )  # fmt: skip
    return ModelPlatform(settings, tracking.replace("postgresql://", "postgresql+psycopg://", 1))


def _name(url: str) -> str:
    return psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))["dbname"]  # type: ignore[return-value]


def _run(platform: ModelPlatform, call: Call, told: Connection) -> None:
    failures.WAITS_SECONDS = (0.0, 0.0, 0.0)
    os.environ.update(call.environment)
    if not call.real_programs:
        warm_processes.start_programs_warm(call.in_programs)
    if call.before:
        call.before()
    settings = platform.settings
    resources = {
        "lake": LakeResource(url=settings.lake_url),
        "engine": EngineResource(scratch=str(settings.home / "scratch")),
        "source": SourceResource(url=settings.source_url),
        "warehouse": WarehouseResource(url=settings.warehouse_url),
        "mlflow": MlflowResource(tracking_uri=platform.mlflow_uri),
    }
    job = build(settings, resources).resolve_job_def(call.job)
    tags = {RANGE_START: call.first, RANGE_END: call.last} if call.last else {}
    with dg.DagsterInstance.ephemeral(tempdir=str(settings.home)) as instance:
        result = job.execute_in_process(
            instance=instance, tags=tags, partition_key=None if call.last else call.first, raise_on_error=False,
            run_config={**QUIET, **call.config}, asset_selection=list(call.assets) or None,
        )  # fmt: skip
    told.send(Told(result.success, attempts(result), words(result), result.run_id))
