"""How broken documents look: functions that take valid JSON text apart and put it together wrong.

The kinds are those that clients really send. What does not belong here: which rows are broken (`faults`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from platform_assets.simulators.meal_app.text import json_text

Breakage = Callable[[Any], Any]


def _has_meals(payload: dict) -> bool:
    return "plan" in payload


def _always(payload: object) -> bool:
    return True


def _change_first_meal(payload: dict, **changes: Any) -> dict:
    first, *others = payload["plan"]["meals"]
    meals = [{**first, **changes}, *others]
    return {**payload, "plan": {"meals": meals}}


def _without_recipe(payload: dict) -> dict:
    first, *others = payload["plan"]["meals"]
    meals = [{key: value for key, value in first.items() if key != "recipe_id"}, *others]
    return {**payload, "plan": {"meals": meals}}


# Kind -> (which payloads can have it, how).
PAYLOAD_KINDS: dict[str, tuple[Callable[[Any], bool], Breakage]] = {
    "plan_not_an_object": (_has_meals, lambda payload: {**payload, "plan": "see attachment"}),
    "meals_not_a_list": (_has_meals, lambda payload: {**payload, "plan": {"meals": {"monday": "soup"}}}),
    "unknown_day": (_has_meals, lambda payload: _change_first_meal(payload, day="someday")),
    "servings_as_text": (_has_meals, lambda payload: _change_first_meal(payload, servings="two")),
    "servings_negative": (_has_meals, lambda payload: _change_first_meal(payload, servings=-2)),
    "recipe_id_missing": (_has_meals, _without_recipe),
    "missing_plan_id": (_always, lambda payload: {key: value for key, value in payload.items() if key != "plan_id"}),
    "payload_not_an_object": (_always, lambda payload: [payload]),
}
PANTRY_KINDS: dict[str, tuple[Callable[[Any], bool], Breakage]] = {
    "items_not_a_list": (_always, lambda items: {"items": items}),
    "name_missing": (_always, lambda items: [{"quantity": 1, "unit": "piece"}, *items]),
    "quantity_as_text": (_always, lambda items: [{"name": "onion", "quantity": "some", "unit": "piece"}, *items]),
    "quantity_negative": (_always, lambda items: [{"name": "onion", "quantity": -3, "unit": "piece"}, *items]),
}


def break_all(
    rng: np.random.Generator, documents: pa.Array | pa.ChunkedArray, kinds: dict[str, tuple[Callable, Breakage]]
) -> tuple[list[str], list[str]]:
    """Each document broken in one way that it can be, and the names of those ways."""
    broken, names = [], []
    for text in documents.to_pylist():
        value = msgspec.json.decode(text)
        possible = [name for name, (can_have, _) in kinds.items() if can_have(value)]
        name = possible[int(rng.integers(len(possible)))]
        broken.append(json_text(kinds[name][1](value)))
        names.append(name)
    return broken, names


def without_policy_version(context: str) -> str:
    """The context without policy_version_id."""
    value = msgspec.json.decode(context)
    del value["policy_version_id"]
    return json_text(value)


def without_arm_key(experiments: str, key: str) -> str:
    """The list of experiments with `key` missing from its first entry."""
    first, *others = msgspec.json.decode(experiments)
    return json_text([{name: value for name, value in first.items() if name != key}, *others])
