"""The named automation conditions: when Dagster requests a partition by itself, and what each rule protects against.

One function per rule, with the trap that shaped it in its docstring: conditions, and the sensors that every code location
shares. What one pipeline watches in the outside world, and the decision whether an artifact is good, do not belong here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from platform_assets.orchestration.resources import LakeResource, MlflowResource

AC = dg.AutomationCondition
AFFECTED_DAYS = "affected_days"
BACKFILL = "dagster/backfill"
BACKFILL_UNDER_WAY = ("REQUESTED", "CANCELING", "FAILING")
EVENTS_A_TICK = 500
TICK_SECONDS = 30.0  # the framework ends a tick at 60


def weekly_from_days(gates: dg.AssetSelection | None = None) -> dg.AutomationCondition:
    """Request a week when its seven days are there and checked, and again, however old, when one of them changes.

    Ready: no day missing, neither the week nor a day being computed or next in a backfill, every blocking check of every day passed on
    the day's latest materialisation. `~check_passed` and not `check_failed`: between a day's materialisation and its
    check nothing has failed yet. `all_deps_blocking_checks_passed()` cannot say this: a week counts as soon as ONE of
    its days matches. Needs check specs with the days' `partitions_def`; one without gates all weeks by its last result.
    A day's re-run that was planned when the day was there and broke off leaves its check unresolved, and so holds the week until
    the day is run to its end.

    Due: the week was newly found missing, or the data version of a day changed, since the week was last requested.
    - A re-run of a day with the same digest asks for nothing; `newly_updated` would recompute every week after a
      backfill of days that changed nothing.
    - `gates` are days whose checks count and whose changes do not: they are followed by other days that the week reads.
    - Not limited to the latest window as `eager()` is: events arrive weeks late, and the dataset must follow.
    - `initial_evaluation` is no reset as in `since_last_handled()`: complete weeks that wait on the first tick run.
    - `newly_updated` is no reset either: a day that changes while the week is being computed was not read by that run.
      The price: a week that a person materialises by hand after its days is requested once more, with the same digest.
    - `& ~due`: a day that changed between the request and the next tick would else be wiped by that tick's reset.
    - A failed run is not requested again until a day changes: no loop, the alert calls a person.
    """
    return _once_upstream_is_checked(gates, "weekly_from_days")


def judged_from_trained(gates: dg.AssetSelection | None = None) -> dg.AutomationCondition:
    """Request a judgement (replay scores, then a policy version) when all it rests on is there and checked.

    As `weekly_from_days`, of which it is the same rule between weeks: the model of the week before, the evaluated week's
    dataset. Again when one of them changes, and not when one is computed again to the same content.
    """
    return _once_upstream_is_checked(gates, "judged_from_trained")


def _once_upstream_is_checked(gates: dg.AssetSelection | None, label: str) -> dg.AutomationCondition:
    changed = AC.any_deps_match(AC.data_version_changed())
    changed = changed.ignore(gates) if gates else changed
    due = (AC.missing().newly_true() | changed).with_label("is_due")
    unchecked = AC.any_deps_match(AC.any_checks_match(~AC.check_passed(), blocking_only=True))
    return (
        due.since(AC.newly_requested() & ~due)
        & ~AC.any_deps_match(AC.missing()).with_label("any_upstream_missing")
        & ~unchecked.with_label("any_upstream_unchecked")
        & ~AC.any_deps_in_progress()
        & ~AC.in_progress()
    ).with_label(label)


def days_from_days() -> dg.AutomationCondition:
    """Request a day that is missing as soon as every upstream day of its look-back is there.

    And again, while it is missing, when one of them is computed again: its first try may have been refused for what was mended
    since. Computed, not changed: a day whose broken rows are gone has the digest it had, for they were in the quarantine.
    For the first fill only. A day that exists already and whose upstream changed is requested by `follow_changes`, which
    knows how far the change goes; the look-back of 35 days would request them all.
    """
    due = AC.missing().newly_true() | (AC.missing() & AC.any_deps_match(AC.newly_updated()))
    return (
        due.since(AC.newly_requested() & ~due)
        & AC.missing()  # no longer due when a backfill filled it meanwhile
        & ~AC.any_deps_missing()
        & ~AC.any_deps_in_progress()
        & ~AC.in_progress()
    ).with_label("days_from_days")


def automation_sensors(
    location: str, long: Sequence[dg.AssetKey], long_tags: Mapping[str, str]
) -> list[dg.AutomationConditionSensorDefinition]:
    """The sensors that evaluate a code location's automation conditions, on by default: all assets but `long`, and `long`.

    `long_tags` go on the runs of `long` alone (`dagster/max_runtime`: a replay of a large model takes longer than what an
    instance allows a run). Two sensors, because one's tags go on every run that it starts: a daily run that hangs would be
    left its place for days. The price is a second tick. Nothing else comes apart: the conditions here ask for recorded
    events and runs under way upstream, never for what the same tick is about to request in the other sensor's assets.
    """
    if not long:
        return [_automation_sensor(f"{location}_automation", dg.AssetSelection.all(), {})]
    slow = dg.AssetSelection.assets(*long)
    return [
        _automation_sensor(f"{location}_automation", dg.AssetSelection.all() - slow, {}),
        _automation_sensor(f"{location}_long_automation", slow, long_tags),
    ]


def _automation_sensor(
    name: str, target: dg.AssetSelection, run_tags: Mapping[str, str]
) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        name,
        target=target,
        run_tags=run_tags,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )


def follow_changes(
    name: str, upstream: dg.AssetKey, job: str, staleness: Callable[[LakeResource], Callable[[str, str], bool]]
) -> dg.SensorDefinition:
    """Run `job` for the partitions that a materialisation of `upstream` names in its AFFECTED_DAYS metadata.

    Each materialisation is looked at once, in order, and only after its run and its backfill ended: until then they may go on to
    compute what it affects. `staleness(lake)` gives a function (changed, affected) that tells whether the affected partition
    was made from something else than what is current; it lives for one tick. A tick stops at its budget, and the next goes
    on. `@asset_sensor` would see one event a tick, and lose the others of a range.
    """

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Computes again what a changed {upstream.to_user_string()} affects.",
    )
    def sensor(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        cursor = int(context.cursor) if context.cursor else 0
        requests: dict[str, dg.RunRequest] = {}
        is_stale, deadline = staleness(lake), time.monotonic() + TICK_SECONDS
        for record in finished_materializations(context.instance, upstream, cursor):
            if time.monotonic() > deadline:
                break
            cursor = record.storage_id
            changed, affected, version = _change(record)
            for day in affected:
                if is_stale(changed, day):
                    # With the record's id: a day that was refused and then mended has the version it had, and counts anew.
                    run_key = f"{day}:{changed}:{version}:{record.storage_id}"
                    requests[day] = dg.RunRequest(run_key=run_key, partition_key=day)
        return dg.SensorResult(
            run_requests=list(requests.values()),
            cursor=str(cursor),
            skip_reason=None
            if requests
            else "nothing that runs and backfills which are over have published affects another day",
        )

    return sensor


def finished_materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, cursor: int
) -> Iterator[dg.EventLogRecord]:
    """Materialisations after the cursor, oldest first, up to the first whose run, or the backfill that it is of, still goes on.

    A backfill may yet compute what lies downstream, too.
    """
    filters = dg.AssetRecordsFilter(asset_key=asset, after_storage_id=cursor)
    backfills: dict[str, bool] = {}
    for record in instance.fetch_materializations(filters, limit=EVENTS_A_TICK, ascending=True).records:
        run = instance.get_run_by_id(record.run_id)
        if run is not None:
            of_backfill = run.tags.get(BACKFILL, "")
            if of_backfill and of_backfill not in backfills:
                backfills[of_backfill] = _goes_on(instance, of_backfill)
            if not run.is_finished or backfills.get(of_backfill):
                return
        yield record


def _goes_on(instance: dg.DagsterInstance, backfill_id: str) -> bool:
    found = instance.get_backfill(backfill_id)
    return found is not None and found.status.value in BACKFILL_UNDER_WAY


def _change(record: dg.EventLogRecord) -> tuple[str, list[str], str]:
    """Partition, affected days and digest of a materialisation; a range's own record names no affected day."""
    materialization = record.asset_materialization
    if materialization is None or materialization.partition is None:
        return "", [], ""
    affected = materialization.metadata.get(AFFECTED_DAYS)
    days = affected.value if isinstance(affected, dg.JsonMetadataValue) else []
    version = (materialization.tags or {}).get("dagster/data_version", "")
    return materialization.partition, [str(day) for day in (days if isinstance(days, list) else [])], version


def end_mlflow_runs(location: str) -> dg.SensorDefinition:
    """End the MLflow runs that a finished Dagster run left open: a kill runs no `finally`.

    One sensor that looks at the runs which ended since its last tick, whatever their status; a run-status sensor follows
    one status only.
    """

    @dg.sensor(
        name=f"{location}_end_mlflow_runs",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends MLflow runs of Dagster runs that are over.",
    )
    def sensor(context: dg.SensorEvaluationContext, mlflow: MlflowResource) -> dg.SensorResult:
        since = float(context.cursor) if context.cursor else 0.0
        ended = end_mlflow_runs_since(context.instance, mlflow, since)
        for run_id, mlflow_runs in ended.closed.items():
            context.log.info(f"ended MLflow runs of Dagster run {run_id}: {', '.join(mlflow_runs)}")
        return dg.SensorResult(cursor=str(ended.cursor), skip_reason="MLflow runs looked through")

    return sensor


@dataclass(frozen=True)
class Ended:
    """What one look through the finished runs did."""

    cursor: float
    closed: dict[str, list[str]]


def end_mlflow_runs_since(instance: dg.DagsterInstance, mlflow: MlflowResource, since: float) -> Ended:
    """End the open MLflow runs of Dagster runs that finished after `since` (seconds since 1970)."""
    finished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED],
        updated_after=datetime.fromtimestamp(since, UTC) if since else None,
    )
    records = instance.get_run_records(finished, limit=EVENTS_A_TICK, order_by="update_timestamp", ascending=True)
    if not records:
        return Ended(since, {})
    from platform_assets.core.tracking import Tracking

    tracking = Tracking(mlflow.resolve_uri())
    closed = {}
    for record in records:
        run = record.dagster_run
        status = "FINISHED" if run.status == dg.DagsterRunStatus.SUCCESS else "FAILED"
        if ended := tracking.end_runs_of(run.run_id, status):
            closed[run.run_id] = ended
    return Ended(records[-1].update_timestamp.replace(tzinfo=UTC).timestamp(), closed)
