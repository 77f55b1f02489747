"""The store in a folder on a local disk: durable files, atomic renames, a lock for compare-and-swap.

About a hundred lines of our own because the S3 client's local store can neither compare-and-swap nor fsync. What a store
promises is stores.py's business.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from platform_assets.core.stores import PART, PROBE, AlreadyExists, Conflict, Corrupt, Entry, LakeError, disk_errors


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
        probe = f"{PROBE}-{uuid4().hex}"
        try:
            self.put(probe, b"")
            self.delete(probe)
        except OSError as error:
            raise LakeError(f"the lake's folder {self.root} cannot be written to: {error.strerror}") from error

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The etag is the SHA-256 of the bytes."""
        with disk_errors(self.root):
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

    def open(self, key: str) -> io.RawIOBase:
        """The file itself, unbuffered."""
        path = self._path(key)
        with disk_errors(self.root):
            try:
                return path.open("rb", buffering=0)
            except FileNotFoundError:
                raise Corrupt(f"{path} is missing") from None

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
        with disk_errors(self.root), self._locked(key):
            found = self.read(key)
            if found is None or found[1] != etag:
                raise Conflict(f"{key} was changed by another writer")
            self.put(key, content)
        return _etag(content)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Files that vanish meanwhile are left out."""
        for path in sorted(self._path(prefix).rglob("*")):
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                modified = datetime.fromtimestamp(found.st_mtime, UTC)
                yield Entry(path.relative_to(self.root).as_posix(), found.st_size, modified)

    def delete(self, key: str) -> None:
        """Removes a file's folder too when it was the last one there."""
        path = self._path(key)
        with disk_errors(self.root):
            path.unlink(missing_ok=True)
        if not path.name.startswith("."):
            with suppress(OSError):
                path.parent.rmdir()

    def _path(self, key: str) -> Path:
        return self.root / key

    @contextmanager
    def _written(self, key: str, write: Callable[[Path], object]) -> Iterator[Path]:
        """A durable temporary file beside the key, gone afterwards; the caller moves or links it into place."""
        folder = self._path(key).parent
        part = folder / f".{uuid4().hex}{PART}"
        with disk_errors(self.root):
            _make_folder(folder)
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
