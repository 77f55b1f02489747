"""The contract of one event: what a payload, context, experiments list and metrics must look like.

Plain types decoded with msgspec, so that a breach is named by its JSON path. Fields that are not named here are ignored;
of a repeated key every value must be valid, and the last one counts. What does not belong here: reading events from anywhere, and
what is done with the rows that fail (`planner.validation`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
Servings = Annotated[int, Meta(ge=1, le=99)]
FreeText = Annotated[str, Meta(max_length=10_000)]


class Meal(Struct):
    """One slot of a plan."""

    day: Day
    recipe_id: Identifier
    servings: Servings


class Plan(Struct):
    """A week of meals; a plan without meals is no plan."""

    meals: Annotated[list[Meal], Meta(min_length=1, max_length=100)]


class PlanPayload(Struct):
    """`plan_generated` and `plan_accepted`."""

    plan_id: Identifier
    plan: Plan


class PlanRejected(Struct):
    """`plan_rejected`."""

    plan_id: Identifier
    rejection_reason: FreeText | None = None


class MealSwapped(Struct, rename={"from_recipe": "from", "to_recipe": "to"}):
    """`meal_swapped`."""

    plan_id: Identifier
    day: Day
    from_recipe: Identifier
    to_recipe: Identifier


class AdjustServings(Struct, tag_field="type", tag="adjust_servings"):
    """`edit_applied` of type adjust_servings."""

    plan_id: Identifier
    day: Day
    servings: Servings


class RemoveMeal(Struct, tag_field="type", tag="remove_meal"):
    """`edit_applied` of type remove_meal."""

    plan_id: Identifier
    day: Day


class AddMeal(Struct, tag_field="type", tag="add_meal"):
    """`edit_applied` of type add_meal."""

    plan_id: Identifier
    day: Day
    recipe_id: Identifier
    servings: Servings


class ValidatorIntervention(Struct):
    """`validator_intervention`."""

    plan_id: Identifier
    intervention_type: Identifier


class PolicyEvent(Struct):
    """`model_promoted` and `model_rollback`: about a policy, not about a plan."""


class Context(Struct):
    """Where an event came from; workflow_type and mode have the documented defaults."""

    policy_version_id: Identifier | None = None
    workflow_type: Literal["plan-first", "meal-first", "pantry-first"] | None = None
    mode: Literal["autopilot", "exploratory", "constrained"] | None = None
    request_id: Identifier | None = None
    app_version: Annotated[str, Meta(max_length=128)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None


class ExperimentArm(Struct):
    """One experiment the unit takes part in."""

    experiment_id: Identifier | None = None
    variant_id: Identifier | None = None


class Metrics(Struct):
    """What serving measured."""

    latency_ms: Annotated[float, Meta(ge=0)] | None = None
    token_count: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    cost_usd: Annotated[float, Meta(ge=0)] | None = None
    edit_count: Annotated[int, Meta(ge=0, le=2**31)] | None = None


class PantryItem(Struct):
    """One thing in a household's pantry."""

    name: Identifier
    quantity: Annotated[float, Meta(ge=0)]
    unit: Annotated[str, Meta(max_length=128)] | None = None


Edit = AdjustServings | RemoveMeal | AddMeal

PLAN_EVENTS = frozenset(
    {"plan_generated", "plan_accepted", "plan_rejected", "meal_swapped", "edit_applied", "validator_intervention"}
)
PAYLOADS: dict[str, msgspec.json.Decoder] = {
    "plan_generated": msgspec.json.Decoder(PlanPayload),
    "plan_accepted": msgspec.json.Decoder(PlanPayload),
    "plan_rejected": msgspec.json.Decoder(PlanRejected),
    "meal_swapped": msgspec.json.Decoder(MealSwapped),
    "edit_applied": msgspec.json.Decoder(Edit),
    "validator_intervention": msgspec.json.Decoder(ValidatorIntervention),
    "model_promoted": msgspec.json.Decoder(PolicyEvent),
    "model_rollback": msgspec.json.Decoder(PolicyEvent),
}
CONTEXT = msgspec.json.Decoder(Context)
EXPERIMENTS = msgspec.json.Decoder(list[ExperimentArm])
METRICS = msgspec.json.Decoder(Metrics)
PANTRY = msgspec.json.Decoder(list[PantryItem])

# Two ids that look alike must be alike: no control characters, nothing of zero width, nothing that changes the direction.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_NUL = re.compile("\x00")
_PROSE = frozenset({"rejection_reason", "name", "unit"})


def find_hidden(decoded: Any) -> str | None:
    """What is wrong with the first text that holds a hidden character; None when none does.

    In prose (a reason, a pantry item's name) some of them have their use: there only NUL, which Postgres cannot keep, counts.
    """
    for path, key, text in _texts("$", "", msgspec.to_builtins(decoded)):
        if found := (_NUL if key in _PROSE else _HIDDEN).search(text):
            return f"Hidden character U+{ord(found.group()):04X} - at `{path}`"
    return None


def _texts(path: str, key: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """Path, last key and text of every text."""
    if isinstance(value, str):
        yield path, key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(f"{path}.{name}", name, inner)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _texts(f"{path}[{position}]", key, inner)
