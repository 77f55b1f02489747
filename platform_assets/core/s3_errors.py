"""What the S3 client's errors mean: a LakeError that names the remedy, without secrets, and tells what may pass from what stays.

When something is tried again is s3_store.py's business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from platform_assets.core.stores import Corrupt, LakeError, StoreUnreachable

# What the client says of connections that fail, break or time out, and of answers 429 and 5xx (but 501, not implemented).
_MAY_PASS = re.compile(r"HTTP error: |status code: (429|5(?!01)\d\d)")
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")


@contextmanager
def translated(bucket: str, place: str) -> Iterator[None]:
    """Turns the client's errors into a LakeError that names the remedy; their texts may hold what must not be logged."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        if is_no_bucket(error):
            raise LakeError(f"bucket {bucket} does not exist: create it, or correct PLATFORM_LAKE_URL") from None
        if _code(error) == "NoSuchUpload":
            raise StoreUnreachable(f"the store lost the upload of {place}: run it again") from None
        raise Corrupt(f"{place} is missing") from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise LakeError(
            f"access to {place} was refused ({_code(error) or 'no reason given'}): check AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_REGION and the bucket's policy"
        ) from None
    except BaseError as error:
        if "169.254.169.254" in str(error):
            raise LakeError("no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
        kind = StoreUnreachable if _MAY_PASS.search(str(error)) else LakeError
        raise kind(
            f"{place} cannot be used: check AWS_ENDPOINT_URL and that the store runs ({_detail(error)})"
        ) from None


def is_no_bucket(error: FileNotFoundError) -> bool:
    """A missing bucket must not read as "nothing published yet"."""
    return _code(error) == "NoSuchBucket"


def _code(error: Exception) -> str | None:
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found.group(1) if found else None


def _detail(error: Exception) -> str:
    text = _code(error) or str(error).partition("\n")[0]
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, f"<{name}>")
    return text[:300]
