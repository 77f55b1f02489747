"""Arrow schemas of the planner's tables that Python builds; tables that SQL builds get theirs from the SQL."""

from __future__ import annotations

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")
MEAL = pa.struct([("day", pa.string()), ("recipe_id", pa.string()), ("servings", pa.int32())])
EDIT = pa.struct(
    [
        ("type", pa.string()),
        ("day", pa.string()),
        ("from", pa.string()),
        ("to", pa.string()),
        ("recipe_id", pa.string()),
        ("servings", pa.int32()),
    ]
)
PANTRY_ITEM = pa.struct([("name", pa.string()), ("quantity", pa.float64()), ("unit", pa.string())])

EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("household_id", pa.string()),
        ("timestamp", TIMESTAMP),
        ("created_at", TIMESTAMP),
        ("plan_id", pa.string()),
        ("request_id", pa.string()),
        ("policy_version_id", pa.string()),
        ("workflow_type", pa.string()),
        ("mode", pa.string()),
        ("app_version", pa.string()),
        ("propensity", pa.float64()),
        ("experiment_id", pa.string()),
        ("variant_id", pa.string()),
        ("latency_ms", pa.float64()),
        ("token_count", pa.int64()),
        ("cost_usd", pa.float64()),
        ("edit_count", pa.int64()),
        ("meals", pa.list_(MEAL)),
        ("edit", EDIT),
        ("detail", pa.string()),
    ]
)
QUARANTINED_EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("household_id", pa.string()),
        ("timestamp", TIMESTAMP),
        ("created_at", TIMESTAMP),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("payload", pa.string()),
        ("context", pa.string()),
    ]
)
PANTRY_SNAPSHOTS = pa.schema(
    [
        ("entity", pa.string()),
        ("valid_from", TIMESTAMP),
        ("recorded_at", TIMESTAMP),
        ("id", pa.string()),
        ("items", pa.list_(PANTRY_ITEM)),
        ("malformed", pa.string()),
    ]
)
INGREDIENT = pa.struct(
    [
        ("name", pa.string()),
        ("quantity", pa.float64()),
        ("unit", pa.string()),
        ("staple", pa.bool_()),
        ("perishable", pa.bool_()),
    ]
)
RECIPES = pa.schema(
    [
        ("id", pa.string()),
        ("title", pa.string()),
        ("cuisine", pa.string()),
        ("main_protein", pa.string()),
        ("ingredients", pa.list_(INGREDIENT)),
        ("tags", pa.list_(pa.string())),
        ("allergens", pa.list_(pa.string())),
        ("diets", pa.list_(pa.string())),
        ("prep_time_min", pa.int32()),
        ("cost_per_serving", pa.float64()),
        ("servings", pa.int32()),
        ("valid_from", TIMESTAMP),
        ("recorded_at", TIMESTAMP),
    ]
)
