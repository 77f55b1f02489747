"""What the world model's asset files share: keys, owners, the resource of the raw files, revisions of upstream partitions.

Names only, and reading of manifests; anything with a meaning belongs to the domain modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from platform_assets.core.lake import Address, Lake, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import upstream

if TYPE_CHECKING:
    from platform_assets.core.engine import Engine
    from platform_assets.world_model.raw_weeks import RawWeeks

GROUP = "world_model"
OWNERS = ["team:ml-platform"]
TRANSACTIONS = dg.AssetKey(["world_model", "transactions"])
QUARANTINED_TRANSACTIONS = dg.AssetKey(["world_model", "quarantined_transactions"])
BASKETS = dg.AssetKey(["world_model", "baskets"])


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


def address(asset: dg.AssetKey, partition: str) -> Address:
    """Where a partition of an asset lies in the lake."""
    return Address(asset.to_user_string(), partition)


def published(lake: Lake, asset: dg.AssetKey, keys: Iterable[str]) -> dict[str, Revision]:
    """The current revision of each published partition, in order (`orchestration.upstream`)."""
    return upstream.published(lake, (address(asset, key) for key in keys))


def require(lake: Lake, asset: dg.AssetKey, partition: str, purpose: str) -> Revision:
    """The current revision of one partition. Raises dg.Failure when it was not published."""
    return upstream.require(lake, [address(asset, partition)], purpose)[partition]
