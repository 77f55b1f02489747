"""What the world model's asset files share: keys, owners, the resource of the raw files, revisions of upstream partitions.

Names only, and reading of manifests; anything with a meaning belongs to the domain modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.lake import Lake, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import checks, partitions, upstream
from platform_assets.orchestration.weekly_assets import address as address
from platform_assets.world_model import splits
from platform_assets.world_model.splits import Split

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.world_model.raw_weeks import RawWeeks

GROUP = "world_model"
OWNERS = ["team:ml-platform"]
TRANSACTIONS = dg.AssetKey(["world_model", "transactions"])
QUARANTINED_TRANSACTIONS = dg.AssetKey(["world_model", "quarantined_transactions"])
BASKETS = dg.AssetKey(["world_model", "baskets"])
PRODUCT_EMBEDDINGS = dg.AssetKey(["world_model", "product_embeddings"])
CUSTOMER_FEATURES = dg.AssetKey(["world_model", "customer_features"])
STORE_FEATURES = dg.AssetKey(["world_model", "store_features"])
PRICES = dg.AssetKey(["world_model", "prices"])
TENSOR_CACHE = dg.AssetKey(["world_model", "tensor_cache"])
MODEL = dg.AssetKey(["world_model", "model"])
REPLAY_SCORES = dg.AssetKey(["world_model", "replay_scores"])
POLICY_VERSION = dg.AssetKey(["world_model", "policy_version"])


class RetailSourceResource(dg.ConfigurableResource):
    """The raw files: a folder or s3://bucket/prefix with time.csv."""

    url: str | None = None

    def open(self, engine: Engine, weeks: Sequence[str], scratch: Path) -> RawWeeks:
        """The raw rows of the weeks that one run asks for."""
        from platform_assets.world_model.raw_files import RawFolder
        from platform_assets.world_model.raw_weeks import RawWeeks

        with raw_data_errors():
            return RawWeeks(
                RawFolder(self.url or Settings.from_environment().retail_source), engine, tuple(weeks), scratch
            )


@contextmanager
def raw_data_errors() -> Iterator[None]:
    """Raw data that a person must mend ends the step, whatever retries it may have."""
    from platform_assets.world_model.raw_schema import RawDataError

    try:
        yield
    except RawDataError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def published(lake: Lake, asset: dg.AssetKey, keys: Iterable[str]) -> dict[str, Revision]:
    """The current revision of each published partition, in order (`orchestration.upstream`)."""
    return upstream.published(lake, (address(asset, key) for key in keys))


def require(lake: Lake, asset: dg.AssetKey, partition: str, purpose: str) -> Revision:
    """The current revision of one partition. Raises dg.Failure when it was not published."""
    return upstream.require(lake, [address(asset, partition)], purpose)[partition]


def known_weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The weeks that what is made for a split is keyed by: its last week known."""
    return partitions.retail_known_weekly(settings, splits.LEAST_WEEKS)


def split(settings: Settings, week: str) -> Split:
    """The split whose last week known is `week`."""
    return splits.split_weeks(partitions.retail_weeks_up_to(week, partitions.retail_first_week(settings)), week)


def require_weeks(
    lake: Lake, asset: dg.AssetKey, weeks: Sequence[str], required: Sequence[checks.Check], purpose: str
) -> dict[str, Revision]:
    """The revisions of weeks, in order. Raises dg.Failure unless all are published and passed their blocking checks."""
    found = upstream.require(lake, (address(asset, week) for week in weeks), purpose)
    for week, revision in found.items():
        checks.require_passed(asset, week, revision, required)
    return found


def fetch_all(lake: Lake, revisions: Mapping[str, Revision], name: str, scratch: Path) -> dict[str, Path]:
    """Week -> local path of one file of its revision."""
    return {week: lake.fetch(revision, name, scratch) for week, revision in revisions.items()}
