"""Scores of one row: the plan that was served and the one that was proposed, against what the household accepted.

What belongs here: which plans are judged, the scores side by side, and the combined score. What does not: the formulas
(`planner.metrics`, `planner.edit_distance`), means over rows and their comparison (`core.gate`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

from platform_assets.planner import metrics
from platform_assets.planner.edit_distance import edit_distance_score, edits_between
from platform_assets.planner.kitchen import Kitchens
from platform_assets.planner.plans import Plan, Request, plan_price
from platform_assets.planner.policies import Planned
from platform_assets.planner.targets import Target
from platform_assets.planner.validator import MALFORMED, RULES, breaches

OFFLINE_WEIGHTS = {
    "plan_alignment": 0.45, "edit_distance_score": 0.25, "meal_diversity": 0.15, "leftovers_utility": 0.15,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlanScores:
    """One plan's scores, between 0 and 1, more is better, None where undefined for the row; but for the last four.

    An empty or unparsable plan, and one that is malformed (an unknown recipe or day, two meals on a day), scores 0
    everywhere. A well-formed plan that breaks a household's rule keeps its scores, but its constraint_respect and
    offline_eval_score are 0.
    """

    plan_alignment: float
    slot_match: float
    edit_distance_score: float
    meal_diversity: float | None
    leftovers_utility: float | None
    constraint_respect: float
    """1 when no rule is broken, else 0."""
    offline_eval_score: float
    """0.45 alignment + 0.25 edit distance + 0.15 diversity + 0.15 leftovers, renormalised over those defined; 0 is FAIL."""
    added_hit: float | None
    """Defined on rows whose user brought a recipe in."""
    removed_avoided: float | None
    """Defined on rows whose user swapped a recipe away."""
    edit_prediction_error: float
    """|edits that the plan would need - edits that the user made|: not bounded, less is better, never set to 0."""
    meals: int
    price: float
    """Of its known recipes."""
    violations: dict[str, int]
    """How often each broken rule is broken."""

    def columns(self) -> dict[str, Any]:
        """Flat: every score, and violations_<rule> for every rule."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "violations"}
        return values | {f"violations_{rule}": self.violations.get(rule, 0) for rule in RULES}


@dataclass(frozen=True, slots=True)
class RowScores:
    """One row of a replay: the served plan, the plan as proposed, what lay between them, and the cost."""

    served: PlanScores
    raw: PlanScores
    interventions: dict[str, int]
    """What the validator changed, by rule."""
    tokens: int
    passes: int

    def columns(self) -> dict[str, Any]:
        """Flat: the served plan's columns by their names, the proposal's with raw_ before, interventions_<rule>, the cost."""
        changed = {f"interventions_{rule}": self.interventions.get(rule, 0) for rule in RULES}
        raw = {f"raw_{name}": value for name, value in self.raw.columns().items()}
        return {**self.served.columns(), **raw, **changed, "tokens": self.tokens, "passes": self.passes}


class Scorer:
    """Scores rows; computes what a catalogue's recipes take once for all rows that share it."""

    def __init__(self) -> None:
        self._kitchens = Kitchens()

    def score_row(self, planned: Planned, request: Request, target: Target) -> RowScores:
        """Both plans of a row."""
        served = self.score_plan(planned.plan, request, target)
        raw = served if planned.raw == planned.plan else self.score_plan(planned.raw, request, target)
        changed = Counter(each.rule for each in planned.interventions)
        return RowScores(served, raw, dict(changed), planned.tokens, planned.passes)

    def score_plan(self, plan: Plan | None, request: Request, target: Target) -> PlanScores:
        """One plan; None is an answer that could not be read."""
        broken = breaches(plan, request)
        judged = plan or Plan()
        zero = bool(MALFORMED & broken.keys())
        values = _zeros(target) if zero else self._values(judged, request, target)
        needed, made = edits_between(judged, target.accepted).count, len(target.edits)
        return PlanScores(
            **values, constraint_respect=float(not broken), offline_eval_score=0.0 if broken else _offline(values),
            edit_prediction_error=float(abs(needed - made)), meals=len(judged.meals),
            price=plan_price(judged, request.recipes), violations=broken,
        )  # fmt: skip

    def _values(self, plan: Plan, request: Request, target: Target) -> dict[str, Any]:
        context, kitchen = request.context, self._kitchens.of(request.recipes)
        return {
            "plan_alignment": metrics.plan_alignment(plan, target.accepted),
            "slot_match": metrics.slot_match(plan, target.accepted),
            "edit_distance_score": edit_distance_score(plan, target.accepted),
            "meal_diversity": metrics.meal_diversity(plan, context.previous_plan, kitchen),
            "leftovers_utility": metrics.leftovers_utility(plan, context, kitchen),
            "added_hit": metrics.added_hit(plan, target),
            "removed_avoided": metrics.removed_avoided(plan, target),
        }


def _zeros(target: Target) -> dict[str, Any]:
    """0 everywhere, but what is undefined for the row whatever was planned stays so."""
    nothing = Plan()
    return {
        **dict.fromkeys(("plan_alignment", "slot_match", "edit_distance_score", "meal_diversity", "leftovers_utility"), 0.0),
        "added_hit": None if metrics.added_hit(nothing, target) is None else 0.0,
        "removed_avoided": None if metrics.removed_avoided(nothing, target) is None else 0.0,
    }  # fmt: skip


def _offline(values: dict[str, Any]) -> float:
    return metrics.weighted((weight, values[name]) for name, weight in OFFLINE_WEIGHTS.items()) or 0.0
