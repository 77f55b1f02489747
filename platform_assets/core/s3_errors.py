"""What the S3 client's errors mean: a LakeError that names the remedy, without secrets, and tells what may pass from what stays.

An endpoint that the client could only panic at is refused here, before the client sees it. When something is tried again is
s3_store.py's business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from platform_assets.core.stores import Corrupt, LakeError, StoreUnreachable

# What the client says of connections that fail, break or time out, and of answers 429 and 5xx (but 501, not implemented).
# A builder error is a request that cannot be written, such as one by another protocol: no repetition mends it.
_MAY_PASS = re.compile(r"HTTP error: (?!builder error)|status code: (429|5(?!01)\d\d)")
_ADDRESS = re.compile(
    r"(?i:https?)://([^\s/?#@]*@)?([\w.-]+|\[[\da-fA-F:.]+\])(:\d+)?(/[\w.~%!$&'()*+,;=:@/-]*)?", re.ASCII
)
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")


def check_endpoint() -> None:
    """Raises LakeError for an AWS_ENDPOINT_URL that is no address.

    At most of them the client panics, and a panic is no Exception: it would pass every handler on its way.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint is not None and not _is_address(endpoint):
        # Not shown: what was meant to be its password may stand anywhere in it.
        raise LakeError(
            "AWS_ENDPOINT_URL is not the address of a store: write http://host:port or https://host, or unset it for AWS"
        )


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


def _is_address(text: str) -> bool:
    try:
        urlsplit(text).port  # noqa: B018 - raises for a port out of range, as urlsplit does for a host
    except ValueError:
        return False
    return _ADDRESS.fullmatch(text) is not None


def _code(error: Exception) -> str | None:
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found.group(1) if found else None


def _detail(error: Exception) -> str:
    text = _code(error) or str(error).partition("\n")[0]
    for name in _SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, f"<{name}>")
    return text[:300]
