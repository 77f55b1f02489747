"""The sensor that requests a training once a new week, and all that its training reads, is there and passed its checks.

What belongs here: which weeks are new, which of them wait and for what, and whether enough is new. What does not: what a
pipeline trains and reads, which it says itself, with which options, and whether the result is good; replay and judgement follow the model by
their automation condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg

from platform_assets.core.lake import Revision
from platform_assets.orchestration import partitions
from platform_assets.orchestration.automation import finished_materializations
from platform_assets.orchestration.resources import LakeResource
from platform_assets.orchestration.retraining_cursor import Cursor

IS_TRAINED = (
    "its model is published with its checks passed, and what the training's job makes is of the inputs and of the code versions "
    "that it would be of now (options and releases of libraries are not compared)"
)
SAID = 5  # of a tick's sentences, so many become the reason that it requested nothing; its log has all


@dataclass(frozen=True)
class Dataset:
    """A published weekly dataset: its digest, its rows, the blocking checks that it failed, and what its training lacks."""

    digest: str
    rows: int
    failed: tuple[str, ...] = ()
    waits_for: str = ""
    """What else a training of this week reads and is missing or failed its checks, for people; empty: the week is ready."""
    is_trained: bool = False
    """Whether its model is published already, and a training's job would make it of the same by the same code (`is_made_of`):
    somebody trained it."""
    urgent: str = ""
    """Why a training on it does not wait for the gap of weeks, for people: its features drifted; empty: it waits as any week."""


@dataclass(frozen=True)
class Policy:
    """When to train again."""

    gap_weeks: int = 1
    """At least so many weeks between the datasets of two trainings, but for a week that is urgent."""
    minimum_new_rows: int = 1
    """At least so many rows in passed datasets since the last training."""
    newest_only: bool = False
    """Of several weeks that are ready at a tick only the newest is trained on: where a training reads all weeks up to its own,
    a model of each week of a backfill is what nobody wants."""


def retrain(
    name: str,
    dataset: dg.AssetKey,
    job: str,
    policy: Policy,
    reader: Callable[[LakeResource], Callable[[str], Dataset | None]],
    run_config: Mapping[str, Any] | None = None,
) -> dg.SensorDefinition:
    """Run `job` for each new week of `dataset` that is ready and due, in order.

    `reader(lake)` gives a function that tells a week's current dataset; it lives for one tick. `run_config` is every run's, as
    the Launchpad takes it.

    - Every materialisation since the cursor is looked at, so that a burst of weeks between two ticks loses none; those of a
      backfill once it is over.
    - A week whose own dataset failed a check is out: mended, it is materialised and seen again. One that passed and lacks
      something else that its training reads (`waits_for`) stays in the cursor, and is asked about at every tick.
    - A waiting week holds no newer one. Once a newer one is requested it waits no longer, as a week that changes after it
      was trained on: that training and the next ones read them.
    - An urgent week does not wait for the gap of weeks, and its log says why; for enough new rows it waits.
    - Switched on over weeks that exist (the very first tick, its cursor empty), the sensor inherits them: the history is
      looked through first, and however many of them are ready at a tick, the newest alone is requested. Nobody wants a
      model of each week of last year. A sensor whose first tick found no dataset inherits nothing: of a backfill that comes
      later each week is trained on, like any burst.
    - A week that is due and that somebody trained already is not trained again: it counts as the last training, and its model
      stays whatever options it has, and whatever releases of libraries made it.
    - A request's run key is the week and its digest: a tick that failed half-way asks for the same again, and Dagster drops
      what it has.
    """

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains on new weeks of {dataset.to_user_string()} once they and all that is read with them passed.",
    )
    def sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        said: list[str] = []
        cursor = Cursor.read(context.cursor) or Cursor.switched_on(context.instance, dataset)
        records = finished_materializations(context.instance, dataset, cursor.storage_id)
        weeks = {week for each in records if (week := cursor.take(each.storage_id, each.partition_key))}
        requests = due(cursor, policy, sorted(weeks), reader(lake), said.append)
        for sentence in said:
            context.log.info(sentence)
        nothing = (
            "; ".join(said[-SAID:])
            or "no new week of a run and backfill that are over passed its checks and is due for training"
        )
        return dg.SensorResult(
            run_requests=[dg.RunRequest(key, run_config, partition_key=week) for week, key in requests],
            cursor=cursor.write(),
            skip_reason=None if requests else nothing,
        )

    return sensor


def due(
    cursor: Cursor,
    policy: Policy,
    seen: Iterable[str],
    read: Callable[[str], Dataset | None],
    say: Callable[[str], None],
) -> list[tuple[str, str]]:
    """(week, run key) of the trainings to request, oldest first, of the weeks seen now and those that wait in the cursor."""
    read, requests = cache(read), []
    for week in seen:
        if week <= cursor.last_week:
            say(f"{week} changed; trained up to {cursor.last_week} already: the next training reads it")
        else:
            _passed(cursor, week, read, say)
    if cursor.storage_id < cursor.inherited_id:
        say("the weeks that were there before this sensor are not looked through yet, or one is still being computed")
        return []
    for week in _in_turn(cursor, policy):
        if week > cursor.last_week and (found := _ready(cursor, policy, week, read, say)):
            if found.is_trained:
                say(f"{week} is trained on already: {IS_TRAINED}")
            else:
                requests.append((week, f"{week}:{found.digest}"))
            cursor.trained(week, say)
    return requests


def is_made_of(
    made: Revision, read: Iterable[Revision], current: Callable[[dg.AssetKey, str], Revision | None],
    versions: Mapping[dg.AssetKey, str],
) -> bool:  # fmt: skip
    """Whether a revision names all that would be `read` for it now, nothing that was published anew since, and today's code.

    `versions` are the code versions that the assets of the training's job would record now, the revision's own among them.
    Inputs of these assets are asked the same: what the job makes itself, it would make anew. Of any other input its digest alone
    is compared: by what code it was made, and from what, is the business of its own jobs.
    """
    if made.lineage.code_version != versions[dg.AssetKey.from_user_string(made.address.asset)]:
        return False
    if not {each.as_input() for each in read} <= set(made.lineage.inputs):
        return False
    for each in made.lineage.inputs:
        key = dg.AssetKey.from_user_string(each.asset)
        found = current(key, each.partition)
        if found is None or found.digest != each.digest:
            return False
        if key in versions and not is_made_of(found, (), current, versions):
            return False
    return True


def _in_turn(cursor: Cursor, policy: Policy) -> list[str]:
    """The waiting weeks, oldest first; of those of which one is wanted the newest first, whose request leaves the others behind."""
    weeks = sorted(cursor.new_rows)
    if policy.newest_only:
        return weeks[::-1]
    inherited = [week for week in weeks if week <= cursor.inherited_week]
    return inherited[::-1] + weeks[len(inherited) :]


def _ready(
    cursor: Cursor, policy: Policy, week: str, read: Callable[[str], Dataset | None], say: Callable[[str], None]
) -> Dataset | None:
    """The dataset of a waiting week to train on now, or None after saying why not."""
    if reason := _too_early(cursor, policy, week, say):
        say(f"{week} waits: {reason}")
        return None
    found = _passed(cursor, week, read, say)
    if found and found.waits_for:
        say(f"{week} waits for {found.waits_for}")
        return None
    return found


def _passed(
    cursor: Cursor, week: str, read: Callable[[str], Dataset | None], say: Callable[[str], None]
) -> Dataset | None:
    """The week's dataset if it is there and passed: then its rows count. Else the week is out until it is seen again."""
    found = read(week)
    if found is None or found.failed:
        cursor.is_out(week)
        say(f"{week} is not trained on: {', '.join(found.failed) if found else 'it is not published'}")
        return None
    cursor.waits(week, found.rows, found.urgent)
    return found


def _too_early(cursor: Cursor, policy: Policy, week: str, say: Callable[[str], None]) -> str:
    rows = sum(count for other, count in cursor.new_rows.items() if other <= week)
    if rows < policy.minimum_new_rows:
        return f"{rows:,} new rows of {policy.minimum_new_rows:,}"
    gap = partitions.weeks_between(cursor.last_week, week) if cursor.last_week else policy.gap_weeks
    if gap >= policy.gap_weeks:
        return ""
    if why := cursor.urgent.get(week):
        say(f"{week} does not wait for the gap of {policy.gap_weeks} weeks: {why}")
        return ""
    return f"{gap} week(s) after the last training, of {policy.gap_weeks}"
