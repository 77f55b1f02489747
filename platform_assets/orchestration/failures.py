"""The failure taxonomy: which exceptions a later try may mend, and how long a step waits before it.

Here it is only data and its application to a step. What an outage looks like in each driver, and the words that name the
remedy, belong to the core module that speaks to the service; everything it can raise derives from one of the classes below.

A run that was killed raises nothing: it is repeated by a person, by a backfill, or by the instance's run retries, which
must be set to `retry_on_asset_or_op_failure: false`, or they would repeat permanent failures as well.
"""

from __future__ import annotations

import dagster as dg

from platform_assets.core.lake import LakeError, PublicationConflict, StoreUnreachable
from platform_assets.core.settings import SettingError
from platform_assets.core.step import ProgramFailed, ProgramUnavailable
from platform_assets.core.tracking import TrackingError, TrackingUnreachable
from platform_assets.core.warehouse import Unreachable, WarehouseError

# Looked up before PERMANENT, whose classes they are special cases of.
TRANSIENT: tuple[type[Exception], ...] = (
    Unreachable,  # Postgres is away, restarts, or lost the connection in the middle of a stream
    StoreUnreachable,  # the lake's store is away, answers 5xx, or resets connections longer than its client is patient
    TrackingUnreachable,  # MLflow is away or overloaded
    ProgramUnavailable,  # any of these, met by a program that a step had started
    PublicationConflict,  # another writer was first: compute again from what is there now
)
# A missing table, wrong password, missing bucket, unsuitable store, corrupt file, broken setting, a program that says what is
# wrong: a person must act first.
PERMANENT: tuple[type[Exception], ...] = (WarehouseError, LakeError, TrackingError, SettingError, ProgramFailed)
# A restart takes seconds, a fail-over a minute or two. A step that waits holds its run's place in the queue: not longer.
WAITS_SECONDS = (10.0, 30.0, 90.0)


def is_transient(error: BaseException) -> bool:
    """Whether a later try may succeed without anybody doing anything."""
    return isinstance(error, TRANSIENT)


def to_step_failure(error: Exception, retry: int) -> BaseException:
    """What a step raises for `error` in its try number `retry` (the first is 0), with the error as its cause.

    A transient failure asks for another try, later each time; at the end of WAITS_SECONDS Dagster fails the step. A permanent
    one ends the step whatever retry policy an asset may have. Any other error is a bug and is returned as it is.
    """
    if is_transient(error):
        wait = WAITS_SECONDS[min(retry, len(WAITS_SECONDS) - 1)]
        return dg.RetryRequested(max_retries=len(WAITS_SECONDS), seconds_to_wait=wait)
    if isinstance(error, PERMANENT):
        return dg.Failure(str(error), allow_retries=False)
    return error
