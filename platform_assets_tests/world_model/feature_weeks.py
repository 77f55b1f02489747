"""Weeks of transactions for tests of features: rows as the extraction leaves them, their baskets, a lake that holds both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.core.lake import Lake, Lineage, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.world_model import baskets
from platform_assets.world_model.assets import baskets as baskets_asset
from platform_assets.world_model.assets import transactions as transactions_asset
from platform_assets.world_model.assets.common import BASKETS, TRANSACTIONS, RetailSourceResource, address
from platform_assets.world_model.limits import Limits

FIRST = date(2006, 4, 10)
TEXTS = (
    "prod_code", "prod_code_10", "prod_code_20", "prod_code_30", "prod_code_40", "cust_code", "seg_1", "seg_2",
    "cust_price_sensitivity", "cust_lifestage", "basket_size", "basket_price_sensitivity", "basket_type",
    "basket_dominant_mission", "store_code", "store_format", "store_region",
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("shop_week", pa.int32()), ("shop_date", pa.date32()), ("shop_weekday", pa.int8()), ("shop_hour", pa.int8()),
        ("quantity", pa.int32()), ("spend", pa.float64()), ("basket_id", pa.int64()),
        *((name, pa.string()) for name in TEXTS),
    ]
)  # fmt: skip
Row = dict[str, Any]


def week_keys(count: int) -> list[str]:
    """The first weeks of the calendar."""
    return [(FIRST + timedelta(weeks=n)).isoformat() for n in range(count)]


def sale(week: int = 0, basket: int = 1, product: int = 1, day: int = 0, **changed: Any) -> Row:
    """One typed row; `week` and `day` count from 0, numbers of baskets from 1 in each week."""
    when = FIRST + timedelta(weeks=week, days=day)
    found: Row = dict.fromkeys(SCHEMA.names)
    return found | {
        "shop_week": 200607 + week, "shop_date": when, "shop_weekday": (when.weekday() + 1) % 7 + 1, "shop_hour": 10,
        "quantity": 1, "spend": 1.25, "basket_id": 1_000_000 * (week + 1) + basket, "prod_code": f"PRD{product:07}",
        "prod_code_10": f"CL{product % 7:05}", "prod_code_20": "DEP00001", "prod_code_30": "G00001",
        "prod_code_40": f"D{product % 3:05}", "cust_code": "CUST0000000001", "seg_1": "CT", "basket_size": "S",
        "basket_price_sensitivity": "MM", "basket_type": "Small Shop", "basket_dominant_mission": "Fresh",
        "store_code": "STORE00001", "store_format": "LS", "store_region": "W01", **changed,
    }  # fmt: skip


def write_week(path: Path, rows: Iterable[Row]) -> Path:
    """A week's transactions."""
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path)
    return path


def write_weeks(folder: Path, weeks: Sequence[Iterable[Row]]) -> dict[str, Path]:
    """A transactions file for each week, oldest first."""
    folder.mkdir(parents=True, exist_ok=True)
    keyed = zip(week_keys(len(weeks)), weeks, strict=True)
    return {key: write_week(folder / f"{key}.parquet", rows) for key, rows in keyed}


def write_baskets(engine: Engine, transactions: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """The baskets of each week."""
    files = {}
    for key, path in transactions.items():
        (folder / key).mkdir(parents=True, exist_ok=True)
        files[key] = baskets.build_week(engine, path, folder / key)
    return files


@dataclass(frozen=True)
class FeatureWorld:
    """A lake with published weeks, and what a feature asset needs to run."""

    folder: Path
    weeks: int

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    @property
    def settings(self) -> Settings:
        end = FIRST + timedelta(weeks=self.weeks)
        return Settings.from_environment({"PLATFORM_RETAIL_START": FIRST.isoformat(), "PLATFORM_RETAIL_END": f"{end}"})

    def publish(self, weeks: Mapping[int, Iterable[Row]], are_passed: bool = True) -> None:
        """Publish weeks, by their position in the calendar; their checks passed or failed."""
        engine, keys = Engine(self.folder / "scratch", threads=1), week_keys(self.weeks)
        for position, rows in weeks.items():
            transactions = write_week(self.folder / "transactions.parquet", rows)
            found = baskets.build_week(engine, transactions, self.folder)
            for asset, path, declared in (
                (TRANSACTIONS, transactions, transactions_asset.CHECKS),
                (BASKETS, found, baskets_asset.CHECKS),
            ):
                details = {"checks": {each.name: _outcome(are_passed) for each in declared}}
                lineage = Lineage(inputs=(), code_version="1", run_id="test", details=details)
                self.lake.publish_table(address(asset, keys[position]), {path.name: path}, lineage)

    def run(self, asset: dg.AssetsDefinition, week: str) -> dg.ExecuteInProcessResult:
        """Materialise one partition of a feature asset."""
        settings = self.settings
        definitions = dg.Definitions(
            assets=[transactions_asset.build(settings, Limits()), baskets_asset.build(settings), asset],
            resources={
                "lake": LakeResource(url=str(self.folder / "lake")),
                "engine": EngineResource(scratch=str(self.folder / "scratch"), threads=1),
                "retail": RetailSourceResource(url=str(self.folder)),
            },
        )
        with dg.DagsterInstance.ephemeral() as instance:
            job = definitions.resolve_implicit_global_asset_job_def()
            return job.execute_in_process(
                instance=instance, partition_key=week, asset_selection=[asset.key], raise_on_error=False
            )

    def revision(self, asset: dg.AssetsDefinition, week: str) -> Revision:
        """What a run published."""
        found = self.lake.current(address(asset.key, week))
        assert found
        return found

    def file(self, asset: dg.AssetsDefinition, week: str, name: str) -> Path:
        """A published file."""
        return self.lake.fetch(self.revision(asset, week), name, self.folder / "read")


def passed(result: dg.ExecuteInProcessResult, declared: Iterable[checks.Check]) -> bool:
    """Whether the run succeeded with every declared check evaluated and passed."""
    found = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    return result.success and found == {check.name: True for check in declared}


def reason_of_failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step said."""
    (step,) = result.get_step_failure_events()
    failure = step.step_failure_data
    return f"{failure.user_failure_data.description if failure.user_failure_data else failure.error}"


def _outcome(is_passed: bool) -> dict[str, Any]:
    return {"passed": is_passed, "warning": False, "reason": "" if is_passed else "made to fail"}
