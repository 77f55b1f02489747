"""What the planner's asset files share: keys, owners, the revisions of upstream partitions.

Names only, and reading of manifests; anything with a meaning belongs to the domain modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import dagster as dg

from platform_assets.core.lake import Address, Lake, Revision
from platform_assets.core.settings import Settings

GROUP = "planner"
OWNERS = ["team:ml-platform"]
EVENTS = dg.AssetKey(["planner", "events"])
QUARANTINED_EVENTS = dg.AssetKey(["planner", "quarantined_events"])
ENRICHED_PLANS = dg.AssetKey(["planner", "enriched_plans"])
DATASET = dg.AssetKey(["planner", "dataset"])


def writer_pool(settings: Settings) -> str | None:
    """The pool (one slot, see dagster.yaml) of what publishes to a lake that cannot compare-and-swap."""
    return "lake_single_writer" if settings.lake_single_writer else None


def address(asset: dg.AssetKey, partition: str) -> Address:
    """Where a partition of an asset lies in the lake."""
    return Address(asset.to_user_string(), partition)


def published(lake: Lake, asset: dg.AssetKey, days: Iterable[str]) -> dict[str, Revision]:
    """The current revision of each published day, in order; days that are not published are absent."""
    found = {day: lake.current(address(asset, day)) for day in days}
    return {day: revision for day, revision in found.items() if revision is not None}


def require(lake: Lake, asset: dg.AssetKey, days: Iterable[str], purpose: str) -> dict[str, Revision]:
    """As `published`, but raises dg.Failure naming the days that are missing: nothing is built on an incomplete window."""
    days = list(days)
    found = published(lake, asset, days)
    if missing := [day for day in days if day not in found]:
        raise dg.Failure(
            f"{purpose} needs {asset.to_user_string()} for every day; missing: {', '.join(missing)}. "
            "Materialise those days first.",
            allow_retries=False,
        )
    return found


def fetch_all(lake: Lake, revisions: Mapping[str, Revision], name: str, scratch: Path) -> list[Path]:
    """Local paths of one file of each revision."""
    return [lake.fetch(revision, name, scratch) for revision in revisions.values()]
