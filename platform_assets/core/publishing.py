"""The three steps of a publication: files, revision.json, pointer. lake.py's docstring states what they guarantee.

Every effect is one operation of a Store, in a fixed order, so a test that fails or stops a store at its n-th operation
visits every point at which a writer can die. Reading published files is not done here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import uuid4

from platform_assets.core.digest import sha256_of
from platform_assets.core.revision import (
    Address,
    File,
    Lineage,
    Publication,
    Revision,
    from_json,
    revision_folder,
    to_json,
)
from platform_assets.core.stores import Conflict, LakeError, Store

Expected = Revision | None | Literal["any"]
Source = Path | bytes
# Every lost swap is another writer's won one, so this many writers would have to publish the same content at once.
SWAPS = 100


class PublicationConflict(LakeError):
    """Another writer published other content since this one had read; computing again from what is there now may succeed."""


@dataclass(frozen=True)
class Part:
    """A file that is to be published."""

    name: str
    source: Source
    size: int
    sha256: str
    data: bool


@dataclass(frozen=True)
class Content:
    """What a digest covers."""

    digest: str
    algorithm: str
    rows: int | None
    schema: tuple[Mapping[str, str], ...]
    parts: tuple[Part, ...]


class Publisher:
    """Writes to one store; `root` is the lake's address, for messages and uris."""

    def __init__(self, root: str, store: Store) -> None:
        self.root, self.store = root, store

    def publish(
        self, address: Address, content: Content, lineage: Lineage, sides: Mapping[str, Source], expected: Expected,
        top_copies: Sequence[str],
    ) -> Publication:  # fmt: skip
        """Publish, and copy the files named in `top_copies` for people. Raises PublicationConflict."""
        lineage.document()  # raises for what cannot be written, before anything is
        before, parts = self._read(address, pointer_key(address)), to_parts(sides, data=False)
        if before is not None and self._says_it_already(before, content.digest, lineage, parts):
            publication = Publication(before, before, digest_changed=False, pointer_moved=False)
        else:
            base = before if expected == "any" else expected
            candidate = self._record(address, content, lineage, parts)
            publication = self._move_pointer(candidate, base.digest if base else None)
        self._copy_to_top(publication, top_copies)
        return publication

    def _record(self, address: Address, content: Content, lineage: Lineage, sides: Sequence[Part]) -> Revision:
        """Steps 1 and 2; returns what the pointer shall say.

        Of a digest that is recorded already the files are reused, unless they are damaged: then new ones mend the pointer.
        """
        recorded = self._recorded(address, content.digest)
        if recorded is not None and self._is_intact(recorded):
            data = recorded.data_files
        else:
            data = self._upload(address, content.digest, content.parts)
        side_files = self._upload(address, content.digest, sides)
        candidate = Revision(
            address, content.digest, content.algorithm, content.rows, (*data, *side_files), content.schema, lineage,
            datetime.now(UTC).isoformat(), f"{self.root}/{address.path}/{revision_folder(content.digest)}",
        )  # fmt: skip
        if recorded is not None:
            return candidate
        try:
            self.store.create(record_key(address, content.digest), to_json(candidate, uuid4().hex))
        except Exception:
            # Another writer was first, or our own write succeeded and its answer was lost: what is recorded counts.
            if (winner := self._recorded(address, content.digest)) is None:
                raise
            return replace(candidate, files=(*winner.data_files, *side_files))
        return candidate

    def _move_pointer(self, candidate: Revision, base: str | None) -> Publication:
        """Step 3. `base` is the digest that this publication may replace; its own digest it may always replace."""
        key, content, before = pointer_key(candidate.address), to_json(candidate, uuid4().hex), None
        for _ in range(SWAPS):
            found = self.store.read(key)
            if found and found[0] == content:
                return _moved(candidate, before)
            before = from_json(found[0], candidate.address, self.root, key) if found else None
            if before is not None and self._says_it_already(
                before, candidate.digest, candidate.lineage, candidate.side_files
            ):
                return Publication(before, before, digest_changed=False, pointer_moved=False)
            there = before.digest if before else None
            if there not in (base, candidate.digest):
                raise PublicationConflict(_conflict(candidate, base, there))
            try:
                self.store.swap(key, content, found[1]) if found else self.store.create(key, content)
                return _moved(candidate, before)
            except Conflict:
                continue
            except Exception:
                if (now := self.store.read(key)) is None or now[0] != content:
                    raise
                return _moved(candidate, before)
        raise PublicationConflict(f"the pointer of {candidate.address.path} changed {SWAPS} times under this writer")

    def _says_it_already(self, there: Revision, digest: str, lineage: Lineage, sides: Sequence[Part | File]) -> bool:
        published = {(file.name, file.sha256) for file in there.side_files}
        same_sides = published == {(side.name, side.sha256) for side in sides}
        return there.digest == digest and there.lineage.says_the_same(lineage) and same_sides and self._is_intact(there)

    def _is_intact(self, revision: Revision) -> bool:
        return all(self.store.size(file_key(revision.address, file)) == file.size for file in revision.files)

    def _upload(self, address: Address, digest: str, parts: Sequence[Part]) -> tuple[File, ...]:
        files = []
        for part in parts:
            path = f"{revision_folder(digest)}/{part.sha256[:16]}/{part.name}"
            write = self.store.put if isinstance(part.source, bytes) else self.store.put_file
            write(f"{address.path}/{path}", part.source)  # pyright: ignore[reportArgumentType] - chosen by its type
            files.append(File(part.name, path, part.size, part.sha256, part.data))
        return tuple(files)

    def _copy_to_top(self, publication: Publication, names: Sequence[str]) -> None:
        # Also after a publication that wrote nothing: an earlier one may have died just before its copies.
        address, files = publication.revision.address, [publication.revision.file(name) for name in names]
        keys = {f"{address.path}/{file.name}": file for file in files}
        if publication.pointer_moved or any(self.store.size(key) != file.size for key, file in keys.items()):
            for key, file in keys.items():
                self.store.copy(file_key(address, file), key)

    def _recorded(self, address: Address, digest: str) -> Revision | None:
        return self._read(address, record_key(address, digest))

    def _read(self, address: Address, key: str) -> Revision | None:
        return read_manifest(self.store, self.root, address, key)


def read_manifest(store: Store, root: str, address: Address, key: str) -> Revision | None:
    """The revision a manifest tells of; None when there is none. Raises Corrupt when it cannot be understood."""
    found = store.read(key)
    return from_json(found[0], address, root, key) if found else None


def pointer_key(address: Address) -> str:
    """Where the pointer lies."""
    return f"{address.path}/manifest.json"


def record_key(address: Address, digest: str) -> str:
    """Where a digest's first manifest lies."""
    return f"{address.path}/{revision_folder(digest)}/revision.json"


def file_key(address: Address, file: File) -> str:
    """Where a revision's file lies."""
    return f"{address.path}/{file.path}"


def to_parts(files: Mapping[str, Source], data: bool) -> tuple[Part, ...]:
    """Size and SHA-256 of each file."""
    return tuple(
        Part(name, source, len(source), hashlib.sha256(source).hexdigest(), data)
        if isinstance(source, bytes)
        else Part(name, source, source.stat().st_size, sha256_of(source), data)
        for name, source in files.items()
    )


def _moved(revision: Revision, before: Revision | None) -> Publication:
    changed = before is None or before.digest != revision.digest
    return Publication(revision, before, digest_changed=changed, pointer_moved=True)


def _conflict(candidate: Revision, base: str | None, there: str | None) -> str:
    return (
        f"{candidate.address.path} holds {there or 'nothing'} where this writer had read {base or 'nothing'}; its own "
        f"{candidate.digest} is kept and can be read by digest. Compute again from what is there, or drop this result"
    )
