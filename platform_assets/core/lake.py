"""The lake: publishes a partition of an asset as a whole or not at all, in a local folder or on S3.

    <path>/manifest.json                                 the pointer: what is current
    <path>/revisions/<digest>/revision.json              the record: the digest's first manifest (record.py)
    <path>/revisions/<digest>/<sha256, 16 of it>-<random>/<name>  files, written once

A publication (1) writes its files, (2) creates the record unless it is there, (3) moves the pointer by compare-and-swap.
Only (3) is visible, so a writer that dies before it leaves nothing but files that no pointer names.

Guarantees:
- Atomic: a reader that follows pointer -> manifest -> files sees one whole revision, the one before or the one after.
- Serialised: a writer that read one digest and finds another at its swap gets PublicationConflict. Nothing is lost: its
  revision is readable by digest, and it may read again and try again.
- Durable: once a publication has returned, it survives a crash of the machine.
- Idempotent: the same content for the same reasons writes nothing; for other reasons, it reuses the data files. A write
  that succeeded although its answer was lost is recognised by the manifest's bytes. (One that arrives after its error was
  reported is a late success, and the retry finds it.)
- History: every revision stays readable by digest, with the lineage that was first recorded for it, until the garbage
  collector, which nobody has to run, finds that nothing names it (garbage.py).
- Checked: size and SHA-256 of every file are in the manifest; a truncated or altered file raises Corrupt.

They rest on: a local disk with atomic rename and link, fsync and flock (no NFS); or S3 with strong read-after-write
consistency and conditional PUT, which is tried out before the first write. Not guaranteed: the copies at <path>/<name>,
made for people after the pointer moved; and anything, when files are edited by hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from platform_assets.core import digest as digests
from platform_assets.core.folder_store import FolderStore
from platform_assets.core.publishing import (
    Content,
    Expected,
    PublicationConflict,
    Publisher,
    Source,
    file_key,
    to_parts,
)
from platform_assets.core.record import pointer_key, read_record
from platform_assets.core.redaction import without_password
from platform_assets.core.revision import Address, File, Input, Lineage, Publication, Revision, from_json, require_names
from platform_assets.core.s3_store import S3Store
from platform_assets.core.stores import Corrupt, LakeError, Store, StoreUnreachable, StoreUnsuitable

__all__ = [
    "Address", "Corrupt", "File", "Input", "Lake", "LakeError", "Lineage", "Publication",
    "PublicationConflict", "Revision", "StoreUnreachable", "StoreUnsuitable",
]  # fmt: skip


class Lake:
    """A lake at a folder's path or at s3://bucket/prefix.

    single_writer allows an S3 store that ignores conditional PUT, at the price of the second guarantee. `store` is open to
    tests, which put one that fails in its place.
    """

    def __init__(self, url: str | Path, single_writer: bool = False) -> None:
        self.root, self.store = _open_store(str(url), single_writer)

    def check(self) -> None:
        """Raises LakeError, naming the remedy, when nothing could be published here."""
        self.store.check()

    def current(self, address: Address) -> Revision | None:
        """What is published; None when nothing ever was."""
        key = pointer_key(address)
        found = self.store.read(key)
        return from_json(found[0], address, self.root, key) if found else None

    def revision(self, address: Address, digest: str) -> Revision:
        """The revision of a digest, current or not, with its first lineage and side files. Raises LakeError if unknown."""
        found = read_record(self.store, self.root, address, digest)
        if found is None or found.revision is None:
            collected = f" any more: nothing named it, and it was collected at {found.since}" if found else ""
            raise LakeError(f"{self.root}/{address.path} has no revision {digest}{collected}")
        return found.revision

    def publish_table(
        self, address: Address, tables: Mapping[str, Path], lineage: Lineage, *,
        side_files: Mapping[str, Source] = {}, expected: Expected = "any", top_copies: Sequence[str] = (),
    ) -> Publication:  # fmt: skip
        """Publish Parquet files that together are one table (0 rows are content, too).

        `expected` is the revision that was current when the caller began to compute (None: there was none); "any" takes
        what is there now. `top_copies` names files to copy to the partition's folder for people, after the pointer moved.
        Raises PublicationConflict when another writer published other content meanwhile.
        """
        require_names(list(tables), list(side_files))
        table = digests.digest_table(list(tables.values()))
        content = Content(table.digest, table.algorithm, table.rows, tuple(table.schema), to_parts(tables, data=True))
        return Publisher(self.root, self.store).publish(address, content, lineage, side_files, expected, top_copies)

    def publish_files(
        self, address: Address, files: Mapping[str, Path], lineage: Lineage, *,
        side_files: Mapping[str, Source] = {}, expected: Expected = "any",
    ) -> Publication:  # fmt: skip
        """As publish_table, for files whose bytes are the content: arrays, models. They have no rows and no schema."""
        require_names(list(files), list(side_files))
        parts = to_parts(files, data=True)
        digest = digests.digest_files((part.name, part.sha256) for part in parts)
        content = Content(digest, digests.FILES_ALGORITHM, None, (), parts)
        return Publisher(self.root, self.store).publish(address, content, lineage, side_files, expected, ())

    def fetch(self, revision: Revision, name: str, scratch: Path, *, verify: bool = False) -> Path:
        """A local path of a file: read it, never write to it.

        In a folder lake the file itself, its size checked (and its SHA-256, with `verify`); from S3 a checked copy below
        `scratch`, kept there by its SHA-256. Raises Corrupt.
        """
        file = revision.file(name)
        kept = scratch / file.sha256[:16] / name
        if kept.is_file() and kept.stat().st_size == file.size and not (verify and _is_altered(kept, file)):
            return kept
        scratch.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="fetch-", dir=scratch) as folder:
            try:
                found = self.store.fetch(file_key(revision.address, file), Path(folder))
            except Corrupt as error:
                raise Corrupt(f"{error}; {_remedy(revision)}") from None
            if found.parent != Path(folder):
                return self._verified(revision, file, found, verify)
            self._verified(revision, file, found, True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            return found.replace(kept)

    def read_side(self, revision: Revision, name: str) -> bytes:
        """The bytes of a (small) file, checked. Raises Corrupt."""
        file = revision.file(name)
        found = self.store.read(file_key(revision.address, file))
        if found is None or hashlib.sha256(found[0]).hexdigest() != file.sha256:
            state = "missing" if found is None else "altered"
            raise Corrupt(f"{self.root}/{file_key(revision.address, file)} is {state}; {_remedy(revision)}")
        return found[0]

    def _verified(self, revision: Revision, file: File, path: Path, deep: bool) -> Path:
        size = path.stat().st_size
        if size != file.size:
            raise Corrupt(f"{path} has {size:,} bytes instead of {file.size:,}; {_remedy(revision)}")
        if deep and _is_altered(path, file):
            raise Corrupt(f"{path} was altered: its SHA-256 is not {file.sha256}; {_remedy(revision)}")
        return path


def _open_store(url: str, single_writer: bool) -> tuple[str, Store]:
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        if "@" in bucket:
            # It would be written into every manifest.
            raise LakeError(
                "PLATFORM_LAKE_URL holds credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
            )
        if bucket:
            return f"s3://{bucket}/{prefix}".rstrip("/"), S3Store(bucket, prefix, single_writer)
    if not url or "://" in url:
        raise LakeError(f"PLATFORM_LAKE_URL is {without_password(url)!r}; write a folder's path or s3://bucket/prefix")
    root = Path(url).expanduser().absolute()
    return str(root), FolderStore(root)


def _is_altered(path: Path, file: File) -> bool:
    return digests.sha256_of(path) != file.sha256


def _remedy(revision: Revision) -> str:
    address = revision.address
    return f"remove the file if it is there and materialise {address.asset} {address.partition} again"
