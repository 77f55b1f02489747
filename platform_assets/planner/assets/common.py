"""What the planner's asset files share: keys, owners, the revisions of upstream partitions.

Names only, and reading of manifests; anything with a meaning belongs to the domain modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from platform_assets.core.dataset import SCHEMA, TRAINING, dataset_address
from platform_assets.core.lake import Address, Lake, Publication, Revision
from platform_assets.core.settings import Settings
from platform_assets.orchestration import partitions
from platform_assets.orchestration.resources import MlflowResource, WarehouseResource

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


# One training or replay at a time (dagster.yaml): each takes all the cores or the accelerator that there are.
TRAINING_POOL = "planner_training"


def writer_pool(settings: Settings) -> str | None:
    """The pool (one slot, see dagster.yaml) of what publishes to a lake that cannot compare-and-swap."""
    return "lake_single_writer" if settings.lake_single_writer else None


def address(asset: dg.AssetKey, partition: str) -> Address:
    """Where a partition of an asset lies in the lake; datasets at the documented datasets/planner/<end date>."""
    name = asset.to_user_string()
    if asset == DATASET:
        return dataset_address(name, partition, DATASET_MODEL, partitions.dataset_date(partition))
    return Address(name, partition)


def published(lake: Lake, asset: dg.AssetKey, keys: Iterable[str]) -> dict[str, Revision]:
    """The current revision of each published partition, in order; those that are not published are absent."""
    found = {key: lake.current(address(asset, key)) for key in keys}
    return {key: revision for key, revision in found.items() if revision is not None}


def require(lake: Lake, asset: dg.AssetKey, keys: Iterable[str], purpose: str) -> dict[str, Revision]:
    """As `published`, but raises dg.Failure naming the partitions that are missing: nothing is built on an incomplete window."""
    keys = list(keys)
    found = published(lake, asset, keys)
    if missing := [key for key in keys if key not in found]:
        raise dg.Failure(
            f"{purpose} needs {asset.to_user_string()} of {', '.join(missing)}, which was not published. "
            "Materialise it first.",
            allow_retries=False,
        )
    return found


def fetch_all(lake: Lake, revisions: Mapping[str, Revision], name: str, scratch: Path) -> list[Path]:
    """Local paths of one file of each revision."""
    return [lake.fetch(revision, name, scratch) for revision in revisions.values()]


def fetch_folder(lake: Lake, revision: Revision, target: Path) -> Path:
    """A revision's data files under their names below `target`."""
    for file in revision.data_files:
        path = target / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(lake.fetch(revision, file.name, target.parent / "fetched").absolute())
    return target


def fetch_dataset(lake: Lake, revision: Revision, scratch: Path) -> Path:
    """A folder with a dataset's rows and the schema that its reader checks: from S3, `Lake.fetch` brings the rows alone."""
    folder = scratch / "datasets" / revision.address.path.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCHEMA).write_bytes(lake.read_side(revision, SCHEMA))
    (folder / TRAINING).unlink(missing_ok=True)
    (folder / TRAINING).symlink_to(lake.fetch(revision, TRAINING, scratch).absolute())
    return folder


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder, by its relative name."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def files_metadata(publication: Publication) -> dict[str, Any]:
    """What people see of published files."""
    revision = publication.revision
    sizes = {file.name: f"{file.size:,} bytes" for file in revision.data_files}
    return {
        "dagster/uri": dg.MetadataValue.text(revision.uri),
        "digest": revision.digest,
        "changed": publication.digest_changed,
        "files": dg.MetadataValue.json(sizes),
    }


def services(mlflow: MlflowResource, warehouse: WarehouseResource) -> dict[str, str]:
    """The variables by which a program finds the services of this run."""
    return {"MLFLOW_TRACKING_URI": mlflow.resolve_uri(), "PLATFORM_WAREHOUSE_URL": warehouse.open().url}


def words(options: Mapping[str, str]) -> list[str]:
    """A command line's options; one without a value is left out."""
    return [word for name, value in options.items() if value for word in (name, value)]
