"""A slow, obvious judge of one event in plain Python: which column breaks the contract, or none.

Written from the contract's words with the standard library's JSON, and shares no code with what it judges. It knows the
columns that hold JSON; units, times and sizes are judged by tests of their own.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

DAYS = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
EDITS = {"adjust_servings": ("servings",), "remove_meal": (), "add_meal": ("recipe_id", "servings")}


class Broken(Exception):
    """Something is not as the contract says."""


def first_broken_rule(kind: str, payload: str, context: str, experiments: str, metrics: str) -> str | None:
    """The rule that a plan event with these JSON texts breaks first, in the documented order."""
    for rule, text, judge in (
        ("malformed_payload", payload, lambda value: _payload(kind, value)),
        ("malformed_context", context, _context),
        ("malformed_experiments", experiments, _experiments),
        ("malformed_metrics", metrics, _metrics),
    ):
        try:
            judge(_loads(text))
        except (Broken, ValueError, RecursionError):
            return rule
    return _missing(_loads(context), _loads(experiments))


def _loads(text: str) -> Any:
    value = json.loads(text, parse_constant=_refuse, parse_int=_parse_integer)
    json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text, in whatever field
    return value


def _parse_integer(text: str) -> int:
    # Python reads no more than 4,300 digits; beyond 400 they are all the same: too large for everything.
    return int(text) if len(text) < 400 else 10**400


def _missing(context: dict, experiments: list) -> str | None:
    for name in ("policy_version_id", "request_id"):
        if context.get(name) is None:
            return f"missing_{name}"
    for arm in experiments:
        for name in ("experiment_id", "variant_id"):
            if arm.get(name) is None:
                return f"missing_{name}"
    return None


def _payload(kind: str, value: Any) -> None:
    _need(isinstance(value, dict))
    _identifier(value.get("plan_id"))
    if kind in ("plan_generated", "plan_accepted"):
        _need(isinstance(value.get("plan"), dict))
        meals = value["plan"].get("meals")
        _need(isinstance(meals, list) and 1 <= len(meals) <= 100)
        for meal in meals:
            _need(isinstance(meal, dict))
            _day(meal.get("day"))
            _identifier(meal.get("recipe_id"))
            _integer(meal.get("servings"), 1, 99)
    elif kind == "plan_rejected":
        _text(value.get("rejection_reason"), 10_000)
    elif kind == "meal_swapped":
        _day(value.get("day"))
        _identifier(value.get("from"))
        _identifier(value.get("to"))
    elif kind == "edit_applied":
        _need(isinstance(value.get("type"), str) and value["type"] in EDITS)
        _day(value.get("day"))
        for name in EDITS[value["type"]]:
            _identifier(value.get(name)) if name == "recipe_id" else _integer(value.get(name), 1, 99)
    elif kind == "validator_intervention":
        _identifier(value.get("intervention_type"))


def _context(value: Any) -> None:
    _need(isinstance(value, dict))
    _need(value.get("workflow_type") in (None, "plan-first", "meal-first", "pantry-first"))
    _need(value.get("mode") in (None, "autopilot", "exploratory", "constrained"))
    for name in ("policy_version_id", "request_id"):
        _identifier(value.get(name), optional=True)
    if (version := value.get("app_version")) is not None:
        _text(version, 128)
        _need(not any(map(_is_hidden, version)))
    if (propensity := value.get("propensity")) is not None:
        _need(_is_number(propensity) and 0 < _finite(propensity) <= 1)


def _experiments(value: Any) -> None:
    _need(isinstance(value, list))
    for arm in value:
        _need(isinstance(arm, dict))
        _identifier(arm.get("experiment_id"), optional=True)
        _identifier(arm.get("variant_id"), optional=True)


def _metrics(value: Any) -> None:
    _need(isinstance(value, dict))
    for name in ("latency_ms", "cost_usd"):
        if (number := value.get(name)) is not None:
            _need(_is_number(number) and _finite(number) >= 0)
    for name, most in (("token_count", 2**53), ("edit_count", 2**31)):
        if value.get(name) is not None:
            _integer(value[name], 0, most)


def _need(condition: bool) -> None:
    if not condition:
        raise Broken


def _refuse(constant: str) -> None:
    raise Broken(constant)


def _day(value: Any) -> None:
    _need(isinstance(value, str) and value in DAYS)


def _identifier(value: Any, optional: bool = False) -> None:
    if value is None and optional:
        return
    _need(isinstance(value, str) and 1 <= len(value) <= 128 and not any(map(_is_hidden, value)))


def _text(value: Any, longest: int) -> None:
    if value is not None:
        _need(isinstance(value, str) and len(value) <= longest and "\0" not in value)
        _need(not any("\ud800" <= letter <= "\udfff" for letter in value))


def _is_hidden(letter: str) -> bool:
    if "\ud800" <= letter <= "\udfff":
        return True
    # Invisible characters with a job in some script's spelling (Arabic signs, old notations) are part of a name.
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp") or letter in HIDDEN_FORMATS


# The format characters that are refused, by name rather than by the ranges of the code under test.
HIDDEN_FORMATS = {
    "\N{SOFT HYPHEN}", "\N{ARABIC LETTER MARK}", "\N{ZERO WIDTH SPACE}", "\N{ZERO WIDTH NON-JOINER}",
    "\N{ZERO WIDTH JOINER}", "\N{LEFT-TO-RIGHT MARK}", "\N{RIGHT-TO-LEFT MARK}", "\N{LEFT-TO-RIGHT EMBEDDING}",
    "\N{RIGHT-TO-LEFT EMBEDDING}", "\N{POP DIRECTIONAL FORMATTING}", "\N{LEFT-TO-RIGHT OVERRIDE}",
    "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{WORD JOINER}", "\N{FUNCTION APPLICATION}", "\N{INVISIBLE TIMES}",
    "\N{INVISIBLE SEPARATOR}", "\N{INVISIBLE PLUS}", "\u2065", "\N{LEFT-TO-RIGHT ISOLATE}", "\N{RIGHT-TO-LEFT ISOLATE}",
    "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}", "\N{INHIBIT SYMMETRIC SWAPPING}",
    "\N{ACTIVATE SYMMETRIC SWAPPING}", "\N{INHIBIT ARABIC FORM SHAPING}", "\N{ACTIVATE ARABIC FORM SHAPING}",
    "\N{NATIONAL DIGIT SHAPES}", "\N{NOMINAL DIGIT SHAPES}", "\N{ZERO WIDTH NO-BREAK SPACE}",
    "\N{INTERLINEAR ANNOTATION ANCHOR}", "\N{INTERLINEAR ANNOTATION SEPARATOR}", "\N{INTERLINEAR ANNOTATION TERMINATOR}",
}  # fmt: skip


def _integer(value: Any, least: int, most: int) -> None:
    _need(isinstance(value, int) and not isinstance(value, bool) and least <= value <= most)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise Broken from None
    _need(abs(number) != float("inf"))
    return number
