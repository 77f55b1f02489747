"""A folder of somebody else's files, only ever read: a path or s3://bucket/prefix, as a pipeline's setting names it.

Each pipeline says which setting and which of its errors; endpoint and credentials of S3 come from the AWS_* environment. Which
files count, and what is inside them, does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from platform_assets.core.folder_store import FolderStore
from platform_assets.core.redaction import without_password
from platform_assets.core.s3_store import S3Store
from platform_assets.core.stores import LakeError, Store, StoreUnreachable

Refusal = Callable[[str], Exception]


def open_store(url: str, setting: str, refusal: Refusal) -> tuple[str, Store]:
    """The folder's name as it may be shown, and its store. Raises `refusal` for what is no folder, without showing secrets."""
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        # A secret may hold a slash; a bucket's name never holds a colon, and no key that is read here a question mark.
        if any(sign in bucket for sign in "@:") or "?" in url:
            raise refusal(
                f"{setting} holds credentials, or no bucket's name: write s3://bucket/prefix, and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY instead"
            )
        if bucket:
            # Nothing is ever written here, so that conditional writes need not be tried out.
            return f"s3://{bucket}/{prefix}".rstrip("/"), S3Store(bucket, prefix, single_writer=True)
    if not url or "://" in url:
        raise refusal(f"{setting} is {without_password(url)!r}; write a folder's path or s3://bucket/prefix")
    root = Path(url).expanduser().absolute()
    return str(root), FolderStore(root)


@contextmanager
def faults(setting: str, refusal: Refusal) -> Iterator[None]:
    """The stores speak of the lake; here the same faults have another setting to correct."""
    try:
        yield
    except StoreUnreachable:
        raise  # a later try may mend it
    except LakeError as error:
        text = str(error).replace("PLATFORM_LAKE_URL", setting)
        raise refusal(text if setting in text else f"{setting}: {text}") from None
