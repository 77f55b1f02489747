"""The three steps of a publication: files, revision.json, pointer. lake.py's docstring states what they guarantee.

A round reads the pointer, then the record, then uploads, then swaps both; when a swap is lost, the next round begins with
nothing carried over. The garbage collector relies on this order (garbage_collection.py says why). Every effect is one
operation of a Store, so a test that stops a store at its n-th operation visits every point at which a writer can die.
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
from platform_assets.core.record import pointer_key, read_record, record_key
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
# Every lost round is another writer's won one, so this many writers would have to publish the same content at once.
ROUNDS = 100
SMALL_BYTES = 1024 * 1024


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


@dataclass(frozen=True)
class Wish:
    """What is to be published where, and why."""

    address: Address
    content: Content
    lineage: Lineage
    sides: tuple[Part, ...]


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
        wish, base, key = Wish(address, content, lineage, to_parts(sides, data=False)), expected, pointer_key(address)
        for _ in range(ROUNDS):
            found = self.store.read(key)
            before = from_json(found[0], address, self.root, key) if found else None
            base = before if base == "any" else base
            publication = self._publish_over(before, found[1] if found else None, wish, base.digest if base else None)
            if publication is not None:
                self._copy_to_top(publication, top_copies)
                return publication
        raise PublicationConflict(f"the manifests of {address.path} changed {ROUNDS} times under this writer")

    def _publish_over(
        self, before: Revision | None, etag: str | None, wish: Wish, base: str | None
    ) -> Publication | None:
        """One round: None when another writer, or the collector, wrote meanwhile.

        `base` is the digest that this publication may replace; its own digest it may always replace.
        """
        if before is not None and self._says_it_already(before, wish):
            return Publication(before, before, digest_changed=False, pointer_moved=False)
        candidate = self._record(wish)
        if candidate is None:
            return None
        there = before.digest if before else None
        if there not in (base, candidate.digest):
            raise PublicationConflict(_conflict(candidate, base, there))
        if not self._write_if(pointer_key(wish.address), candidate, etag):
            return None
        return Publication(candidate, before, digest_changed=there != candidate.digest, pointer_moved=True)

    def _record(self, wish: Wish) -> Revision | None:
        """Steps 1 and 2; returns what the pointer shall say, or None when the record was written by another meanwhile.

        Of a digest that is recorded already the files are reused, unless they are damaged or being deleted.
        """
        address, content = wish.address, wish.content
        found = read_record(self.store, self.root, address, content.digest)
        known = found.revision if found and found.is_usable and self._is_intact(found.revision) else None
        data = known.data_files if known else self._upload(wish, content.parts, ())
        sides = self._upload(wish, wish.sides, known.side_files if known else ())
        candidate = Revision(
            address, content.digest, content.algorithm, content.rows, (*data, *sides), content.schema, wish.lineage,
            datetime.now(UTC).isoformat(), f"{self.root}/{address.path}/{revision_folder(content.digest)}",
        )  # fmt: skip
        if found is None:
            recorded = candidate
        elif known is not None:
            if found.state == "live":
                return candidate
            recorded = known
        else:
            recorded = replace(found.revision, files=candidate.files) if found.revision else candidate
        key = record_key(address, content.digest)
        return candidate if self._write_if(key, recorded, found.etag if found else None) else None

    def _write_if(self, key: str, revision: Revision, etag: str | None) -> bool:
        """Whether the manifest was written over the one with this etag (None: none); False when another was faster."""
        attempt = uuid4().hex
        content = to_json(revision, attempt)
        try:
            self.store.swap(key, content, etag) if etag is not None else self.store.create(key, content)
            return True
        except Exception as error:
            # The write may have succeeded and its answer been lost.
            now = self.store.read(key)
            if now is not None and attempt.encode() in now[0]:
                return True
            if isinstance(error, Conflict) or (now is not None and now[1] != etag):
                return False
            raise

    def _says_it_already(self, there: Revision, wish: Wish) -> bool:
        published = {(file.name, file.sha256) for file in there.side_files}
        same_sides = published == {(side.name, side.sha256) for side in wish.sides}
        same = there.digest == wish.content.digest and there.lineage.says_the_same(wish.lineage) and same_sides
        return same and self._is_intact(there)

    def _is_intact(self, revision: Revision | None) -> bool:
        return revision is not None and all(
            self.store.size(file_key(revision.address, file)) == file.size for file in revision.files
        )

    def _upload(self, wish: Wish, parts: Sequence[Part], known: Sequence[File]) -> tuple[File, ...]:
        """Each to a path that was never written before: what the collector found there once, it may be deleting now."""
        there, files = {(file.name, file.sha256): file for file in known}, []
        for part in parts:
            file = there.get((part.name, part.sha256))
            if file is None:
                path = f"{revision_folder(wish.content.digest)}/{part.sha256[:16]}-{uuid4().hex[:12]}/{part.name}"
                write = self.store.put if isinstance(part.source, bytes) else self.store.put_file
                write(f"{wish.address.path}/{path}", part.source)  # pyright: ignore[reportArgumentType] - by its type
                file = File(part.name, path, part.size, part.sha256, part.data)
            files.append(file)
        return tuple(files)

    def _copy_to_top(self, publication: Publication, names: Sequence[str]) -> None:
        # Also after a publication that wrote nothing: an earlier one may have died just before its copies.
        address, files = publication.revision.address, [publication.revision.file(name) for name in names]
        keys = {f"{address.path}/{file.name}": file for file in files}
        if publication.pointer_moved or not all(self._is_copy(key, file) for key, file in keys.items()):
            for key, file in keys.items():
                self.store.copy(file_key(address, file), key)

    def _is_copy(self, key: str, file: File) -> bool:
        """By size, and a small file, which may well keep its size when it changes, by content."""
        if file.size > SMALL_BYTES or self.store.size(key) != file.size:
            return self.store.size(key) == file.size
        found = self.store.read(key)
        return found is not None and hashlib.sha256(found[0]).hexdigest() == file.sha256


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


def _conflict(candidate: Revision, base: str | None, there: str | None) -> str:
    return (
        f"{candidate.address.path} holds {there or 'nothing'} where this writer had read {base or 'nothing'}; its own "
        f"{candidate.digest} is kept and can be read by digest. Compute again from what is there, or drop this result"
    )
