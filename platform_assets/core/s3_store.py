"""The store on S3 or anything that speaks its protocol (obstore): conditional writes, multipart uploads, streamed reads.

Assumes strong read-after-write consistency and conditional PUT (If-None-Match, If-Match). The latter is tried out before the
first write, because a server that ignores the header answers as if all were well. Endpoint and credentials come from the
AWS_* environment; no message shows them.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from platform_assets.core.range_reader import RangeReader, StoredObject
from platform_assets.core.s3_errors import check_endpoint, is_no_bucket, translated
from platform_assets.core.stores import (
    PROBE,
    AlreadyExists,
    Conflict,
    Corrupt,
    Entry,
    StoreUnreachable,
    StoreUnsuitable,
    disk_errors,
)

if TYPE_CHECKING:
    import obstore
    import obstore.store

CHUNK_BYTES = 16 * 1024 * 1024
# One stalled read is given up soon; a large file may take its time.
CONNECT_TIMEOUT, READ_TIMEOUT, TOTAL_TIMEOUT = timedelta(seconds=10), timedelta(seconds=60), timedelta(hours=2)
# A transfer keeps at most 4 * 16 MiB in memory.
UPLOADS_AT_ONCE = 4
RETRIES, RETRY_TIMEOUT = 4, timedelta(minutes=2)
# A conditional write is no request that the client may repeat by itself: seconds before it is repeated here.
PAUSES = (0.1, 0.5, 2.0)
# What this process found out about conditional writes, by endpoint, bucket and prefix.
_probed: dict[tuple[str, str, str], bool] = {}


class S3Store:
    """A prefix in a bucket.

    With single_writer, a store without conditional PUT is used as well: comparing then happens here, before the write, so
    whoever sets it promises that no two processes publish the same partition at once.
    """

    def __init__(self, bucket: str, prefix: str, single_writer: bool = False) -> None:
        self.bucket, self.prefix, self.single_writer = bucket, prefix, single_writer

    def check(self) -> None:
        """Tries conditional writes out, once per process and store."""
        if not self._is_conditional and not self.single_writer:
            raise StoreUnsuitable(
                f"the store of s3://{self.bucket} ignores conditional PUT (If-None-Match, If-Match), so two writers could "
                "overwrite each other unseen. Use a store that honours it, or set PLATFORM_LAKE_SINGLE_WRITER=1 and "
                "make sure that one process at a time publishes a partition."
            )

    def read(self, key: str) -> tuple[bytes, str] | None:
        """The etag is the server's."""
        import obstore

        with self._translated(key):
            try:
                found = obstore.get(self._client, key)
                return bytes(found.bytes()), found.meta["e_tag"] or ""
            except FileNotFoundError as error:
                if is_no_bucket(error):
                    raise
                return None

    def size(self, key: str) -> int | None:
        """One HEAD request, which cannot tell a missing key from a missing bucket."""
        import obstore

        with self._translated(key):
            try:
                return obstore.head(self._client, key)["size"]
            except FileNotFoundError:
                return None

    def fetch(self, key: str, folder: Path) -> Path:
        """Streams into a file of the key's last name."""
        import obstore

        path = folder / key.rsplit("/", 1)[-1]
        with self._translated(key), disk_errors(folder):
            found = obstore.get(self._client, key)
            with path.open("wb") as file:
                for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    file.write(chunk)
        return path

    def open(self, key: str) -> io.RawIOBase:
        """One HEAD request, then a request per range of the object that this one found."""
        import obstore

        with self._translated(key):
            meta = obstore.head(self._client, key)
        return RangeReader(StoredObject(self._client, meta, lambda: self._translated(key)).part, meta["size"])

    def put(self, key: str, content: bytes) -> None:
        """One PUT request."""
        import obstore

        with self._translated(key):
            obstore.put(self._client, key, content)

    def put_file(self, key: str, path: Path) -> None:
        """A multipart upload when the file is large: visible once complete, aborted on failure.

        A killed process leaves invisible parts; a lifecycle rule of the bucket should expire those.
        """
        self.check()
        try:
            self._upload(key, path)
        except StoreUnreachable:
            # Where the answer to an upload's last request was lost, the client's repetition finds that upload gone.
            self._upload(key, path)

    def copy(self, source: str, key: str) -> None:
        """Copied by the server, which on AWS ends at 5 GB."""
        import obstore

        with self._translated(key):
            obstore.copy(self._client, source, key)

    def create(self, key: str, content: bytes) -> str:
        """If-None-Match."""
        self.check()
        if not self._is_conditional and self.read(key) is not None:
            raise AlreadyExists(f"{key} exists already")
        return self._put_if(key, content, None)

    def swap(self, key: str, content: bytes, etag: str) -> str:
        """If-Match."""
        self.check()
        if not self._is_conditional:
            found = self.read(key)
            if found is None or found[1] != etag:
                raise Conflict(f"{key} was changed by another writer")
        return self._put_if(key, content, etag)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """The time is the server's."""
        import obstore
        from obstore.exceptions import BaseError

        with self._translated(prefix):
            try:
                for page in obstore.list(self._client, prefix or None):
                    for found in page:
                        yield Entry(found["path"], found["size"], found["last_modified"])
            except BaseError as error:
                missing = FileNotFoundError(str(error))  # what any other request raises where no bucket is
                raise missing if is_no_bucket(missing) else error from None

    def delete(self, key: str) -> None:
        """One DELETE request."""
        import obstore

        with suppress(Corrupt), self._translated(key):
            obstore.delete(self._client, key)

    def _upload(self, key: str, path: Path) -> None:
        import obstore

        with self._translated(key):
            obstore.put(self._client, key, path, chunk_size=CHUNK_BYTES, max_concurrency=UPLOADS_AT_ONCE)

    def _put_if(self, key: str, content: bytes, etag: str | None) -> str:
        """Repeated while the store does not answer; a write that succeeded although its answer was lost is recognised."""
        for pause in (*PAUSES, None):
            try:
                return self._put_if_once(key, content, etag)
            except (Conflict, StoreUnreachable) as error:
                found = self.read(key)
                if found is not None and found[0] == content:
                    return found[1]
                if pause is None or isinstance(error, Conflict):
                    raise
            time.sleep(pause)
        raise AssertionError("the last pause is None")

    def _put_if_once(self, key: str, content: bytes, etag: str | None) -> str:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._translated(key):
            try:
                written = obstore.put(self._client, key, content, mode={"e_tag": etag} if etag else "create")
            except AlreadyExistsError:
                raise AlreadyExists(f"{key} exists already") from None
            except PreconditionError:
                raise Conflict(f"{key} was changed by another writer") from None
        return written["e_tag"] or ""

    @cached_property
    def _client(self) -> obstore.store.S3Store:
        from obstore.store import S3Store as Client

        check_endpoint()
        return Client(
            self.bucket,
            prefix=self.prefix or None,
            client_options={
                "allow_http": True,
                "connect_timeout": CONNECT_TIMEOUT,
                "read_timeout": READ_TIMEOUT,
                "timeout": TOTAL_TIMEOUT,
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_TIMEOUT},
        )

    @property
    def _is_conditional(self) -> bool:
        name = (os.environ.get("AWS_ENDPOINT_URL", ""), self.bucket, self.prefix)
        if name not in _probed:
            _probed[name] = self._probe()
        return _probed[name]

    def _probe(self) -> bool:
        """Whether a second create and a swap with an outdated etag are refused, on a key of its own."""
        key = f"{PROBE}/{uuid4().hex}"
        try:
            first = self._put_if(key, b"1", None)
            self.put(key, b"2")
            return _refuses(lambda: self._put_if(key, b"3", None)) and _refuses(lambda: self._put_if(key, b"4", first))
        finally:
            self.delete(key)

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return translated(self.bucket, "s3://" + "/".join(part for part in (self.bucket, self.prefix, key) if part))


def _refuses(write: Callable[[], object]) -> bool:
    try:
        write()
    except Conflict:
        return True
    return False
