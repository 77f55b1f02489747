"""The sensor that requests a training when new weekly datasets have arrived and passed their checks.

What belongs here: which weeks are new, and whether enough is new. What does not: what a pipeline trains, and whether the
result is good; replay and judgement follow the model by their automation condition.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

import dagster as dg

from platform_assets.orchestration import partitions
from platform_assets.orchestration.automation import finished_materializations
from platform_assets.orchestration.resources import LakeResource


@dataclass(frozen=True)
class Dataset:
    """A published weekly dataset: its digest, its rows, and the blocking checks that it failed."""

    digest: str
    rows: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """When to train again."""

    gap_weeks: int = 1
    """At least so many weeks between the datasets of two trainings."""
    minimum_new_rows: int = 1
    """At least so many rows in passed datasets since the last training."""


@dataclass
class Cursor:
    """What the sensor knows between ticks; all of it is in the sensor's own cursor."""

    storage_id: int = 0
    last_week: str = ""
    new_rows: dict[str, int] = field(default_factory=dict)
    """Rows of the passed weeks after `last_week` that no training was requested for yet."""

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """From the sensor's cursor; at first, empty."""
        return cls(**json.loads(text)) if text else cls()

    def write(self) -> str:
        """As the sensor's cursor."""
        return json.dumps(asdict(self), sort_keys=True)


def retrain(
    name: str, dataset: dg.AssetKey, job: str, policy: Policy, read: Callable[[LakeResource, str], Dataset | None]
) -> dg.SensorDefinition:
    """Run `job` for each new week of `dataset` that is due, in order.

    Every materialisation since the cursor is looked at, so that a burst of weeks between two ticks loses none. `read` gives
    the current dataset of a week. A request's run key is the week and its digest: a tick that failed half-way asks for the
    same again, and Dagster drops what it has. A week that failed a check is no reason to train; mended, it is
    materialised and seen again. A week before the last trained one asks for nothing: the next training reads it.
    """

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains on new weeks of {dataset.to_user_string()} that passed their checks.",
    )
    def sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        cursor = Cursor.read(context.cursor)
        weeks: list[str] = []
        for record in finished_materializations(context.instance, dataset, cursor.storage_id):
            cursor.storage_id = record.storage_id
            if record.partition_key:
                weeks.append(record.partition_key)
        requests = due(cursor, policy, sorted(set(weeks)), lambda week: read(lake, week), context.log.info)
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=key, partition_key=week) for week, key in requests],
            cursor=cursor.write(),
            skip_reason=None if requests else "no new week that passed its checks is due for training",
        )

    return sensor


def due(
    cursor: Cursor,
    policy: Policy,
    weeks: Iterable[str],
    read: Callable[[str], Dataset | None],
    say: Callable[[str], None],
) -> list[tuple[str, str]]:
    """(week, run key) of the trainings to request for these weeks, oldest first; the cursor remembers them."""
    requests = []
    for week in weeks:
        if week <= cursor.last_week:
            say(f"{week} changed; trained up to {cursor.last_week} already: the next training reads it")
            continue
        found = read(week)
        if found is None or found.failed:
            cursor.new_rows.pop(week, None)
            say(f"{week} is not trained on: {', '.join(found.failed) if found else 'it is not published'}")
            continue
        cursor.new_rows[week] = found.rows
        if reason := _waits(cursor, policy, week):
            say(f"{week} waits: {reason}")
            continue
        requests.append((week, f"{week}:{found.digest}"))
        cursor.last_week, cursor.new_rows = week, {}
    return requests


def _waits(cursor: Cursor, policy: Policy, week: str) -> str:
    rows = sum(cursor.new_rows.values())
    if rows < policy.minimum_new_rows:
        return f"{rows:,} new rows of {policy.minimum_new_rows:,}"
    if cursor.last_week and (gap := partitions.weeks_between(cursor.last_week, week)) < policy.gap_weeks:
        return f"{gap} week(s) after the last training, of {policy.gap_weeks}"
    return ""
