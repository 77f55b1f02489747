"""world_model/tensor_cache as Dagster runs it: published whole with its checks, or refused with what to materialise again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from platform_assets.core.folders import files_of
from platform_assets.core.lake import Input, Lake, Lineage, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration.checks import Check
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import baskets, tensor_cache, transactions
from platform_assets.world_model.assets.common import (
    BASKETS,
    CUSTOMER_FEATURES,
    PRICES,
    PRODUCT_EMBEDDINGS,
    STORE_FEATURES,
    TENSOR_CACHE,
    TRANSACTIONS,
    address,
)
from platform_assets.world_model.tensor_cache import TensorCache
from platform_assets_tests.world_model.cache_world import FIRST, SPLIT, WEEKS, some_baskets, write_inputs
from platform_assets_tests.world_model.test_weeks import evaluations, failed, reason_of_failure

LAST = WEEKS[-1]
END = FIRST + timedelta(weeks=len(WEEKS))
SETTINGS = Settings.from_environment(
    {"PLATFORM_RETAIL_START": FIRST.isoformat(), "PLATFORM_RETAIL_END": END.isoformat()}
)


@dataclass
class World:
    """A lake with everything that the cache of the calendar's last week is made of."""

    folder: Path
    instance: dg.DagsterInstance

    @property
    def lake(self) -> Lake:
        return Lake(self.folder / "lake")

    def run(self) -> dg.ExecuteInProcessResult:
        definitions = dg.Definitions(
            assets=[tensor_cache.build(SETTINGS)],
            resources={
                "lake": LakeResource(url=str(self.folder / "lake")),
                "engine": EngineResource(scratch=str(self.folder / "scratch"), threads=1),
            },
            executor=dg.in_process_executor,
        )
        job = definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, partition_key=LAST, raise_on_error=False)

    def publish(
        self, asset: dg.AssetKey, key: str, files: Mapping[str, Path], declared: tuple[Check, ...], inputs: list[Input],
        **failing: str,
    ) -> Revision:  # fmt: skip
        """Publish a partition whose checks passed, but for those named with their reasons."""
        told = {
            check.name: {"passed": check.name not in failing, "warning": False, "reason": failing.get(check.name, "")}
            for check in declared
        }
        lineage = Lineage(tuple(inputs), code_version=str(len(failing)), details={"checks": told})
        return self.lake.publish_files(address(asset, key), files, lineage).revision

    def publish_all(self) -> None:
        """Weeks, and features that name them."""
        inputs = write_inputs(self.folder / "inputs", some_baskets(120))
        weekly: dict[str, list[Input]] = {}
        for week in WEEKS:
            rows = {"transactions.parquet": inputs.transactions[week]}
            first = self.publish(TRANSACTIONS, week, rows, transactions.CHECKS, []).as_input()
            found = {"baskets.parquet": inputs.baskets[week]}
            weekly[week] = [first, self.publish(BASKETS, week, found, baskets.CHECKS, [first]).as_input()]
        for asset, declared in tensor_cache.FEATURES.items():
            read = SPLIT.train if asset in tensor_cache.FITTED_ON_TRAIN else SPLIT.weeks
            files = files_of(getattr(inputs, asset.path[-1]))
            self.publish(asset, LAST, files, declared, [each for week in read for each in weekly[week]])

    def again(self, asset: dg.AssetKey, key: str, **changed: Any) -> None:
        """Publish a partition again with other inputs or failed checks."""
        revision = self.lake.current(address(asset, key))
        assert revision
        files = {file.name: self.lake.fetch(revision, file.name, self.folder / "again") for file in revision.data_files}
        declared = {**tensor_cache.FEATURES, TRANSACTIONS: transactions.CHECKS, BASKETS: baskets.CHECKS}[asset]
        inputs = changed.pop("inputs", list(revision.lineage.inputs))
        self.publish(asset, key, files, tuple(declared), inputs, **changed)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    with dg.DagsterInstance.ephemeral() as instance:
        World(folder, instance).publish_all()
    return folder


@pytest.fixture
def world(tmp_path: Path, published: Path) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(shutil.copytree(published, tmp_path / "world"), instance)


def test_a_split_becomes_a_cache_with_every_check_and_pictures_and_again_changes_nothing(world: World) -> None:
    result = world.run()
    assert result.success
    assert set(evaluations(result, TENSOR_CACHE, LAST)) == {check.name for check in tensor_cache.CHECKS}
    assert failed(result, TENSOR_CACHE, LAST) == {}
    revision = world.lake.current(address(TENSOR_CACHE, LAST))
    assert revision
    assert len(revision.lineage.inputs) == 2 * len(WEEKS) + 4
    cache = TensorCache(world.folder / "lake" / revision.address.path, verify=True)
    assert revision.lineage.details["fingerprint"] == cache.fingerprint
    assert sum(told["baskets"] for told in cache.document["splits"].values()) == 120
    metadata = result.asset_materializations_for_node("world_model__tensor_cache")[0].metadata
    assert {"baskets by week", "baskets by length", "test baskets"} <= set(metadata)
    assert world.run().success
    again = world.lake.current(address(TENSOR_CACHE, LAST))
    assert again
    assert (again.digest, again.created_at) == (revision.digest, revision.created_at)


def test_a_week_or_a_feature_that_is_missing_is_named(world: World) -> None:
    manifest = world.folder / "lake" / address(PRICES, LAST).path / "manifest.json"
    manifest.unlink()
    assert f"tensor_cache of {LAST} needs world_model/prices of {LAST}" in reason_of_failure(world.run())
    for week in WEEKS[3:5]:
        (world.folder / "lake" / address(BASKETS, week).path / "manifest.json").unlink()
    assert f"needs world_model/baskets of {WEEKS[3]}, {WEEKS[4]}, which" in reason_of_failure(world.run())


@pytest.mark.parametrize("asset", [CUSTOMER_FEATURES, STORE_FEATURES, PRICES, PRODUCT_EMBEDDINGS])
def test_a_feature_that_failed_a_blocking_check_is_refused(world: World, asset: dg.AssetKey) -> None:
    check = tensor_cache.FEATURES[asset][0].name
    world.again(asset, LAST, **{check: "made to fail"})
    reason = reason_of_failure(world.run())
    assert f"{asset.to_user_string()} of {LAST} failed a blocking check ({check}: made to fail)" in reason


def test_features_of_a_week_that_was_corrected_since_are_named_to_be_made_again(world: World) -> None:
    week = SPLIT.train[0]
    revision = world.lake.current(address(TRANSACTIONS, week))
    assert revision
    other = {"transactions.parquet": world.folder / "inputs" / WEEKS[5] / "transactions.parquet"}
    world.publish(TRANSACTIONS, week, other, transactions.CHECKS, [])
    reason = reason_of_failure(world.run())
    for asset in ("baskets", "prices", "customer_features", "product_embeddings", "store_features"):
        key = week if asset == "baskets" else LAST
        assert (
            f"world_model/{asset} of {key} was made of other revisions of world_model/transactions of {week}" in reason
        )
    assert "Materialise it again first" in reason


def test_features_that_read_too_few_weeks_or_later_ones_are_refused(world: World) -> None:
    revision = world.lake.current(address(PRICES, LAST))
    assert revision
    inputs = [each for each in revision.lineage.inputs if each.partition != WEEKS[9]]
    world.again(PRICES, LAST, inputs=inputs)
    assert f"world_model/prices of {LAST} was made without {WEEKS[9]}" in reason_of_failure(world.run())
    later = (date.fromisoformat(LAST) + timedelta(weeks=1)).isoformat()
    world.again(PRICES, LAST, inputs=[*revision.lineage.inputs, Input("world_model/transactions", later, "0" * 32)])
    assert f"other revisions of world_model/transactions of {later} than are current" in reason_of_failure(world.run())


def test_features_whose_files_do_not_fit_are_refused_and_a_leak_fails_its_check(world: World) -> None:
    customers = world.lake.current(address(CUSTOMER_FEATURES, LAST))
    assert customers
    files = files_of(world.folder / "inputs" / "customer_features")
    path = files["customer_snapshots.npy"]
    snapshots = np.load(path)
    np.save(path, np.ones_like(snapshots))
    declared, inputs = tensor_cache.FEATURES[CUSTOMER_FEATURES], list(customers.lineage.inputs)
    world.publish(CUSTOMER_FEATURES, LAST, files, declared, inputs)
    leaking = world.run()
    assert list(failed(leaking, TENSOR_CACHE, LAST)) == ["no_leak"]
    np.save(path, snapshots[:, :-1])
    world.publish(CUSTOMER_FEATURES, LAST, files, declared, inputs)
    assert re.search(
        r"customer_snapshots.npy is .* materialise world_model/customer_features", reason_of_failure(world.run())
    )
