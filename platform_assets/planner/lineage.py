"""Column lineage of the planner's tables across its SQL files, in terms of assets and source tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from platform_assets.core.lineage import Column, column_lineage
from platform_assets.planner import schemas, sources

_KEYS = ("entity", "valid_from", "recorded_at", "id")
_VERSION_COLUMNS = {
    "household_versions": (*_KEYS, "size", "preferences", "dietary_restrictions", "region"),
    "household_constraint_versions": (*_KEYS, "budget", "max_prep_time", "excluded"),
    "pantry_versions": tuple(schemas.PANTRY_SNAPSHOTS.names),
}
_ASSETS = {"events": "planner/events", "enriched_plans": "planner/enriched_plans"}
_SOURCES = {name: f"postgres/{name.replace('pantry_versions', 'pantry_snapshots')}" for name in _VERSION_COLUMNS}
_PARAMETERS = "parameters"


def enriched_plans_lineage() -> dict[str, list[Column]]:
    """planner/enriched_plans, from planner/events and the source's version tables."""
    accepted = column_lineage(
        sources.SQL / "accepted_plans.sql",
        "accepted_plans",
        {"events": schemas.EVENTS.names, _PARAMETERS: ("day_start", "day_end", "plan_lifetime_days", "history_days")},
    )
    enriched = column_lineage(
        sources.SQL / "enriched_plans.sql", "enriched_plans", {"accepted_plans": tuple(accepted), **_VERSION_COLUMNS}
    )
    return {column: _resolve(found, {"accepted_plans": accepted}) for column, found in enriched.items()}


def dataset_lineage() -> dict[str, list[Column]]:
    """planner/dataset, from planner/enriched_plans."""
    columns = tuple(enriched_plans_lineage())
    found = column_lineage(
        sources.SQL / "dataset.sql",
        "dataset",
        {"enriched_plans": columns, _PARAMETERS: ("split_salt", "validation_below")},
    )
    return {column: _resolve(pairs, {}) for column, pairs in found.items()}


def _resolve(pairs: Sequence[Column], intermediate: Mapping[str, Mapping[str, Sequence[Column]]]) -> list[Column]:
    found: set[Column] = set()
    for table, column in pairs:
        if table in intermediate:
            found |= set(_resolve(intermediate[table][column], intermediate))
        elif table != _PARAMETERS:
            found.add(({**_ASSETS, **_SOURCES}[table], column))
    return sorted(found)
