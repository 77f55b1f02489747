"""What the planner's asset files share: keys, owners, the revisions of upstream partitions.

Names only, and reading of manifests; anything with a meaning belongs to the domain modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import dagster as dg

from platform_assets.core.dataset import dataset_address
from platform_assets.core.lake import Address, Lake, Revision
from platform_assets.orchestration import partitions, upstream

GROUP = "planner"
DATASET_MODEL = "planner"
OWNERS = ["team:ml-platform"]
EVENTS = dg.AssetKey(["planner", "events"])
QUARANTINED_EVENTS = dg.AssetKey(["planner", "quarantined_events"])
ENRICHED_PLANS = dg.AssetKey(["planner", "enriched_plans"])
DATASET = dg.AssetKey(["planner", "dataset"])
RECIPES = dg.AssetKey(["planner", "recipes"])
BASE_MODEL = dg.AssetKey(["planner", "base_model"])
MODEL = dg.AssetKey(["planner", "model"])
REPLAY_SCORES = dg.AssetKey(["planner", "replay_scores"])
POLICY_VERSION = dg.AssetKey(["planner", "policy_version"])


def address(asset: dg.AssetKey, partition: str) -> Address:
    """Where a partition of an asset lies in the lake; datasets at the documented datasets/planner/<end date>."""
    name = asset.to_user_string()
    if asset == DATASET:
        return dataset_address(name, partition, DATASET_MODEL, partitions.dataset_date(partition))
    return Address(name, partition)


def published(lake: Lake, asset: dg.AssetKey, keys: Iterable[str]) -> dict[str, Revision]:
    """The current revision of each published partition, in order (`orchestration.upstream`)."""
    return upstream.published(lake, (address(asset, key) for key in keys))


def require(lake: Lake, asset: dg.AssetKey, keys: Iterable[str], purpose: str) -> dict[str, Revision]:
    """As `published`, but raises dg.Failure naming the partitions that are missing."""
    return upstream.require(lake, (address(asset, key) for key in keys), purpose)


def fetch_all(lake: Lake, revisions: Mapping[str, Revision], name: str, scratch: Path) -> list[Path]:
    """Local paths of one file of each revision."""
    return [lake.fetch(revision, name, scratch) for revision in revisions.values()]
