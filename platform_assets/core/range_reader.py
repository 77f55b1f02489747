"""A file that is elsewhere, read by ranges: what a Parquet reader asks for is fetched, and little more.

What else can go wrong with a store does not belong here (`s3_store`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import IO, TYPE_CHECKING

from platform_assets.core.stores import StoreUnreachable, disk_errors

if TYPE_CHECKING:
    import obstore
    import obstore.store
    from typing_extensions import Buffer

# Small column chunks lie side by side: one request brings several, and costs what about a tenth of a second of transfer does.
AHEAD_BYTES = 256 * 1024
# Servers that answer a range with status 200 (`rclone serve s3` 1.75) are not understood by the client: such an object is copied.
_NO_RANGES, _PIECE_BYTES = "non-partial response", 4 * 1024 * 1024


class RangeReader(io.RawIOBase):
    """`fetch(start, end)` gives the bytes from start to before end; `size` is the file's, in bytes.

    A read raises StoreUnreachable when fewer bytes come.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._fetch, self._size, self._position = fetch, size, 0
        self._ahead, self._ahead_start = b"", 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves without a request."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} lies before the file's start")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """All that was asked for, unless the end comes first: at most one request, and one copy in memory."""
        left = max(self._size - self._position, 0)
        found = self._next(left if size is None or size < 0 else min(size, left))
        self._position += len(found)
        return found

    def readall(self) -> bytes:
        """The rest in one piece."""
        return self.read()

    def readinto(self, buffer: Buffer, /) -> int:
        """As `read`, into a buffer."""
        view = memoryview(buffer).cast("B")
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def _next(self, length: int) -> bytes:
        start, end = self._position, self._position + length
        if length == 0:
            return b""
        if length >= AHEAD_BYTES:
            return self._whole(start, end)
        if start < self._ahead_start or end > self._ahead_start + len(self._ahead):
            self._ahead, self._ahead_start = self._whole(start, min(start + AHEAD_BYTES, self._size)), start
        return self._ahead[start - self._ahead_start : end - self._ahead_start]

    def _whole(self, start: int, end: int) -> bytes:
        found = self._fetch(start, end)
        if len(found) != end - start:
            # Not an OSError: that is what a reader of files says of a damaged one, which no later try mends.
            raise StoreUnreachable(f"{len(found)} bytes came where {end - start} were asked for: run it again")
        return found


class StoredObject:
    """An object in a bucket, as it was found: never parts of two."""

    def __init__(
        self,
        client: obstore.store.S3Store,
        found: obstore.ObjectMeta,
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._client, self._found, self._errors = client, found, errors
        self._copy: IO[bytes] | None = None

    def part(self, start: int, end: int) -> bytes:
        """The bytes from start to before end. Raises StoreUnreachable when the object was replaced since it was found."""
        from obstore.exceptions import PreconditionError

        with self._errors():
            try:
                return self._part(start, end)
            except PreconditionError:
                raise StoreUnreachable(f"{self._found['path']} was replaced while it was read: run it again") from None

    def _part(self, start: int, end: int) -> bytes:
        from obstore.exceptions import GenericError

        if self._copy is None:
            try:
                return self._get(start, end).bytes().to_bytes()
            except GenericError as error:
                if _NO_RANGES not in str(error):
                    raise
            self._copy = self._download()
        self._copy.seek(start)
        return self._copy.read(end - start)

    def _get(self, start: int, end: int) -> obstore.GetResult:
        import obstore

        options: obstore.GetOptions = {}
        if (start, end) != (0, self._found["size"]):
            options["range"] = (start, end)
        etag = self._found["e_tag"]
        if etag and not etag.startswith("W/"):  # a weak one equals none, not even itself
            options["if_match"] = etag
        return obstore.get(self._client, self._found["path"], options=options)

    def _download(self) -> IO[bytes]:
        copy = TemporaryFile()  # noqa: SIM115 - lives as long as its reader
        with disk_errors(Path(gettempdir())):
            for piece in self._get(0, self._found["size"]).stream(min_chunk_size=_PIECE_BYTES):
                copy.write(piece)
        return copy
