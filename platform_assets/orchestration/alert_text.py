"""What an alert says: pure functions from a run's events to words, tested without a run or a receiver.

Which runs to look at and how a message reaches a person is in alerts.py. No text leaves here before `redact`: error
messages of database drivers and S3 clients quote the address, and with it the password, that they failed on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg

REASON_LINES = 8
REASON_CHARACTERS = 1500  # Slack refuses a section of more than 3000; escaping can double a few
LISTED_PARTITIONS = 10

_HIDDEN = "[redacted]"
_NAME = r"[\w-]*(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|credential|signature)"
_SECRETS = (
    # user:password@ and token@ of any address, up to the last @ of the word: passwords contain @ and /
    (re.compile(r"(\w[\w+.-]*://)(?:[^\s/@:'\"]*:[^\s'\"]*|[^\s/@:'\"]+)@"), rf"\1{_HIDDEN}@"),
    (re.compile(r"(hooks\.slack\.com/)[^\s'\"]+"), rf"\1{_HIDDEN}"),
    (re.compile(rf"(?i)({_NAME}[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&'\"]+)"), rf"\1{_HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), _HIDDEN),
    # An AWS secret key: 40 characters of base64. Mixed case and a digit, so that a git commit id stays readable.
    (re.compile(r"(?<![\w/+=])(?=[^\s]*[A-Z])(?=[^\s]*[a-z])(?=[^\s]*\d)[A-Za-z0-9/+]{40}(?![\w/+=])"), _HIDDEN),
)


@dataclass(frozen=True)
class Alert:
    """What a person needs to act. Build it with `make_alert`, which redacts."""

    title: str
    assets: tuple[str, ...]
    check: str | None
    partition: str | None
    run_id: str
    run_url: str
    reason: str
    severity: str


def make_alert(run: dg.DagsterRun, base_url: str, title: str, reason: str, **what: Any) -> Alert:
    """An alert about `run`; `what` may give assets, check and partition, else the run's own are named."""
    assets = what.get("assets") or sorted(key.to_user_string() for key in run.asset_selection or ())
    return Alert(
        title=redact(title),
        assets=tuple(assets),
        check=what.get("check"),
        partition=what.get("partition") or run_partition(run.tags),
        run_id=run.run_id,
        run_url=redact(f"{base_url}/runs/{run.run_id}"),
        reason=_first_lines(redact(reason)),
        severity="ERROR",
    )


def redact(text: str) -> str:
    """`text` without passwords, tokens and keys. Rather hides a harmless word than shows a secret."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def as_text(alert: Alert) -> str:
    """The alert for the log, and for a phone's notification."""
    lines = [f"{alert.severity}: {alert.title}", *(f"{name}: {value}" for name, value in _facts(alert)), alert.reason]
    return "\n".join(lines)


def as_payload(alert: Alert) -> dict[str, Any]:
    """The JSON that is POSTed: Slack's `text` and `blocks`, and every field plainly for other receivers."""
    facts = "\n".join(f"*{name}:* {_escape(value)}" for name, value in _facts(alert))
    header = _escape(f"{alert.severity}: {alert.title}")
    sections = [f"*{header}*", facts, f"```{_escape(alert.reason)}```"]
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": section[:3000]}} for section in sections]
    return {"text": header, "blocks": blocks, **asdict(alert)}


def _facts(alert: Alert) -> list[tuple[str, str]]:
    facts = [("Assets", ", ".join(alert.assets)), ("Check", alert.check), ("Partition", alert.partition)]
    return [(name, value) for name, value in [*facts, ("Run", alert.run_url)] if value]


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _first_lines(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()][:REASON_LINES]
    return "\n".join(lines)[:REASON_CHARACTERS] or "no reason was recorded"


def run_partition(tags: Mapping[str, str]) -> str | None:
    """The partition, or 'first...last' of the range, that a run was asked for; None when it has none."""
    first, last = tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
    return tags.get("dagster/partition") or (f"{first}...{last}" if first and last else None)


def list_partitions(keys: Sequence[str]) -> str | None:
    """The keys as a line a person can read, however many there are."""
    more = len(keys) - LISTED_PARTITIONS
    return (", ".join(keys[:LISTED_PARTITIONS]) + (f" and {more} more" if more > 0 else "")) or None


def failure_reason(event: dg.DagsterEvent, failed_steps: Sequence[dg.DagsterEvent]) -> str:
    """The innermost error of the first failed steps; else the run's own error or message, as of a killed worker."""
    errors = [(f"{step.step_key}: ", step.step_failure_data.error) for step in failed_steps[:3]]
    if not errors and event.event_specific_data:
        errors = [("", event.job_failure_data.error)]
    reasons = [where + _innermost(error) for where, error in errors if error]
    return "\n".join(reasons) or event.message or ""


def _innermost(error: Any) -> str:
    # The outer error only says that a step failed; what the asset raised is its last cause.
    while error.cause:
        error = error.cause
    return error.message.strip()


def check_reason(evaluation: dg.AssetCheckEvaluation) -> str:
    """The check's description, then its metadata, a line each."""
    values = [f"{name}: {getattr(value, 'value', value)}" for name, value in evaluation.metadata.items()]
    return "\n".join([evaluation.description or f"{evaluation.check_name} did not pass", *values])


def failed_blocking(
    evaluations: Iterable[dg.AssetCheckEvaluation], declared: set[dg.AssetCheckKey]
) -> Iterator[tuple[dg.AssetCheckEvaluation, list[str]]]:
    """For each failed blocking check of one run: the evaluation that explains it best, and its failed partitions.

    The last evaluation of a partition counts (a retried step evaluates again). Evaluations logged by an asset may not
    say that they block: the summary of the same run says it for them, or `declared`, when the run died before it.
    """
    latest: dict[dg.AssetCheckKey, dict[str | None, dg.AssetCheckEvaluation]] = {}
    blocking = set(declared)
    for evaluation in evaluations:
        latest.setdefault(evaluation.asset_check_key, {})[evaluation.partition] = evaluation
        blocking |= {evaluation.asset_check_key} if evaluation.blocking else set()
    for key, by_partition in latest.items():
        bad = [e for e in by_partition.values() if not e.passed and e.severity == dg.AssetCheckSeverity.ERROR]
        if bad and key in blocking:
            best = max(bad, key=lambda e: (bool(e.description or e.metadata), e.partition is None))
            yield best, sorted(e.partition for e in bad if e.partition is not None)
