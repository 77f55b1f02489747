"""What MLflow's errors mean: a server that is away, or one that refuses; in words that name the remedy and no password.

MLflow answers through the libraries below it: its own exceptions, those of HTTP, of its database and of the store of its
artefacts. Only those are translated here; anything else is somebody's own error and stays what it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from platform_assets.core.redaction import hide_in, without_password
from platform_assets.core.warehouse import Unreachable, failure

_FAMILIES = {"mlflow", "requests", "urllib3", "sqlalchemy", "botocore", "boto3", "s3transfer"}
_DENIED = (401, 403)
_ASKS_FOR_PATIENCE = (408, 429)
_REASON_CHARACTERS = 300


class TrackingError(RuntimeError):
    """MLflow refuses, or was never set up; the message names the remedy and never a password."""


class TrackingUnreachable(TrackingError):
    """MLflow does not answer, or is overloaded: a later try may mend it."""


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turns errors of MLflow's own calls into a TrackingError."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _FAMILIES:
            raise
        raise _failure(uri, error) from None


def _failure(uri: str, error: Exception) -> TrackingError:
    place, status = f"MLflow at {without_password(uri)}", _status(error)
    reason = _reason(uri, error)
    if status is None or status in _ASKS_FOR_PATIENCE or status >= 500:
        return TrackingUnreachable(
            f"{place} does not answer: {reason}; is the server running, and is MLFLOW_TRACKING_URI right?"
        )
    if status in _DENIED:
        return TrackingError(
            f"{place} denied access: {reason}; check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or _TOKEN)"
        )
    return TrackingError(f"{place} refused: {reason}; `make preflight` names what is missing")


def _status(error: Any) -> int | None:
    """The answer as an HTTP status, whoever gave it; None when nobody did."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    if isinstance(error, DBAPIError):
        return None if isinstance(failure("", error.orig or error), Unreachable) else 400
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # of an S3 client
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return getattr(answer, "status_code", None)


def _reason(uri: str, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return hide_in(lines[0], uri)[:_REASON_CHARACTERS]
