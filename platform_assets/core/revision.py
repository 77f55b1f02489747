"""What the lake knows about a published partition, and its form in manifest.json and revision.json.

Values only: reading and writing them is lake.py's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from platform_assets.core.stores import Corrupt, LakeError


@dataclass(frozen=True)
class Address:
    """Where one partition of one asset lives: below `path`, which is <asset>/<partition> unless said otherwise."""

    asset: str
    partition: str
    path: str = ""

    def __post_init__(self) -> None:
        if not self.path:
            object.__setattr__(self, "path", f"{self.asset}/{self.partition}")
        require_relative(self.path)


@dataclass(frozen=True)
class Input:
    """A revision that another one was made from."""

    asset: str
    partition: str
    digest: str


@dataclass(frozen=True)
class Lineage:
    """Why a revision is what it is.

    `details` holds whatever can be JSON: check outcomes, counts by rule. All but `run_id` decides whether a publication of
    the same content says anything new.
    """

    inputs: tuple[Input, ...] = ()
    source_rows: int | None = None
    source_watermark: str | None = None
    code_version: str = ""
    run_id: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def says_the_same(self, other: Lineage) -> bool:
        """Whether both give the same reasons; who ran it does not matter."""
        mine, theirs = self.document(), other.document()
        return {**mine, "run_id": None} == {**theirs, "run_id": None}

    def document(self) -> dict[str, Any]:
        """As JSON values, inputs in a fixed order. Raises LakeError when `details` cannot be JSON."""
        inputs = sorted(self.inputs, key=lambda item: (item.asset, item.partition, item.digest))
        document = {
            "inputs": [asdict(item) for item in inputs],
            "source_rows": self.source_rows,
            "source_watermark": self.source_watermark,
            "code_version": self.code_version,
            "run_id": self.run_id,
            "details": dict(self.details),
        }
        try:
            return json.loads(json.dumps(document, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise LakeError(f"the lineage's details cannot be written as JSON: {error}") from error


@dataclass(frozen=True)
class File:
    """One immutable file; `path` is relative to the manifest's folder. `data` is False for side files (profile.json ...)."""

    name: str
    path: str
    size: int
    sha256: str
    data: bool


@dataclass(frozen=True)
class Revision:
    """One content of one partition, as told by one manifest. `rows` is None for arrays and models."""

    address: Address
    digest: str
    algorithm: str
    rows: int | None
    files: tuple[File, ...]
    schema: tuple[Mapping[str, str], ...]
    lineage: Lineage
    created_at: str
    uri: str

    def as_input(self) -> Input:
        """How a revision made from this one refers to it."""
        return Input(self.address.asset, self.address.partition, self.digest)

    def file(self, name: str) -> File:
        """Raises LakeError naming the files there are."""
        for file in self.files:
            if file.name == name:
                return file
        there = ", ".join(file.name for file in self.files)
        raise LakeError(f"{self.address.path} at {self.digest} has no file {name!r}; it has: {there}")

    @property
    def side_files(self) -> tuple[File, ...]:
        """What is kept beside the data: profile, summary, schema."""
        return tuple(file for file in self.files if not file.data)

    @property
    def data_files(self) -> tuple[File, ...]:
        """The files that the digest covers."""
        return tuple(file for file in self.files if file.data)


@dataclass(frozen=True)
class Publication:
    """What publishing did. `previous` is what was current before; `pointer_moved` is False when nothing was written."""

    revision: Revision
    previous: Revision | None
    digest_changed: bool
    pointer_moved: bool


def to_json(revision: Revision, attempt: str) -> bytes:
    """The manifest's bytes; `attempt` names this one write, so that a writer can tell its own manifest from any other."""
    lineage = revision.lineage.document()
    document = {
        "asset": revision.address.asset,
        "partition": revision.address.partition,
        "digest": revision.digest,
        "algorithm": revision.algorithm,
        "rows": revision.rows,
        "files": [asdict(file) for file in revision.files],
        "schema": [dict(column) for column in revision.schema],
        **lineage,
        "created_at": revision.created_at,
        "attempt": attempt,
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def from_json(content: bytes, address: Address, root: str, key: str) -> Revision:
    """The revision a manifest tells of. Raises Corrupt, naming the key, when it is not one."""
    try:
        found = json.loads(content)
        names = ("source_rows", "source_watermark", "code_version", "run_id", "details")
        lineage = Lineage(tuple(Input(**item) for item in found["inputs"]), **{name: found[name] for name in names})
        files, schema = tuple(File(**file) for file in found["files"]), tuple(found["schema"])
        digest, algorithm, rows = found["digest"], found["algorithm"], found["rows"]
        created_at = found["created_at"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{root}/{key} is not a manifest; remove it and materialise the partition again") from error
    uri = f"{root}/{address.path}/{revision_folder(digest)}"
    return Revision(address, digest, algorithm, rows, files, schema, lineage, created_at, uri)


def revision_folder(digest: str) -> str:
    """Where a digest's immutable files lie, relative to the manifest's folder."""
    return f"revisions/{digest}"


def require_relative(path: str) -> None:
    """Raises LakeError for a path that could leave its folder or hide in it."""
    if not path or any(part in ("", ".", "..") or part.startswith(".") for part in path.split("/")):
        raise LakeError(f"{path!r} is no path within the lake; use names without dots in front, joined by slashes")


def require_names(data: Sequence[str], sides: Sequence[str]) -> None:
    """Raises LakeError when a revision's file names are missing, repeated or unusable."""
    if not data:
        raise LakeError("a revision needs at least one data file; an empty table is a file with 0 rows")
    if twice := set(data) & set(sides):
        raise LakeError(f"{sorted(twice)} are both data and side files")
    for name in (*data, *sides):
        require_relative(name)
