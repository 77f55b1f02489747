"""Events in, typed events and quarantined events out, batch by batch.

Every row that comes in leaves on exactly one side. A row is refused by the first rule it breaks, in the order of
`RULES`; the reason names the path inside the JSON, so that the sender can mend it. What does not belong here: the
contract itself (`planner.contract`) and finding re-sent events, which needs the whole day (`sql/events.sql`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.planner import contract, schemas

CLOCK_TOLERANCE = timedelta(minutes=5)
RAW_LIMIT = 10_000
RULES: dict[str, str] = {
    "unknown_event_type": "event_type is none of the documented ones: add it to the contract or stop sending it",
    "malformed_unit_id": "unit_id is not the UUID of a household: send unit_type 'household' and its UUID",
    "clock_skew": "timestamp lies more than 5 minutes after created_at: mend the sender's clock",
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
    reader: pa.RecordBatchReader, valid: Path, refused: Path, progress: Callable[[int], None] = lambda rows: None
) -> Counts:
    """Write the typed events (schemas.EVENTS) and the refused ones (schemas.QUARANTINED_EVENTS) as Parquet.

    `reader` yields id, event_type, unit_type, unit_id, experiments, context, metrics, payload (JSON text), timestamp and
    created_at. `progress` is told the rows read so far.
    """
    rows = accepted = 0
    by_rule: dict[str, int] = {}
    with pq.ParquetWriter(valid, schemas.EVENTS) as good, pq.ParquetWriter(refused, schemas.QUARANTINED_EVENTS) as bad:
        for batch in reader:
            typed, quarantined = _split(batch)
            rows, accepted = rows + batch.num_rows, accepted + len(typed)
            for row in quarantined:
                by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + 1
            if typed:
                good.write_batch(_to_batch(typed))
            if quarantined:
                bad.write_batch(pa.RecordBatch.from_pylist(quarantined, schema=schemas.QUARANTINED_EVENTS))
            progress(rows)
    return Counts(rows, accepted, by_rule)


def type_pantry(reader: pa.RecordBatchReader, target: Path) -> int:
    """Write pantry snapshots with typed items; a malformed one keeps its row, with null items and the reason."""
    rows = 0
    with pq.ParquetWriter(target, schemas.PANTRY_SNAPSHOTS) as writer:
        for batch in reader:
            items, malformed = zip(*map(_decode_pantry, batch["items"].to_pylist()), strict=True) if batch else ((), ())
            columns = [batch[name].cast(schemas.PANTRY_SNAPSHOTS.field(name).type) for name in _PANTRY_KEYS]
            columns += [pa.array(items, schemas.PANTRY_SNAPSHOTS.field("items").type), pa.array(malformed, pa.string())]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schemas.PANTRY_SNAPSHOTS))
            rows += batch.num_rows
    return rows


_PANTRY_KEYS = ("entity", "valid_from", "recorded_at", "id")


def _decode_pantry(text: str | None) -> tuple[list[dict] | None, str | None]:
    try:
        items = contract.PANTRY.decode(text or "null")
    except (msgspec.DecodeError, RecursionError) as error:
        return None, str(error)
    return [{"name": item.name, "quantity": item.quantity, "unit": item.unit} for item in items], None


def _split(batch: pa.RecordBatch) -> tuple[list[tuple], list[dict[str, Any]]]:
    typed, quarantined = [], []
    for row in zip(*(batch[name].to_pylist() for name in _SOURCE_COLUMNS), strict=True):
        try:
            typed.append(_typed(*row))
        except _Refused as refusal:
            quarantined.append(_quarantined(row, refusal))
    return typed, quarantined


_SOURCE_COLUMNS = (
    "id", "event_type", "unit_type", "unit_id", "experiments", "context", "metrics", "payload", "timestamp", "created_at",
)  # fmt: skip


def _typed(
    event_id: str, event_type: str, unit_type: str, unit_id: str, experiments: str | None, context: str | None,
    metrics: str | None, payload: str | None, timestamp: Any, created_at: Any,
) -> tuple:  # fmt: skip
    """One typed event in the order of schemas.EVENTS; raises _Refused for the first rule the row breaks."""
    decoder = contract.PAYLOADS.get(event_type)
    if decoder is None:
        raise _Refused("unknown_event_type", f"event_type is {event_type!r}")
    is_plan_event = event_type in contract.PLAN_EVENTS
    if is_plan_event and (unit_type != "household" or not _UUID.fullmatch(unit_id or "")):
        raise _Refused("malformed_unit_id", f"unit_type {unit_type!r}, unit_id {unit_id!r}")
    if is_plan_event:
        unit_id = unit_id.lower()  # as Postgres writes the UUIDs that it is joined to
    if timestamp - created_at > CLOCK_TOLERANCE:
        raise _Refused("clock_skew", f"timestamp is {timestamp - created_at} after created_at")
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


def _decode(decoder: msgspec.json.Decoder, text: str | None, missing: str, rule: str) -> Any:
    try:
        return decoder.decode(missing if text is None else text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Refused(rule, str(error)) from None


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
        "event_type": source["event_type"],
        "household_id": source["unit_id"],
        "timestamp": source["timestamp"],
        "created_at": source["created_at"],
        "rule": refusal.rule,
        "reason": str(refusal)[:1000],
        "payload": (source["payload"] or "")[:RAW_LIMIT],
        "context": (source["context"] or "")[:RAW_LIMIT],
    }


def _to_batch(rows: list[tuple]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    arrays = []
    for field, values in zip(schemas.EVENTS, columns, strict=True):
        if field.name == "meals":
            arrays.append(_meals_array(values))
        elif field.name == "edit":
            arrays.append(_edit_array(values))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schemas.EVENTS)


def _meals_array(plans: tuple[list[contract.Meal] | None, ...]) -> pa.Array:
    """list<struct> from flat columns: several times as fast as handing Arrow a list of lists of dictionaries."""
    flat = [meal for plan in plans if plan for meal in plan]
    offsets, total = [], 0
    for plan in plans:
        offsets.append(None if plan is None else total)
        total += len(plan) if plan else 0
    offsets.append(total)
    values = pa.StructArray.from_arrays(
        [
            pa.array([meal.day for meal in flat], pa.string()),
            pa.array([meal.recipe_id for meal in flat], pa.string()),
            pa.array([meal.servings for meal in flat], pa.int32()),
        ],
        fields=list(schemas.MEAL),
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=pa.list_(schemas.MEAL))


def _edit_array(edits: tuple[tuple | None, ...]) -> pa.Array:
    missing = (None,) * schemas.EDIT.num_fields
    columns = zip(*(edit or missing for edit in edits), strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schemas.EDIT, strict=True)]
    mask = pa.array([edit is None for edit in edits])
    return pa.StructArray.from_arrays(arrays, fields=list(schemas.EDIT), mask=mask)
