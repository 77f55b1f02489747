"""Alerts: a failed run, and a failed blocking check, told to a person through the log and a webhook.

Both sensors look at every finished run of their code location once, whatever ended it: a killed worker never reports,
but the run monitor marks its run failed. Checks wait for the run's end too, because only then the list of failed
partitions is complete: one alert per (run, check), not one per evaluation. A failed blocking check also fails its run,
so it brings two messages, one from each sensor. Checks reported outside a run are not seen.

Delivery is at least once. The cursor passes a run only when its alerts were taken; what was taken is not sent again,
unless the process dies between the two. A webhook that is down holds the queue for GIVE_UP_SECONDS after the run's
end, then the alert stays in the log only; one that refuses (a 4xx, a redirect) is not asked again. Both are logged.

The words of an alert, and what must not be in them, are in alert_text.py.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from logging import Logger
from typing import Literal, get_args

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alert_text
from platform_assets.orchestration.alert_text import Alert

GIVE_UP_SECONDS = 15 * 60
SETTLE_SECONDS = 2.0  # concurrent writers commit ids out of order; after this long no earlier id is still to come
RUNS_PER_TICK = 25  # of each kind of ending
TICK_SECONDS = 30.0  # Dagster kills a tick after 60; the last run's alerts may still time out on top of this
TIMEOUT_SECONDS = 5.0

Ending = Literal[dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED]
FAILED: tuple[Ending, ...] = (dg.DagsterEventType.RUN_FAILURE,)
FINISHED: tuple[Ending, ...] = get_args(Ending)
AlertsOfRun = Callable[[dg.SensorEvaluationContext, dg.DagsterRun, dg.DagsterEvent, str], list[Alert]]


def alert_sensors(
    settings: Settings, webserver_url: str | None = None, settle_seconds: float = SETTLE_SECONDS
) -> list[dg.SensorDefinition]:
    """The two sensors, running by default; links to runs start with `webserver_url` (http://127.0.0.1:3000).

    Raises ValueError for a webhook that is no http(s) address: when definitions load, not when the first run fails.
    """
    webhook, base_url = settings.alert_webhook, (webserver_url or "http://127.0.0.1:3000").rstrip("/")
    if webhook and not webhook.startswith(("https://", "http://")):
        raise ValueError("PLATFORM_ALERT_WEBHOOK is not an http:// or https:// address")
    teller = _Teller(webhook, base_url, settle_seconds)
    return [
        _sensor("run_failure_alerts", "Tells about runs that failed or died.", FAILED, failed_run, teller),
        _sensor("failed_check_alerts", "Tells about failed blocking checks.", FINISHED, failed_checks, teller),
    ]


def _sensor(
    name: str,
    description: str,
    endings: tuple[Ending, ...],
    alerts_of_run: AlertsOfRun,
    teller: _Teller,
) -> dg.SensorDefinition:
    status = dg.DefaultSensorStatus.RUNNING

    @dg.sensor(name=name, description=description, minimum_interval_seconds=30, default_status=status)
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if context.cursor:
            return teller.tell_about_new_runs(context, endings, alerts_of_run)
        after = {ending.value: _newest_id(context.instance, ending) for ending in endings}
        context.update_cursor(json.dumps({"after": after, "taken": []}))
        return dg.SkipReason("First tick: alerts start with the runs that finish from now on")

    return sensor


def failed_run(
    context: dg.SensorEvaluationContext, run: dg.DagsterRun, event: dg.DagsterEvent, base_url: str
) -> list[Alert]:
    """The one alert of a failed run."""
    steps = _events(context.instance, run, dg.DagsterEventType.STEP_FAILURE)
    planned = _events(context.instance, run, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    assets = sorted({e.asset_key.to_user_string() for e in planned if e.asset_key})
    reason = alert_text.failure_reason(event, steps)
    return [alert_text.make_alert(run, base_url, f"Run of {run.job_name} failed", reason, assets=assets)]


def failed_checks(
    context: dg.SensorEvaluationContext, run: dg.DagsterRun, event: dg.DagsterEvent, base_url: str
) -> list[Alert]:
    """One alert for each blocking check that the finished run left failed with severity ERROR."""
    events = _events(context.instance, run, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [e.asset_check_evaluation_data for e in events]
    alerts = []
    for evaluation, partitions in alert_text.failed_blocking(found, _declared_blocking(context) if found else set()):
        asset, check = evaluation.asset_key.to_user_string(), evaluation.check_name
        partition = alert_text.list_partitions(partitions)
        title, reason = f"Blocking check {check} of {asset} failed", alert_text.check_reason(evaluation)
        alert = alert_text.make_alert(run, base_url, title, reason, assets=[asset], check=check, partition=partition)
        alerts.append(alert)
    return alerts


def _events(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    records = instance.get_records_for_run(run.run_id, of_type=kind).records
    return [r.event_log_entry.dagster_event for r in records if r.event_log_entry.dagster_event]


def _declared_blocking(context: dg.SensorEvaluationContext) -> set[dg.AssetCheckKey]:
    graph = context.repository_def.asset_graph if context.repository_def else None
    return {key for key in graph.asset_check_keys if graph.get(key).blocking} if graph else set()


@dataclass(frozen=True)
class _Teller:
    """Looks at new endings in order and delivers. Cursor: {"after": {ending: id}, "taken": [alerts of a held run]}."""

    webhook: str | None
    base_url: str
    settle_seconds: float

    def tell_about_new_runs(
        self, context: dg.SensorEvaluationContext, endings: Iterable[Ending], alerts_of_run: AlertsOfRun
    ) -> dg.SkipReason:
        cursor, deadline, passed = json.loads(context.cursor or ""), time.monotonic() + TICK_SECONDS, 0
        for ending, record in _new_endings(context.instance, endings, cursor["after"], self.settle_seconds):
            run_id, event = record.event_log_entry.run_id, record.event_log_entry.dagster_event
            run = context.instance.get_run_by_id(run_id)
            alerts = (
                alerts_of_run(context, run, event, self.base_url) if event and run and _is_ours(context, run) else []
            )
            may_wait = time.time() - record.timestamp < GIVE_UP_SECONDS
            done = [self._tell(context.log, alert, cursor["taken"], may_wait) for alert in alerts]
            if all(done):
                cursor["after"][ending.value] = record.storage_id
                cursor["taken"] = [name for name in cursor["taken"] if not name.startswith(run_id)]
                passed += 1
            if not all(done) or time.monotonic() > deadline:
                break
        context.update_cursor(json.dumps(cursor))
        return dg.SkipReason(f"Looked at {passed} finished runs")

    def _tell(self, log: Logger, alert: Alert, taken: list[str], may_wait: bool) -> bool:
        """Whether the alert is done with: taken by the webhook now or earlier, or not worth another try."""
        name, text = f"{alert.run_id} {alert.title}", alert_text.as_text(alert)
        if name in taken:
            return True
        try:
            if self.webhook:
                post(self.webhook, alert_text.as_payload(alert))
        except DeliveryError as error:
            again = may_wait and not error.permanent
            log.error(f"ALERT {'NOT YET' if again else 'NOT'} DELIVERED, {error}. {text}")
            return not again
        log.error(text)
        taken.append(name)
        return True


def _newest_id(instance: dg.DagsterInstance, ending: Ending) -> int:
    records = instance.fetch_run_status_changes(ending, limit=1).records
    return records[0].storage_id if records else 0


def _new_endings(
    instance: dg.DagsterInstance, endings: Iterable[Ending], after: Mapping[str, int], settle: float
) -> list[tuple[Ending, dg.EventLogRecord]]:
    found: list[tuple[Ending, dg.EventLogRecord]] = []
    for ending in endings:
        wanted = dg.RunStatusChangeRecordsFilter(ending, after_storage_id=after[ending.value])
        records = instance.fetch_run_status_changes(wanted, limit=RUNS_PER_TICK, ascending=True).records
        found.extend((ending, r) for r in takewhile(lambda r: r.timestamp <= time.time() - settle, records))
    return sorted(found, key=lambda pair: pair[1].timestamp)


def _is_ours(context: dg.SensorEvaluationContext, run: dg.DagsterRun) -> bool:
    # As Dagster's own run sensors decide: every location has these sensors, and a run belongs to one location.
    theirs = run.remote_job_origin.repository_origin.code_location_origin if run.remote_job_origin else None
    ours = context.code_location_origin
    return (theirs and theirs.location_name) == (ours and ours.location_name)


class DeliveryError(Exception):
    """The webhook did not take an alert. `permanent`: sending the same again cannot help."""

    def __init__(self, message: str, permanent: bool = False):
        super().__init__(message)
        self.permanent = permanent


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs) -> None:
        """Refuse: urllib follows a redirected POST with an empty GET, and the 200 of that would pass as delivered."""


def post(url: str, payload: Mapping[str, object], timeout: float = TIMEOUT_SECONDS) -> None:
    """POST `payload` as JSON, a second time after a connection error or 5xx. Raises DeliveryError; never shows `url`."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(payload).encode(), headers, method="POST")
    failure = DeliveryError("not sent")
    for _ in range(2):
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout):
                return
        except urllib.error.HTTPError as error:
            error.close()
            failure = DeliveryError(f"webhook answered {error.code}", error.code < 500 and error.code not in (408, 429))
        except (OSError, http.client.HTTPException) as error:
            failure = DeliveryError(f"webhook not reached: {alert_text.redact(str(error))}")
        if failure.permanent:
            break
    raise failure
