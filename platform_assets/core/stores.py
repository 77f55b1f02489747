"""What the lake asks of a place that keeps bytes, and the folder on a local disk that offers it.

A store knows keys and bytes. What a revision is, and in which order its parts are written, is lake.py's business; the store
on S3 is s3_store.py. Every operation is all or nothing: a reader sees the bytes before or the bytes after.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4


class LakeError(Exception):
    """Something about the lake is wrong; the message names the remedy."""


class StoreUnsuitable(LakeError):
    """The store lacks something the lake's guarantees rest on."""


class Corrupt(LakeError):
    """A file in the lake is missing, truncated or altered."""


class Conflict(LakeError):
    """A key's content is not what the writer had read, or the key exists already; nothing was written."""


class AlreadyExists(Conflict):
    """The key exists already; nothing was written."""


class Store(Protocol):
    """Keys are relative paths with forward slashes. An etag names one content of one key."""

    def check(self) -> None:
        """Raise LakeError when the store cannot be written to, StoreUnsuitable when it must not be."""
        ...

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Bytes and etag; None when the key does not exist."""
        ...

    def size(self, key: str) -> int | None:
        """Size in bytes; None when the key does not exist."""
        ...

    def fetch(self, key: str, folder: Path) -> Path:
        """A local path of the bytes: where they lie, or a copy in `folder`. Raises Corrupt when they do not exist."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Write, replacing what was there."""
        ...

    def put_file(self, key: str, path: Path) -> None:
        """As `put`, from a local file of any size. Keys name their content, so writing twice changes nothing."""
        ...

    def copy(self, source: str, key: str) -> None:
        """As `put`, from another key."""
        ...

    def create(self, key: str, content: bytes) -> str:
        """Write if the key does not exist, and return the etag; else raise AlreadyExists."""
        ...

    def swap(self, key: str, content: bytes, etag: str) -> str:
        """Write if the key's content still has this etag, and return the new one; else raise Conflict."""
        ...


class FolderStore:
    """A folder on a local disk.

    Assumes that rename and link are atomic, that fsync of a file and of its folder reaches the disk, and that flock holds
    between all processes that write: true of local disks, not of NFS or other network file systems. A killed process
    leaves at most a hidden file that ends in `.part`; the lock goes with the process.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self) -> None:
        """Writes and removes a file."""
        probe = f".probe-{uuid4().hex}"
        try:
            self.put(probe, b"")
            self._path(probe).unlink()
        except OSError as error:
            raise LakeError(f"the lake's folder {self.root} cannot be written to: {error.strerror}") from error

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The etag is the SHA-256 of the bytes."""
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        return content, _etag(content)

    def size(self, key: str) -> int | None:
        """From the file system."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def fetch(self, key: str, folder: Path) -> Path:
        """The file in place: the bytes are never copied, so never write to it."""
        path = self._path(key)
        if not path.is_file():
            raise Corrupt(f"{path} is missing")
        return path

    def put(self, key: str, content: bytes) -> None:
        """Temporary file, fsync, rename, fsync of the folder."""
        with self._written(key, lambda part: part.write_bytes(content)) as part:
            part.replace(self._path(key))

    def put_file(self, key: str, path: Path) -> None:
        """Copies the file's bytes."""
        with self._written(key, lambda part: shutil.copyfile(path, part)) as part:
            part.replace(self._path(key))

    def copy(self, source: str, key: str) -> None:
        """Copies the file's bytes, so that an edit of the copy cannot reach the original."""
        self.put_file(key, self._path(source))

    def create(self, key: str, content: bytes) -> str:
        """A link fails when its target exists: no lock needed."""
        with self._written(key, lambda part: part.write_bytes(content)) as part:
            try:
                os.link(part, self._path(key))
            except FileExistsError:
                raise AlreadyExists(f"{key} exists already") from None
        return _etag(content)

    def swap(self, key: str, content: bytes, etag: str) -> str:
        """Compares and renames under an exclusive lock on a file beside the key; readers need no lock."""
        with self._locked(key):
            found = self.read(key)
            if found is None or found[1] != etag:
                raise Conflict(f"{key} was changed by another writer")
            self.put(key, content)
        return _etag(content)

    def _path(self, key: str) -> Path:
        return self.root / key

    @contextmanager
    def _written(self, key: str, write: Callable[[Path], object]) -> Iterator[Path]:
        """A durable temporary file beside the key, gone afterwards; the caller moves or links it into place."""
        folder = self._path(key).parent
        _make_folder(folder)
        part = folder / f".{uuid4().hex}.part"
        try:
            write(part)
            _sync(part)
            yield part
            _sync(folder)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        # Never deleted: a writer that waits on a deleted lock file would lock a file nobody else sees.
        path = self._path(key)
        with path.with_name(f".{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _make_folder(folder: Path) -> None:
    """As mkdir -p, but durable: the entry of a new folder is synced in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
