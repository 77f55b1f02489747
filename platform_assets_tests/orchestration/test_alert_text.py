"""The words of an alert: what is hidden, what is shown, and which evaluations make one alert."""

import dagster as dg
import pytest

from platform_assets.orchestration import alert_text

KEY = dg.AssetKey(["planner", "events"])


def evaluation(passed=False, **fields):
    return dg.AssetCheckEvaluation(asset_key=KEY, check_name=fields.pop("name", "complete"), passed=passed, **fields)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://user:password1@host:5432/db is down", "password1"),
        ("postgresql+psycopg://user:pa/ss@wo:rd@host/db", "wo:rd"),
        ("could not connect: host=db password=hunter2 user=x", "hunter2"),
        ("password='two words' host=db", "two words"),
        ('{"aws_secret_access_key": "abc/def"}', "abc/def"),
        ("AWS_SECRET_ACCESS_KEY=abcdef", "abcdef"),
        ("key ASIAIOSFODNN7EXAMPLE was refused", "ASIAIOSFODNN7EXAMPLE"),
        ("signed with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "K7MDENG"),
        ("Authorization: Bearer abc.def.ghi-123", "abc.def.ghi-123"),
        ("https://token0123@git.example/x.git", "token0123"),
        ("GET s3/x?X-Amz-Signature=0badc0de&X-Amz-Date=1", "0badc0de"),
        ("posted to https://hooks.slack.com/services/T0/B0/xyz", "T0/B0"),
    ],
)
def test_credentials_are_hidden(text, secret):
    hidden = alert_text.redact(text)
    assert secret not in hidden
    assert "[redacted]" in hidden


@pytest.mark.parametrize(
    "text",
    [
        "ValueError: 12 rows of planner/events/2025-01-03 have no plan_id",
        "s3://bucket/datasets/planner/2025-01-10/manifest.json",
        "token_count=12, max_tokens: 5, http://127.0.0.1:3000/runs/0a1b",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "digest " + "0123456789abcdef" * 4,
    ],
)
def test_what_is_no_credential_stays_readable(text):
    assert alert_text.redact(text) == text


def test_a_long_reason_is_cut_after_its_secrets_are_hidden():
    run = dg.DagsterRun(job_name="job", run_id="0" * 32)
    reason = "\n".join(f"line {i}" for i in range(100)) + "x" * 10_000
    alert = alert_text.make_alert(run, "http://x", "title", reason)
    assert alert.reason.splitlines() == [f"line {i}" for i in range(alert_text.REASON_LINES)]
    edge = "y" * (alert_text.REASON_CHARACTERS - 12) + " password=hunter2"
    assert "hunt" not in alert_text.make_alert(run, "http://x", "title", edge).reason


def test_the_payload_is_what_slack_accepts_and_holds_every_field_plainly():
    run = dg.DagsterRun(job_name="job", run_id="0" * 32, tags={"dagster/partition": "2025-01-03"})
    alert = alert_text.make_alert(run, "http://x", "a <b> & c", "1 < 2", assets=["planner/events"], check="complete")
    payload = alert_text.as_payload(alert)
    assert payload["text"] == "ERROR: a &lt;b&gt; &amp; c"
    assert payload["blocks"][2]["text"] == {"type": "mrkdwn", "text": "```1 &lt; 2```"}
    assert payload["reason"] == "1 < 2"
    assert payload["partition"] == "2025-01-03"
    assert {"assets", "check", "run_id", "run_url", "severity"} <= payload.keys()
    assert alert_text.as_text(alert).splitlines()[1:] == [
        "Assets: planner/events",
        "Check: complete",
        "Partition: 2025-01-03",
        f"Run: http://x/runs/{'0' * 32}",
        "1 < 2",
    ]


def test_many_partitions_are_counted_instead_of_listed():
    keys = [f"2025-01-{day:02}" for day in range(1, 31)]
    assert alert_text.list_partitions(keys).endswith("2025-01-10 and 20 more")
    assert alert_text.list_partitions([]) is None


def test_the_last_evaluation_of_a_partition_counts():
    twice = [evaluation(partition="a", blocking=True), evaluation(passed=True, partition="a", blocking=True)]
    assert list(alert_text.failed_blocking(twice, set())) == []
    assert len(list(alert_text.failed_blocking(twice[::-1], set()))) == 1


def test_evaluations_that_do_not_say_that_they_block_take_it_from_the_summary_or_the_definition():
    logged = [evaluation(partition="b"), evaluation(partition="a")]
    assert list(alert_text.failed_blocking(logged, set())) == []
    declared = {dg.AssetCheckKey(KEY, "complete")}
    assert [keys for _, keys in alert_text.failed_blocking(logged, declared)] == [["a", "b"]]
    summary = evaluation(blocking=True, description="2 of 9")
    [(best, keys)] = alert_text.failed_blocking([*logged, summary], set())
    assert (best, keys) == (summary, ["a", "b"])


def test_a_warning_is_no_alert_and_two_checks_are_two():
    warning = evaluation(blocking=True, severity=dg.AssetCheckSeverity.WARN)
    assert list(alert_text.failed_blocking([warning], set())) == []
    both = [evaluation(blocking=True), evaluation(name="fresh", blocking=True)]
    assert [best.check_name for best, _ in alert_text.failed_blocking(both, set())] == ["complete", "fresh"]
