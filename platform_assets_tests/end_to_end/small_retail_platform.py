"""A small retailer's weeks of raw files, read into a lake, and the world model's jobs run in processes that a test may kill.

Runs and the programs they start have processes of their own, as those of `small_model_platform`, whose words are used here. What
a week's features, model or verdict must be is the tests' business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.core.lake import Revision
from platform_assets.core.model_versions import ModelVersions
from platform_assets.core.registry import PolicyVersion
from platform_assets.core.s3_store import S3Store
from platform_assets.core.settings import Settings
from platform_assets.orchestration import failures
from platform_assets.orchestration.partitioned import RANGE_END, RANGE_START
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.simulators.retailer.scenario import Scenario
from platform_assets.simulators.retailer.world import draw_world
from platform_assets.simulators.retailer.writer import write_weeks
from platform_assets.world_model.assets import (
    common,
    customer_features,
    jobs,
    model,
    policy_version,
    prices,
    product_embeddings,
    replay_scores,
    store_features,
    tensor_cache,
)
from platform_assets.world_model.assets.common import RetailSourceResource
from platform_assets.world_model.definitions import build
from platform_assets.world_model.limits import Limits
from platform_assets.world_model.registration import MODEL
from platform_assets_tests.end_to_end import warm_processes
from platform_assets_tests.end_to_end.small_model_platform import QUIET, Call, ModelPlatform, Told
from platform_assets_tests.end_to_end.small_platform import attempts, words
from platform_assets_tests.postgres import new_database

START = date(2006, 4, 10)
WEEKS = [(START + timedelta(weeks=n)).isoformat() for n in range(39)]
KNOWN = WEEKS[37:]
"""The last weeks known of the two splits that there are; the first has one train week."""
SCENARIO = Scenario(rows=3_900, weeks=len(WEEKS), customers=50, stores=5, products=250, seed=11)
OPTIONS = {
    "width": "16", "heads": "2", "layers": "1", "threads": "1", "purchase_history": "50", "quick_validation_every": "0",
}  # fmt: skip
SMALL = {"epochs": 1, "batch_size": 16, "learning_rate": 0.003, "options": OPTIONS}
DECLARED = {
    common.PRODUCT_EMBEDDINGS: product_embeddings.CHECKS, common.CUSTOMER_FEATURES: customer_features.CHECKS,
    common.STORE_FEATURES: store_features.CHECKS, common.PRICES: prices.CHECKS, common.TENSOR_CACHE: tensor_cache.CHECKS,
    common.MODEL: model.CHECKS, common.REPLAY_SCORES: replay_scores.CHECKS, common.POLICY_VERSION: policy_version.CHECKS,
}  # fmt: skip
"""What is made of a split, in order, and the checks of each."""
# A week has a hundred rows: one more busy Saturday doubles it.
LIMITS = Limits(row_count_factor=5.0)


@dataclass(frozen=True)
class Evaluated:
    """A check as Dagster records it."""

    asset: str
    name: str
    partition: str | None
    passed: bool
    reason: str


@dataclass(frozen=True)
class ToldAll(Told):
    """And what its events hold: checks, and the names of the pictures in each asset's metadata."""

    checks: list[Evaluated] = field(default_factory=list)
    pictures: Mapping[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RetailPlatform(ModelPlatform):
    """The same, of the world model; its raw files are in `raw`."""

    @property
    def raw(self) -> Path:
        return Path(self.settings.retail_source)

    @property
    def models(self) -> dict[str, dict[str, str]]:
        return ModelVersions(self.tracking, MODEL.model_name).all()

    @property
    def policy_versions(self) -> dict[int, PolicyVersion]:
        """By number, version 0 too."""
        return {each.version: each for each in self.registry.versions(MODEL.policy)}

    def current(self, asset: dg.AssetKey, partition: str) -> Revision:
        revision = self.lake.current(common.address(asset, partition))
        assert revision, f"{asset.to_user_string()} of {partition} is not published"
        return revision

    @contextmanager
    def started(self, job: str, first: str, last: str | None = None, **how: Any) -> Iterator[tuple[Any, Connection]]:
        answer, told = warm_processes.PROCESSES.Pipe(duplex=False)
        process = warm_processes.start(_run, self, Call(job, first, last, **how), told)
        told.close()
        try:
            yield process, answer
        finally:
            process.kill()
            process.join()

    def train(self, week: str, last: str | None = None, **how: Any) -> ToldAll:
        """Features, tensor cache and model; `model` in `how` goes over the smallest training's options."""
        given = how.pop("model", {})
        config = {**SMALL, **given, "options": {**OPTIONS, **given.get("options", {})}}
        return self.run(jobs.TRAINING, week, last, config={"ops": {"world_model__model": {"config": config}}}, **how)

    def run(self, job: str, first: str, last: str | None = None, **how: Any) -> ToldAll:
        told = super().run(job, first, last, **how)
        assert isinstance(told, ToldAll)
        return told


@contextmanager
def retail_platform(server: str, folders: pytest.TempPathFactory) -> Iterator[RetailPlatform]:
    """A platform whose weeks are read, and nothing else."""
    home = folders.mktemp("retail")
    source, tracking = new_database(server, "migrated"), new_database(server, "template1")
    settings = replace(
        Settings.from_environment({"PLATFORM_HOME": str(home)}),
        retail_start=START, retail_end=START + timedelta(weeks=len(WEEKS)), retail_source=str(home / "raw"),
        warehouse_url=source, retail_gate_customers=2,
    )  # fmt: skip
    platform = RetailPlatform(settings, tracking.replace("postgresql://", "postgresql+psycopg://", 1))
    for _ in write_weeks(draw_world(SCENARIO), platform.raw, "csv"):
        pass
    experiments = partial(platform.tracking.create_experiments, home / "mlflow")
    told = platform.run(jobs.WEEKS, WEEKS[0], WEEKS[-1], before=experiments)
    assert told.success, told.words
    yield platform


def upload(platform: RetailPlatform, url: str, assets: Mapping[dg.AssetKey, Sequence[str]]) -> None:
    """Partitions of the lake in its folder to a lake on S3."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    store, lake = S3Store(bucket, prefix), Path(platform.settings.lake_url)
    folders = [lake / common.address(asset, week).path for asset, weeks in assets.items() for week in weeks]
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        store.put(str(path.relative_to(lake)), path.read_bytes())


def correct_a_row(path: Path) -> None:
    """A late correction: the first row of a week's raw file was sold twice."""
    header, first, *rest = path.read_text(encoding="utf-8").splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    row |= {"QUANTITY": str(2 * int(row["QUANTITY"])), "SPEND": f"{2 * float(row['SPEND']):.2f}"}
    path.write_text("\n".join([header, ",".join(row.values()), *rest]) + "\n", encoding="utf-8")


def _run(platform: RetailPlatform, call: Call, told: Connection) -> None:
    failures.WAITS_SECONDS = (0.0, 0.0, 0.0)
    os.environ.update(call.environment)
    if not call.real_programs:
        warm_processes.start_programs_warm(call.in_programs)
    if call.before:
        call.before()
    job = build(platform.settings, _resources(platform), LIMITS).resolve_job_def(call.job)
    tags = {RANGE_START: call.first, RANGE_END: call.last} if call.last else {}
    with dg.DagsterInstance.ephemeral(tempdir=str(platform.settings.home)) as instance:
        result = job.execute_in_process(
            instance=instance, tags=tags, partition_key=None if call.last else call.first, raise_on_error=False,
            run_config={**QUIET, **call.config}, asset_selection=list(call.assets) or None,
        )  # fmt: skip
    told.send(
        ToldAll(
            result.success, attempts(result), words(result), result.run_id, list(_checks(result)), _pictures(result)
        )
    )


def _resources(platform: RetailPlatform) -> dict[str, Any]:
    settings = platform.settings
    return {
        "lake": LakeResource(url=settings.lake_url),
        "engine": EngineResource(scratch=str(settings.home / "scratch"), threads=1),
        "retail": RetailSourceResource(url=settings.retail_source),
        "warehouse": WarehouseResource(url=settings.warehouse_url),
        "mlflow": MlflowResource(tracking_uri=platform.mlflow_uri),
    }


def _checks(result: dg.ExecuteInProcessResult) -> Iterator[Evaluated]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    for event in result.all_events:
        if event.event_type == kind:
            found = event.asset_check_evaluation_data
            asset, reason = found.asset_key.to_user_string(), found.description or ""
            yield Evaluated(asset, found.check_name, found.partition, found.passed, reason)


def _pictures(result: dg.ExecuteInProcessResult) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for event in result.all_events:
        if event.is_step_materialization:
            made = event.step_materialization_data.materialization
            shown = {name for name, value in made.metadata.items() if str(value.value).startswith("![")}
            found.setdefault(made.asset_key.to_user_string(), set()).update(shown)
    return found
