"""A lake, an instance and a log for tests of the assets, from Trino's log to a week's model; the services where a test has any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.lake import Lake, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitioned
from platform_assets.orchestration.resources import EngineResource, LakeResource, MlflowResource, WarehouseResource
from platform_assets.query_predictor.assets.common import TrinoSourceResource, address
from platform_assets.query_predictor.assets.jobs import DAYS
from platform_assets.query_predictor.definitions import build
from platform_assets.query_predictor.query_rows import QUERIES

Row = dict[str, Any]


@dataclass
class FrontWorld:
    """Where runs read and publish, and what of it tests read; `log`, where the settings do not name it.

    Without `mlflow_uri` there is none, nor a registry: the models' assets have none to run with.
    """

    folder: Path
    instance: dg.DagsterInstance
    settings: Settings
    log: str = ""
    lake_url: str = ""
    mlflow_uri: str = ""

    @property
    def lake(self) -> Lake:
        return Lake(self.lake_url or self.folder / "lake")

    @property
    def definitions(self) -> dg.Definitions:
        return build(
            self.settings,
            {
                "lake": LakeResource(url=self.lake.root),
                "engine": EngineResource(scratch=str(self.folder / "scratch"), threads=1),
                "trino": TrinoSourceResource(url=self.log or self.settings.trino_source),
                **self._services(),
            },
        )

    def _services(self) -> dict[str, Any]:
        if not self.mlflow_uri:
            return {}
        return {
            "warehouse": WarehouseResource(url=self.settings.warehouse_url),
            "mlflow": MlflowResource(tracking_uri=self.mlflow_uri),
        }

    def run_days(self, first: str, last: str, **configuration: Any) -> dg.ExecuteInProcessResult:
        """A range of days as one run, with the documented keys of the labels' configuration."""
        tags = {partitioned.RANGE_START: first, partitioned.RANGE_END: last}
        run_config = {"ops": {"query_predictor__labelled_queries": {"config": configuration}}}
        job = self.definitions.resolve_job_def(DAYS)
        return job.execute_in_process(instance=self.instance, tags=tags, run_config=run_config, raise_on_error=False)

    def materialize(self, partition: str, *assets: dg.AssetKey, **configuration: Any) -> dg.ExecuteInProcessResult:
        """One partition of some assets, each with the same configuration."""
        ops = {"__".join(asset.path): {"config": configuration} for asset in assets} if configuration else {}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance, partition_key=partition, asset_selection=list(assets), run_config={"ops": ops},
            raise_on_error=False,
        )  # fmt: skip

    def revision(self, asset: dg.AssetKey, partition: str) -> Revision:
        """What is published."""
        found = self.lake.current(address(asset, partition))
        assert found, (asset, partition)
        return found

    def file(self, asset: dg.AssetKey, partition: str, name: str) -> Path:
        """A published file."""
        return self.lake.fetch(self.revision(asset, partition), name, self.folder / "read")

    def rows(self, asset: dg.AssetKey, partition: str, name: str) -> list[Row]:
        """The rows of a published file."""
        return pq.ParquetFile(self.file(asset, partition, name)).read().to_pylist()


def write_log(path: Path, rows: list[Row]) -> str:
    """A log under the documented names; values of `rows` may break rules, as far as a column's type lets them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([field for field in QUERIES if field.name != "textHash"])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return str(path)


def in_small_groups(log: str, path: Path) -> str:
    """A log's rows, a day or so to a row group: reading a day out of a single group would read them all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pq.read_table(log), path, row_group_size=120)
    return str(path)


def failed(result: dg.ExecuteInProcessResult, asset: dg.AssetKey, partition: str) -> dict[str, str]:
    """The checks of one partition that failed, with what they said."""
    found = _evaluations(result, asset, partition)
    return {name: reason for name, (passed, reason) in found.items() if not passed}


def is_evaluated(
    result: dg.ExecuteInProcessResult, asset: dg.AssetKey, partition: str, declared: tuple[checks.Check, ...]
) -> bool:
    """Whether every declared check was evaluated for the partition."""
    return set(_evaluations(result, asset, partition)) == {check.name for check in declared}


def reason_of_failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step said."""
    (step,) = result.get_step_failure_events()
    failure = step.step_failure_data
    return f"{failure.user_failure_data.description if failure.user_failure_data else failure.error}"


def _evaluations(
    result: dg.ExecuteInProcessResult, asset: dg.AssetKey, partition: str
) -> Mapping[str, tuple[bool, str]]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    found = [event.asset_check_evaluation_data for event in result.all_events if event.event_type == kind]
    return {
        each.check_name: (each.passed, each.description or "")
        for each in found
        if each.asset_key == asset and each.partition == partition
    }
