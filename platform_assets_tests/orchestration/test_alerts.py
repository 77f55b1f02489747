"""Alerts: real runs on a temporary instance, a real local receiver, and the wording alone."""

import json
from dataclasses import replace

import dagster as dg
import pytest

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts
from platform_assets_tests.orchestration.alert_receiver import Receiver, Watcher, checks_of, nobody_listening, run

DAILY = dg.DailyPartitionsDefinition("2025-01-03", end_date="2025-01-10")
RANGE = {"dagster/asset_partition_range_start": "2025-01-03", "dagster/asset_partition_range_end": "2025-01-06"}
SECRET = "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY postgresql://app:s3cr@t/x@db:5432/exp"


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@dg.job
def hopeless():
    @dg.op
    def explode():
        raise RuntimeError(f"cannot read {SECRET}\nsecond line")

    explode()


@dg.asset(partitions_def=DAILY, check_specs=[dg.AssetCheckSpec("complete", asset="single", blocking=True)])
def single(context):
    yield dg.MaterializeResult()
    passed = context.partition_key != "2025-01-05"
    yield dg.AssetCheckResult(passed=passed, description="rows are missing", metadata={"missing": 3})


@dg.asset(
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("complete", asset="ranged", blocking=True, partitions_def=DAILY)],
)
def ranged(context):
    yield dg.MaterializeResult()
    for key in context.partition_keys:
        passed = key not in ("2025-01-04", "2025-01-05")
        context.log_event(
            dg.AssetCheckEvaluation(asset_key=context.asset_key, check_name="complete", passed=passed, partition=key)
        )
    if context.run.tags.get("dies"):
        raise MemoryError("killed before the summary")
    yield dg.AssetCheckResult(passed=False, description="2 of 4 days are incomplete")


@dg.asset(
    check_specs=[
        dg.AssetCheckSpec("loud", asset="harmless"),
        dg.AssetCheckSpec("quiet", asset="harmless", blocking=True),
    ]
)
def harmless():
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(check_name="loud", passed=False)
    yield dg.AssetCheckResult(check_name="quiet", passed=False, severity=dg.AssetCheckSeverity.WARN)


def test_a_failed_run_is_told_once_with_its_step_link_and_innermost_error(instance, receiver):
    watcher = Watcher(instance, receiver.url)
    run_id = hopeless.execute_in_process(instance=instance, raise_on_error=False).run_id
    watcher.tick()
    watcher.tick()
    [message] = receiver.received
    assert message["title"] == "Run of hopeless failed"
    assert message["run_url"] == f"http://dagster.example/runs/{run_id}"
    assert message["reason"].startswith("explode: RuntimeError: cannot read")
    assert message["severity"] == "ERROR"
    assert [block["type"] for block in message["blocks"]] == ["section"] * 3


def test_no_part_of_a_message_carries_a_secret(instance, receiver, caplog, capfd):
    watcher = Watcher(instance, receiver.url)
    hopeless.execute_in_process(instance=instance, raise_on_error=False)
    capfd.readouterr()
    receiver.answers = [500, 500]
    watcher.tick()
    watcher.tick()
    everything = json.dumps(receiver.received) + caplog.text + capfd.readouterr().err
    assert len(receiver.received) == 1
    assert "cannot read" in everything
    for secret in [*SECRET.split()[:2], "s3cr", "t/x", receiver.url]:
        assert secret not in everything


def test_a_run_marked_failed_from_outside_is_told_with_the_monitors_message(instance, receiver):
    watcher = Watcher(instance, receiver.url)
    killed = instance.create_run_for_job(hopeless, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(killed, message="Run worker was killed (137)")
    watcher.tick()
    assert [m["reason"] for m in receiver.received] == ["Run worker was killed (137)"]


def test_a_failed_blocking_check_names_asset_partition_description_and_metadata(instance, receiver):
    watcher = Watcher(instance, receiver.url)
    run(instance, single, partition_key="2025-01-04")
    run(instance, single, partition_key="2025-01-05")
    watcher.tick()
    watcher.tick()
    [message] = checks_of(receiver.received)
    assert (message["assets"], message["check"], message["partition"]) == (["single"], "complete", "2025-01-05")
    assert message["reason"] == "rows are missing\nmissing: 3"
    assert len(receiver.received) == 2, "the run failed too, and the passing partition said nothing"


def test_a_range_with_a_result_per_partition_and_a_summary_is_one_alert_with_the_failed_days(instance, receiver):
    watcher = Watcher(instance, receiver.url)
    run(instance, ranged, tags=RANGE)
    watcher.tick()
    watcher.tick()
    [message] = checks_of(receiver.received)
    assert message["partition"] == "2025-01-04, 2025-01-05"
    assert message["reason"] == "2 of 4 days are incomplete"
    assert {m["partition"] for m in receiver.received} - {message["partition"]} == {"2025-01-03...2025-01-06"}


def test_a_range_run_that_died_before_its_summary_still_tells_the_failed_days(instance, receiver):
    watcher = Watcher(instance, receiver.url, defs=dg.Definitions([ranged]))
    run(instance, ranged, tags={**RANGE, "dies": "yes"})
    watcher.tick()
    assert [m["partition"] for m in checks_of(receiver.received)] == ["2025-01-04, 2025-01-05"]


def test_checks_that_do_not_block_or_only_warn_send_nothing(instance, receiver):
    watcher = Watcher(instance, receiver.url)
    run(instance, harmless)
    watcher.tick()
    assert receiver.received == []


def test_what_failed_before_the_first_tick_is_not_told(instance, receiver):
    run(instance, single, partition_key="2025-01-05")
    watcher = Watcher(instance, receiver.url)
    watcher.tick()
    assert receiver.received == []


def test_a_run_that_only_just_ended_is_told_at_a_later_tick(instance, receiver):
    patient = Watcher(instance, receiver.url, settle_seconds=3600)
    run(instance, single, partition_key="2025-01-05")
    patient.tick()
    assert receiver.received == []
    later = Watcher(instance, receiver.url)
    later.cursors = patient.cursors
    later.tick()
    assert len(receiver.received) == 2


def test_more_runs_than_one_tick_takes_are_told_by_the_next_ones(instance, receiver, monkeypatch):
    monkeypatch.setattr(alerts, "RUNS_PER_TICK", 2)
    watcher = Watcher(instance, receiver.url)
    runs = {run(instance, single, partition_key="2025-01-05") for _ in range(3)}
    watcher.tick()
    assert len(checks_of(receiver.received)) == 2
    watcher.tick()
    assert {m["run_id"] for m in checks_of(receiver.received)} == runs


def test_a_receiver_that_answers_500_then_200_gets_the_alert_in_the_same_tick(instance, receiver):
    watcher = Watcher(instance, receiver.url)
    hopeless.execute_in_process(instance=instance, raise_on_error=False)
    receiver.answers = [500]
    watcher.tick()
    watcher.tick()
    assert len(receiver.received) == 1


def test_of_two_checks_of_a_held_run_only_the_one_not_taken_is_sent_again(instance, receiver):
    @dg.asset(check_specs=[dg.AssetCheckSpec(n, asset="double", blocking=True) for n in ("one", "two")])
    def double():
        yield dg.MaterializeResult()
        yield dg.AssetCheckResult(check_name="one", passed=False)
        yield dg.AssetCheckResult(check_name="two", passed=False)

    watcher = Watcher(instance, receiver.url)
    run(instance, double)
    receiver.answers = [200, 200, 500, 500]
    watcher.tick()
    watcher.tick()
    watcher.tick()
    assert sorted(m["check"] for m in checks_of(receiver.received)) == ["one", "two"]


def test_a_receiver_that_is_down_holds_the_alert_loudly_and_gets_it_when_it_is_back(instance, capfd):
    with nobody_listening() as url:
        watcher = Watcher(instance, url)
        hopeless.execute_in_process(instance=instance, raise_on_error=False)
        before = dict(watcher.cursors)
        watcher.tick()
    assert watcher.cursors["run_failure_alerts"] == before["run_failure_alerts"]
    assert "ALERT NOT YET DELIVERED, webhook not reached" in capfd.readouterr().err
    back = Receiver()
    later = Watcher(instance, back.url)
    later.cursors = watcher.cursors
    later.tick()
    back.close()
    assert len(back.received) == 1


@pytest.mark.parametrize("answers", [[404], [302]])
def test_a_receiver_that_refuses_does_not_hold_the_queue(instance, receiver, capfd, answers):
    watcher = Watcher(instance, receiver.url)
    hopeless.execute_in_process(instance=instance, raise_on_error=False)
    receiver.answers = list(answers)
    watcher.tick()
    assert f"ALERT NOT DELIVERED, webhook answered {answers[0]}" in capfd.readouterr().err
    watcher.tick()
    assert receiver.received == []


def test_an_alert_older_than_the_limit_stays_in_the_log_and_lets_the_next_ones_pass(instance, monkeypatch, capfd):
    monkeypatch.setattr(alerts, "GIVE_UP_SECONDS", 0)
    with nobody_listening() as url:
        watcher = Watcher(instance, url)
        hopeless.execute_in_process(instance=instance, raise_on_error=False)
        before = dict(watcher.cursors)
        watcher.tick()
    assert watcher.cursors["run_failure_alerts"] != before["run_failure_alerts"]
    assert "ALERT NOT DELIVERED" in capfd.readouterr().err


def test_without_a_webhook_the_alert_is_in_the_log(instance, capfd):
    watcher = Watcher(instance, None)
    hopeless.execute_in_process(instance=instance, raise_on_error=False)
    capfd.readouterr()
    watcher.tick()
    assert "ERROR: Run of hopeless failed" in capfd.readouterr().err


def test_the_sensors_run_by_default_and_a_webhook_that_is_no_web_address_is_refused():
    settings = Settings.from_environment({})
    running = {sensor.default_status for sensor in alerts.alert_sensors(settings)}
    assert running == {dg.DefaultSensorStatus.RUNNING}
    with pytest.raises(ValueError, match="PLATFORM_ALERT_WEBHOOK"):
        alerts.alert_sensors(replace(settings, alert_webhook="file:///etc/passwd"))
