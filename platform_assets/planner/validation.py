"""Events in, typed events and quarantined events out, batch by batch.

Every row that comes in leaves on exactly one side. A row is refused by the first rule it breaks, in the order of
`RULES`; the reason names the path inside the JSON, so that the sender can mend it. What does not belong here: the
contract itself (`planner.contract`) and finding re-sent events, which needs the whole day (`sql/events.sql`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.planner import contract, event_batches, schemas

CLOCK_TOLERANCE = timedelta(minutes=5)
# Wide, because the rule depends on when it is asked: a row that passes it once must pass it at every later extraction, and
# the few rows of a clock that is a little fast must not be lost until somebody extracts the day again.
RECORDING_TOLERANCE = timedelta(days=1)
POSSIBLE_YEARS = range(1970, 2200)  # as in sql/source/events.sql
JSON_LIMIT_BYTES = 1024 * 1024  # as in sql/source/events.sql
RAW_LIMIT = 10_000
UNIT_ID_LIMIT = 128
REASON_LIMIT = 1_000
RULES: dict[str, str] = {
    "unknown_event_type": "event_type is none of the documented ones: add it to the contract or stop sending it",
    "malformed_unit_id": "unit_id is not the UUID of a household: send unit_type 'household' and its UUID",
    "impossible_timestamp": "timestamp is null or outside the years 1970 to 2199, so the row stands in the day it was recorded on",
    "clock_skew": "timestamp lies more than 5 minutes after created_at: mend the sender's clock",
    "recorded_in_the_future": "created_at lies more than a day after the source's own clock: mend what writes it",
    "oversized_json": "a JSON column holds more than 1 MiB of text: mend the sender",
    "malformed_payload": "payload breaks the contract of its event type: mend the field that the reason names",
    "malformed_context": "context breaks the contract: mend the field that the reason names",
    "malformed_experiments": "experiments is not a list of {experiment_id, variant_id}",
    "malformed_metrics": "metrics breaks the contract: mend the field that the reason names",
    "missing_policy_version_id": "context.policy_version_id is missing: the plan cannot be attributed to a policy",
    "missing_request_id": "context.request_id is missing: a re-sent event could not be recognised",
    "missing_experiment_id": "an entry of experiments has no experiment_id",
    "missing_variant_id": "an entry of experiments has no variant_id",
    "resent_event": "the same type, plan_id and request_id was recorded before; the first recording counts",
}
_PANTRY_KEYS = ("entity", "valid_from", "recorded_at", "id")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class Counts:
    """What validation did: rows in, typed rows out, rows refused by rule."""

    rows: int
    valid: int
    refused: dict[str, int]


class _Refused(Exception):
    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule


def validate_events(
    reader: pa.RecordBatchReader,
    read_at: datetime,
    valid: Path,
    refused: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> Counts:
    """Write the typed events (schemas.EVENTS) and the refused ones (schemas.QUARANTINED_EVENTS) as Parquet.

    `reader` yields the columns of sql/source/events.sql; `read_at` is the source's clock. `progress` hears of rows read.
    """
    rows = accepted = 0
    by_rule: dict[str, int] = {}
    with pq.ParquetWriter(valid, schemas.EVENTS) as good, pq.ParquetWriter(refused, schemas.QUARANTINED_EVENTS) as bad:
        for batch in reader:
            typed, quarantined = _split(batch, read_at)
            rows, accepted = rows + batch.num_rows, accepted + len(typed)
            for row in quarantined:
                by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + 1
            if typed:
                good.write_batch(event_batches.to_batch(typed))
            if quarantined:
                bad.write_batch(pa.RecordBatch.from_pylist(quarantined, schema=schemas.QUARANTINED_EVENTS))
            progress(rows)
    return Counts(rows, accepted, by_rule)


def type_pantry(reader: pa.RecordBatchReader, target: Path) -> int:
    """Write pantry snapshots with typed items; a malformed one keeps its row, with null items and the reason."""
    rows = 0
    with pq.ParquetWriter(target, schemas.PANTRY_SNAPSHOTS) as writer:
        for batch in reader:
            decoded = map(_decode_pantry, batch["items"].to_pylist(), batch["oversized"].to_pylist())
            items, malformed = zip(*decoded, strict=True) if batch else ((), ())
            columns = [batch[name].cast(schemas.PANTRY_SNAPSHOTS.field(name).type) for name in _PANTRY_KEYS]
            columns += [pa.array(items, schemas.PANTRY_SNAPSHOTS.field("items").type), pa.array(malformed, pa.string())]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schemas.PANTRY_SNAPSHOTS))
            rows += batch.num_rows
    return rows


def _decode_pantry(text: str | None, oversized: str | None) -> tuple[list[dict] | None, str | None]:
    if oversized:
        return None, oversized
    try:
        items = contract.PANTRY.decode(text or "null")
    except (msgspec.DecodeError, RecursionError) as error:
        return None, str(error)[:REASON_LIMIT]
    if text and not _is_plain(text) and (hidden := contract.find_hidden(items)):
        return None, hidden
    return [{"name": item.name, "quantity": item.quantity, "unit": item.unit} for item in items], None


def _split(batch: pa.RecordBatch, read_at: datetime) -> tuple[list[tuple], list[dict[str, Any]]]:
    typed, quarantined = [], []
    for row in zip(*(batch[name].to_pylist() for name in _SOURCE_COLUMNS), strict=True):
        try:
            typed.append(_typed(read_at, *row))
        except _Refused as refusal:
            quarantined.append(_quarantined(row, refusal))
    return typed, quarantined


_SOURCE_COLUMNS = (
    "id", "event_type", "unit_type", "unit_id", "experiments", "context", "metrics", "payload", "timestamp", "created_at",
    "oversized",
)  # fmt: skip


def _typed(
    read_at: datetime, event_id: str, event_type: str, unit_type: str, unit_id: str | None, experiments: str | None, context: str | None,
    metrics: str | None, payload: str | None, timestamp: datetime, created_at: datetime,
    oversized: str | None,
) -> tuple:  # fmt: skip
    """One typed event in the order of schemas.EVENTS; raises _Refused for the first rule the row breaks."""
    decoder = contract.PAYLOADS.get(event_type)
    if decoder is None:
        raise _Refused("unknown_event_type", f"event_type is {event_type!r}")
    is_plan_event = event_type in contract.PLAN_EVENTS
    unit_id = _unit_id(is_plan_event, unit_type, unit_id)
    _judge_times(timestamp, created_at, read_at)
    if oversized:
        raise _Refused("oversized_json", oversized)
    body = _decode(decoder, payload, "null", "malformed_payload")
    where = _decode(contract.CONTEXT, context, "{}", "malformed_context")
    arms = _decode(contract.EXPERIMENTS, experiments, "[]", "malformed_experiments")
    measured = _decode(contract.METRICS, metrics, "{}", "malformed_metrics")
    if is_plan_event:
        _require(where, arms)
    arm = arms[0] if arms else contract.ExperimentArm()
    return (
        event_id, event_type, unit_id, timestamp, created_at, getattr(body, "plan_id", None), where.request_id,
        where.policy_version_id, where.workflow_type or "plan-first", where.mode or "autopilot", where.app_version,
        where.propensity, arm.experiment_id, arm.variant_id, measured.latency_ms, measured.token_count,
        measured.cost_usd, measured.edit_count, body.plan.meals if isinstance(body, contract.PlanPayload) else None,
        _edit(body), getattr(body, "rejection_reason", None) or getattr(body, "intervention_type", None),
    )  # fmt: skip


def _unit_id(is_plan_event: bool, unit_type: str | None, unit_id: str | None) -> str | None:
    if is_plan_event:
        if unit_type != "household" or not _UUID.fullmatch(unit_id or ""):
            raise _Refused("malformed_unit_id", f"unit_type {unit_type!r}, unit_id {unit_id!r}")
        return unit_id.lower() if unit_id else None  # as Postgres writes the UUIDs that it is joined to
    if unit_id and (len(unit_id) > UNIT_ID_LIMIT or contract.find_hidden(unit_id)):
        raise _Refused("malformed_unit_id", f"longer than {UNIT_ID_LIMIT} or with hidden characters: {unit_id!r}")
    return unit_id


def _judge_times(timestamp: datetime, created_at: datetime, read_at: datetime) -> None:
    if timestamp.year not in POSSIBLE_YEARS:
        raise _Refused("impossible_timestamp", f"timestamp is {timestamp.isoformat()} (or beyond)")
    if timestamp - created_at > CLOCK_TOLERANCE:
        raise _Refused("clock_skew", f"timestamp is {timestamp - created_at} after created_at")
    if created_at - read_at > RECORDING_TOLERANCE:
        # Without the clock's time: the same row, read again tomorrow, is the same row of the quarantine.
        raise _Refused("recorded_in_the_future", f"created_at is {created_at.isoformat()} (or beyond)")


def _decode(decoder: msgspec.json.Decoder, text: str | None, missing: str, rule: str) -> Any:
    text = missing if text is None else text
    try:
        decoded = decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Refused(rule, str(error)) from None
    if not _is_plain(text) and (hidden := contract.find_hidden(decoded)):
        raise _Refused(rule, hidden)
    return decoded


def _is_plain(text: str) -> bool:
    """Whether no hidden character can be in it: nearly every row, told from the text at a fraction of what a look costs."""
    return text.isascii() and "\\" not in text and "\x7f" not in text


def _require(context: contract.Context, arms: list[contract.ExperimentArm]) -> None:
    if context.policy_version_id is None:
        raise _Refused("missing_policy_version_id", "context.policy_version_id is missing")
    if context.request_id is None:
        raise _Refused("missing_request_id", "context.request_id is missing")
    for position, arm in enumerate(arms):
        if arm.experiment_id is None:
            raise _Refused("missing_experiment_id", f"experiments[{position}].experiment_id is missing")
        if arm.variant_id is None:
            raise _Refused("missing_variant_id", f"experiments[{position}].variant_id is missing")


def _edit(body: Any) -> tuple | None:
    """An edit in the order of schemas.EDIT: type, day, from, to, recipe_id, servings."""
    match body:
        case contract.MealSwapped():
            return ("swap_meal", body.day, body.from_recipe, body.to_recipe, None, None)
        case contract.AdjustServings():
            return ("adjust_servings", body.day, None, None, None, body.servings)
        case contract.RemoveMeal():
            return ("remove_meal", body.day, None, None, None, None)
        case contract.AddMeal():
            return ("add_meal", body.day, None, None, body.recipe_id, body.servings)
    return None


def _quarantined(row: tuple, refusal: _Refused) -> dict[str, Any]:
    source = dict(zip(_SOURCE_COLUMNS, row, strict=True))
    return {
        "event_id": source["id"],
        "event_type": _excerpt(source["event_type"], REASON_LIMIT),
        "household_id": _excerpt(source["unit_id"], REASON_LIMIT),
        "timestamp": source["timestamp"],
        "created_at": source["created_at"],
        "rule": refusal.rule,
        "reason": str(refusal)[:REASON_LIMIT],
        "payload": _excerpt(source["payload"], RAW_LIMIT),
        "context": _excerpt(source["context"], RAW_LIMIT),
    }


def _excerpt(text: str | None, limit: int) -> str:
    """The text's beginning; of what was cut, how much it was and its SHA-256, so that the whole can be recognised."""
    if not text or len(text) <= limit:
        return text or ""
    content = text.encode()
    return f"{text[:limit]}… ({len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()})"
