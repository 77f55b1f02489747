"""Contexts, plans and recipes read from a dataset's row, a serving request or the catalogue, all by the same functions.

What does not belong here: what they mean (`planner.plans`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from platform_assets.planner.plans import (
    Constraints,
    Household,
    IncompleteContext,
    InputContext,
    Meal,
    Plan,
    PlanError,
    Quantity,
    Recipe,
)


def read_context(row: Mapping[str, Any]) -> InputContext:
    """The input of a dataset row or a serving request; raises PlanError naming the field that is missing or wrong.

    Null constraints are not "no limits": they may hide an allergy, so such a context is refused as incomplete.
    """
    try:
        household, constraints = row["household"], row["constraints"]
        if constraints is None:
            raise IncompleteContext(
                "the input context is incomplete: constraints is null, what the household excludes is not known"
            )
        previous = row.get("previous_plan")
        return InputContext(
            Household(
                str(household["id"]), _size(household["size"]), _texts(household.get("preferences")),
                _texts(household.get("restrictions")), household.get("region"),
            ),
            tuple(read_quantity(item) for item in (row.get("pantry") or {}).get("items") or ()),
            Constraints(
                _number(constraints.get("budget"), float), _number(constraints.get("max_prep_time"), int),
                _texts(constraints.get("excluded_ingredients")),
            ),
            str(row["workflow_type"]), str(row["mode"]),
            read_plan(previous) if previous else None,
            tuple(read_plan(plan) for plan in row.get("recent_plans") or ()),
        )  # fmt: skip
    except PlanError:
        raise
    except KeyError as error:
        raise PlanError(f"the input context has no {error.args[0]!r}; see input in the dataset's schema.json") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PlanError(f"the input context is not of the dataset's input shape: {error}") from None


def read_plan(document: Mapping[str, Any]) -> Plan:
    """A plan from its document; raises PlanError."""
    try:
        return Plan(
            tuple(Meal(str(meal["day"]), str(meal["recipe_id"]), int(meal["servings"])) for meal in document["meals"])
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PlanError(f"not a plan {{meals: [{{day, recipe_id, servings}}]}}: {error!r}") from None


def read_recipe(row: Mapping[str, Any]) -> Recipe:
    """A recipe from a row of the catalogue."""
    return Recipe(
        str(row["id"]), row["title"] or "", row["cuisine"] or "", row["main_protein"] or "",
        tuple(read_quantity(item) for item in row["ingredients"]), _texts(row["tags"]), _texts(row["allergens"]),
        _texts(row["diets"]), int(row["prep_time_min"]), float(row["cost_per_serving"]), max(1, int(row["servings"])),
    )  # fmt: skip


def read_quantity(item: Mapping[str, Any]) -> Quantity:
    """An ingredient or a pantry item; who names no unit counts pieces. Raises ValueError for an impossible amount."""
    quantity = float(item["quantity"])
    if not math.isfinite(quantity) or quantity < 0:
        raise ValueError(f"the quantity of {item['name']!r} is {quantity}")
    return Quantity(
        str(item["name"]), quantity, str(item.get("unit") or "piece"), bool(item.get("staple")),
        bool(item.get("perishable")),
    )  # fmt: skip


def _texts(values: Iterable[Any] | None) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"expected a list of names, got {values!r}")
    return tuple(str(value) for value in (values if values is not None else ()))


def _number(value: Any, kind: type) -> Any:
    if value is not None and not math.isfinite(float(value)):
        raise ValueError(f"a limit is {value}")
    return None if value is None else kind(value)


def _size(value: Any) -> int:
    size = int(value)
    if size < 1:
        raise ValueError(f"household.size is {size}")
    return size
