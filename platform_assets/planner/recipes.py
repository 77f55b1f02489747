"""The recipe catalogue of a week: every version known by its end, typed; versions that break a rule are refused by name.

Here a recipe is a row. What it means for a household stands in `planner.plans`, which version counts at a moment in
`planner.catalogue`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.quality import Outcome
from platform_assets.core.warehouse import Warehouse
from platform_assets.planner import schemas, sources

REFUSED_SHARE = 0.05
CODE_VERSION = transform.code_version(sources.SOURCE_SQL / "recipes.sql", Path(__file__))


@dataclass(frozen=True)
class ExtractedRecipes:
    """recipes.parquet, its rows, and the refused versions: {id, valid_from, rule, reason}."""

    path: Path
    rows: int
    refused: tuple[Mapping[str, str], ...]


def extract(warehouse: Warehouse, recorded_before: datetime, folder: Path) -> ExtractedRecipes:
    """Write the catalogue's versions that were recorded before an instant."""
    kept: list[dict[str, Any]] = []
    refused: list[Mapping[str, str]] = []
    with warehouse.snapshot() as snapshot:
        for row in sources.stream_recipes(snapshot, recorded_before).read_all().to_pylist():
            typed, broken = _typed(row)
            if broken:
                refused.append({"id": row["id"], "valid_from": row["valid_from"].isoformat(), **broken})
            else:
                kept.append(typed)
    path = folder / "recipes.parquet"
    pq.write_table(pa.Table.from_pylist(kept, schema=schemas.RECIPES), path)
    return ExtractedRecipes(path, len(kept), tuple(refused))


def judge(extracted: ExtractedRecipes) -> Outcome:
    """Whether there is a catalogue, and every version of it could be read."""
    if not extracted.rows:
        return Outcome(
            "recipes_readable", False, "no recipe was recorded by the end of the week: nothing can be planned"
        )
    if not extracted.refused:
        return Outcome("recipes_readable", True, f"{extracted.rows:,} versions")
    named = "; ".join(f"{item['id']} of {item['valid_from']}: {item['reason']}" for item in extracted.refused[:5])
    reason = f"{len(extracted.refused)} version(s) refused: {named}. Record a corrected version in public.recipes"
    # A refused version is not planned with; the rest of the catalogue serves, unless much of it is missing.
    few = len(extracted.refused) <= REFUSED_SHARE * (extracted.rows + len(extracted.refused))
    return Outcome("recipes_readable", False, reason, {"refused": len(extracted.refused)}, warning=few)


def _typed(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A row with its ingredients as values; or the rule that it breaks."""
    try:
        ingredients = [_ingredient(item) for item in json.loads(row["ingredients"])]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"ingredients are not a list of {{name, quantity, unit}}: {error!r}"
        return row, {"rule": "malformed_ingredients", "reason": reason}
    for name in ("prep_time_min", "cost_per_serving", "servings"):
        if row[name] is None or not math.isfinite(row[name]) or row[name] < 0:
            return row, {"rule": f"invalid_{name}", "reason": f"{name} is {row[name]}"}
    lists = {name: row[name] or [] for name in ("tags", "allergens", "diets")}
    return {**row, **lists, "ingredients": ingredients}, {}


def _ingredient(item: Mapping[str, Any]) -> dict[str, Any]:
    quantity = float(item["quantity"])
    if not (math.isfinite(quantity) and quantity >= 0):
        raise ValueError(f"quantity is {quantity}")
    return {
        "name": str(item["name"]), "quantity": quantity, "unit": str(item["unit"]),
        "staple": bool(item.get("staple")), "perishable": bool(item.get("perishable")),
    }  # fmt: skip
