"""Folders of files in the lake: brought to this machine under the names they were published with, or found on it.

What does not belong here: what the files mean.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from platform_assets.core.dataset import SCHEMA, TRAINING
from platform_assets.core.digest import digest_files, sha256_of
from platform_assets.core.lake import Lake, Revision


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
    folder = scratch / "datasets" / dataset_version(revision)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SCHEMA).write_bytes(lake.read_side(revision, SCHEMA))
    (folder / TRAINING).unlink(missing_ok=True)
    (folder / TRAINING).symlink_to(lake.fetch(revision, TRAINING, scratch).absolute())
    return folder


def dataset_version(revision: Revision) -> str:
    """The date that names a dataset, the end of its window."""
    return revision.address.path.rpartition("/")[2]


def files_of(folder: Path) -> dict[str, Path]:
    """Every file below a folder, by its relative name."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def folder_digest(folder: Path) -> str:
    """The digest that `Lake.publish_files` gives to a folder's files."""
    return digest_files((name, sha256_of(path)) for name, path in files_of(folder).items())


def local_manifest(path: Path) -> dict[str, Any]:
    """What a published folder on this machine says of itself; nothing for any other path."""
    file = path / "manifest.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def remedy(path: Path, asset: str) -> str:
    """What to do about a file of an asset that is not whole, by where it lies: in the lake on this machine, or in a copy."""
    revision = _revision_folder(path)
    if revision is None:
        return f"it is a copy: copy it again, or fetch it again from the lake's {asset}"
    again = f"materialise {asset} of {revision.parent.parent.name} again"
    if not path.exists():
        return f"it belongs to the lake's revision folder {revision}: {again}"
    # Of a digest that is published already the lake looks at the files' sizes alone.
    rule = "one that is there in its full size is not written again"
    return f"remove this file, which lies in the lake's revision folder {revision}, then {again}; {rule}"


def _revision_folder(path: Path) -> Path | None:
    """Of a file that lies in a published folder, or is a link to one there, the folder of its revision."""
    found = path.resolve()
    revisions = (parent for parent in found.parents if parent.name == "revisions" and local_manifest(parent.parent))
    home = next(revisions, None)
    return home / found.relative_to(home).parts[0] if home else None


def local_file(path: Path, name: str) -> Path:
    """The file that a path on a command line stands for: itself, or of a folder the file of this name, where its manifest says."""
    if not path.is_dir():
        return path
    files = local_manifest(path).get("files", ())
    return next((path / file["path"] for file in files if file["name"] == name), path / name)


def local_folder(path: Path, target: Path) -> Path:
    """The folder that a path on a command line stands for: itself, or of a published one its files, linked below `target`."""
    files = local_manifest(path).get("files", ())
    for file in files:
        link = target / file["name"]
        link.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process of the same training was first
            link.symlink_to((path / file["path"]).absolute())
    return target if files else path
