"""What the lake asks of a place that keeps bytes, and what can be wrong with one.

A store knows keys and bytes. What a revision is, and in which order its parts are written, is lake.py's business; the stores
are folder_store.py and s3_store.py. Every operation is all or nothing: a reader sees the bytes before or the bytes after.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

# Hidden names that a killed process may leave: a probe at the root, a temporary file anywhere.
PROBE, PART = ".probe", ".part"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class LakeError(Exception):
    """Something about the lake is wrong; the message names the remedy."""


class StoreUnsuitable(LakeError):
    """The store lacks something the lake's guarantees rest on."""


class Corrupt(LakeError):
    """A file in the lake is missing, truncated or altered."""


class StoreUnreachable(LakeError):
    """The store does not answer now, or asks to be spared: a later try may mend it, unlike any other LakeError."""


class Conflict(LakeError):
    """A key's content is not what the writer had read, or the key exists already; nothing was written."""


class AlreadyExists(Conflict):
    """The key exists already; nothing was written."""


@dataclass(frozen=True)
class Entry:
    """A key that a listing found; `modified` is UTC, by the clock of whoever keeps the bytes."""

    key: str
    size: int
    modified: datetime


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

    def open(self, key: str) -> io.RawIOBase:
        """For reading, from any place in it; only what is read is fetched. Raises Corrupt when the key does not exist.

        A read of n bytes gives n unless the end comes first. Wrap it in io.BufferedReader to read lines.
        """
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
        """Write if the key does not exist, and return the etag; else raise AlreadyExists.

        Content that is unlike any other writer's is recognised as written when the answer was lost.
        """
        ...

    def swap(self, key: str, content: bytes, etag: str) -> str:
        """Write if the key's content still has this etag, and return the new one; else raise Conflict. As `create`."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every key below a prefix, hidden ones too. For the garbage collector only: readers follow manifests."""
        ...

    def delete(self, key: str) -> None:
        """Remove a key; it need not exist. For the garbage collector only."""
        ...


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns what a disk refuses into a LakeError that names the remedy; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise LakeError(f"no room below {folder} ({error.strerror}): free some space and run it again") from None
        if error.errno in _REFUSED:
            raise LakeError(
                f"{folder} cannot be written to or read ({error.strerror}: {error.filename}): give this user the right to"
            ) from None
        raise
