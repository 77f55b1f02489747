"""Which failures are worth another try, and what a step raises for each."""

from __future__ import annotations

import dagster as dg
import pytest

from platform_assets.core import lake, stores, tracking, warehouse
from platform_assets.core.settings import SettingError
from platform_assets.orchestration import failures

TRANSIENT = (
    warehouse.Unreachable, lake.StoreUnreachable, tracking.TrackingUnreachable, lake.PublicationConflict,
)  # fmt: skip
PERMANENT = (
    warehouse.WarehouseError, lake.LakeError, lake.Corrupt, lake.StoreUnsuitable, stores.AlreadyExists,
    tracking.TrackingError, SettingError,
)  # fmt: skip


@pytest.mark.parametrize("kind", TRANSIENT)
def test_a_transient_failure_asks_for_another_try_later_each_time(kind: type[Exception]) -> None:
    asked = [failures.to_step_failure(kind("away"), retry) for retry in range(4)]
    assert all(isinstance(failure, dg.RetryRequested) for failure in asked)
    waits = [failure.seconds_to_wait for failure in asked if isinstance(failure, dg.RetryRequested)]
    assert waits[:3] == sorted(set(waits))
    assert {failure.max_retries for failure in asked if isinstance(failure, dg.RetryRequested)} == {3}


@pytest.mark.parametrize("kind", PERMANENT)
def test_a_permanent_failure_ends_the_step_with_its_own_words_whatever_retry_policy_there_is(
    kind: type[Exception],
) -> None:
    failure = failures.to_step_failure(kind("create the bucket"), 0)
    assert isinstance(failure, dg.Failure)
    assert failure.description == "create the bucket"
    assert not failure.allow_retries


def test_a_bug_and_a_failure_that_an_asset_raised_itself_stay_what_they_are() -> None:
    for error in (ZeroDivisionError("bug"), dg.Failure("refused by a gate", allow_retries=False)):
        assert failures.to_step_failure(error, 0) is error
