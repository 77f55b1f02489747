"""Typed events as one Arrow batch, column by column.

Rows come in the order of schemas.EVENTS. What makes a row valid does not belong here (`planner.validation`).
"""

from __future__ import annotations

import pyarrow as pa

from platform_assets.planner import contract, schemas


def to_batch(rows: list[tuple]) -> pa.RecordBatch:
    """The rows, whose meals are `contract.Meal`s and whose edit is in the order of schemas.EDIT, as one batch."""
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
