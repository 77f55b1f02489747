"""The customers of a split as Dagster publishes them: out of checked weeks, once, and refused without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.core.lake import Lake, Lineage
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model.assets import baskets as baskets_asset
from platform_assets.world_model.assets import customer_features as asset
from platform_assets.world_model.assets import product_embeddings as embeddings_asset
from platform_assets.world_model.assets import transactions as transactions_asset
from platform_assets.world_model.assets.common import (
    BASKETS,
    CUSTOMER_FEATURES,
    PRODUCT_EMBEDDINGS,
    TRANSACTIONS,
    address,
)
from platform_assets.world_model.customer_features import CUSTOMERS, SEGMENTS, SNAPSHOTS
from platform_assets.world_model.splits import split_weeks
from platform_assets_tests.world_model.customer_visits import A_FEW, WEEKS, write_products, write_weeks

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
SETTINGS = Settings.from_environment({"PLATFORM_RETAIL_START": WEEKS[0], "PLATFORM_RETAIL_END": "2007-01-01"})


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with 38 weeks of rows and the products of the last one."""
    folder = tmp_path_factory.mktemp("lake")
    lake, split = Lake(folder / "lake"), split_weeks(WEEKS, WEEKS[-1])
    weeks = write_weeks(A_FEW, split, folder)
    for key, files, name, declared in (
        (TRANSACTIONS, weeks.transactions, "transactions.parquet", transactions_asset.CHECKS),
        (BASKETS, weeks.baskets, "baskets.parquet", baskets_asset.CHECKS),
    ):
        for week in split.weeks:
            lake.publish_table(address(key, week), {name: files[week]}, passed(declared))
    products, embeddings = write_products(folder)
    files = {products.name: products, embeddings.name: embeddings}
    lake.publish_files(address(PRODUCT_EMBEDDINGS, WEEKS[-1]), files, passed(embeddings_asset.CHECKS))
    return lake


def passed(declared: Sequence[Any], but: str = "") -> Lineage:
    outcomes = [Outcome(check.name, check.name != but, "spoiled") for check in declared]
    return Lineage(details={"checks": to_details(outcomes)})


def materialize(lake: Lake, folder: Path) -> dg.ExecuteInProcessResult:
    resources = {
        "lake": LakeResource(url=lake.root),
        "engine": EngineResource(scratch=str(folder / "scratch"), threads=1),
    }
    return dg.materialize(
        [asset.build(SETTINGS)], partition_key=WEEKS[-1], resources=resources, raise_on_error=False,
    )  # fmt: skip


def test_the_asset_publishes_the_customers_of_a_split_once(lake: Lake, tmp_path: Path) -> None:
    result = materialize(lake, tmp_path)
    assert result.success
    assert {each.check_name for each in result.get_asset_check_evaluations() if each.passed} == {
        check.name for check in asset.CHECKS
    }
    revision = lake.current(address(CUSTOMER_FEATURES, WEEKS[-1]))
    assert revision
    assert {file.name for file in revision.data_files} == {CUSTOMERS, SNAPSHOTS, SEGMENTS}
    assert len(revision.lineage.inputs) == 2 * len(WEEKS) + 1
    assert revision.lineage.details["customers"] == 4
    (materialization,) = result.asset_materializations_for_node("world_model__customer_features")
    assert "data:image/png" in str(materialization.metadata["customers by snapshot"].value)
    assert materialize(lake, tmp_path).success
    again = lake.current(address(CUSTOMER_FEATURES, WEEKS[-1]))
    assert again
    assert again.created_at == revision.created_at


@pytest.mark.parametrize(
    ("key", "week", "name", "declared"),
    [
        (BASKETS, WEEKS[7], "baskets.parquet", baskets_asset.CHECKS),
        (PRODUCT_EMBEDDINGS, WEEKS[-1], "products.parquet", embeddings_asset.CHECKS),
    ],
)
def test_what_failed_a_blocking_check_or_was_not_published_is_not_read(
    lake: Lake, tmp_path: Path, key: dg.AssetKey, week: str, name: str, declared: Sequence[Any]
) -> None:
    before = lake.current(address(key, week))
    assert before
    files = {file.name: lake.fetch(before, file.name, tmp_path) for file in before.data_files}
    publish = lake.publish_table if key == BASKETS else lake.publish_files
    check = next(each.name for each in declared if each.blocking)
    publish(address(key, week), files, passed(declared, check))
    told = reason(materialize(lake, tmp_path))
    publish(address(key, week), files, passed(declared))
    assert f"of {week} failed a blocking check ({check}" in told
    empty = reason(materialize(Lake(tmp_path / "empty"), tmp_path))
    assert f"customer_features of {WEEKS[-1]} needs world_model/transactions of {WEEKS[0]}, " in empty


def reason(result: dg.ExecuteInProcessResult) -> str:
    (step,) = result.get_step_failure_events()
    failure = step.step_failure_data.user_failure_data
    return failure.description or "" if failure else str(step.step_failure_data.error)
