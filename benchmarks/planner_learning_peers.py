"""Peers of the planner's model: a logistic ranker on what the prompt shows, and oracles that know the planted tastes.

All rank the admissible recipes and are served as many meals as the previous plan had, within the budget, by the same code as
the other planners without a model. What does not belong here: the data (`benchmarks.planner_learning_world`).
Legend: R recipes, C candidates of a request, F features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from platform_assets.planner import baselines
from platform_assets.planner.plan_documents import read_context, read_plan
from platform_assets.planner.plans import InputContext, Recipe, Request
from platform_assets.planner.policies import Proposal
from platform_assets.planner.synthetic_households import Attributes

FITTED_ROWS = 4_000
Scores = Callable[[Request], np.ndarray]


@dataclass(frozen=True)
class ScoringPlanner:
    """Ranks the candidates by a (C,) score; ties by id."""

    name: str
    scores: Scores

    def propose(self, requests: Sequence[Request]) -> list[Proposal]:
        """The best by score."""
        return [baselines.propose(self._ranking(request), request) for request in requests]

    def _ranking(self, request: Request) -> list[Recipe]:
        return [request.candidates[index] for index in np.argsort(-self.scores(request), kind="stable")]


class Features:
    """What a ranker sees of a recipe for a household."""

    NAMES = (
        "log accepted", "in plan 1", "in plan 2", "in plan 3", "in plan 4", "like recent ones", "preferences met",
        "share in pantry", "price",
    )  # fmt: skip

    def __init__(self, recipes: Mapping[str, Recipe], training_rows: Sequence[Mapping[str, Any]]) -> None:
        self.attributes = Attributes.of(recipes)
        self.place = {recipe.id: row for row, recipe in enumerate(self.attributes.recipes)}
        accepted = Counter(key for row in training_rows for key in read_plan(row["target"]["accepted_plan"]).recipe_ids)
        self._accepted = np.log1p([accepted[key] for key in self.place])
        groups = [self.attributes.groups[kind] for kind in ("cuisine", "protein", "tag")]
        self._words = [name for names, _ in groups for name in names]
        self._has = np.concatenate([matrix for _, matrix in groups], axis=1)
        self._centred = self._has - self._has.mean(axis=0)
        self._goods, need = self.attributes.groups["ingredient"]
        self._need = need / np.maximum(need.sum(axis=1, keepdims=True), 1)

    def of(self, context: InputContext, rows: Sequence[int]) -> np.ndarray:
        """(C, F) of the recipes at `rows`."""
        eaten = np.zeros((4, len(self.place)))
        for age, plan in enumerate(context.recent_plans[:4]):
            np.add.at(eaten[age], [self.place[key] for key in plan.recipe_ids if key in self.place], 1)
        taste = eaten.sum(axis=0) @ self._centred / max(1.0, eaten.sum())
        stock, liked = {item.name for item in context.pantry}, set(context.household.preferences)
        columns = [
            self._accepted, *eaten, self._centred @ taste, self._has @ np.array([word in liked for word in self._words]),
            self._need @ np.array([good in stock for good in self._goods]), self.attributes.price,
        ]  # fmt: skip
        return np.stack(columns, axis=1)[list(rows)]


def fit_ranker(
    name: str,
    features: Features,
    rows: Sequence[Mapping[str, Any]],
    recipes: Mapping[str, Recipe],
    taste: Scores | None,
) -> ScoringPlanner:
    """Logistic regression of "was accepted" over all candidates of some rows; `taste` adds the planted utility."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def seen(request: Request) -> np.ndarray:
        found = features.of(request.context, [features.place[recipe.id] for recipe in request.candidates])
        return found if taste is None else np.column_stack([found, taste(request)])

    chosen = np.random.default_rng(0).permutation(len(rows))[:FITTED_ROWS]
    inputs, outputs = [], []
    for row in (rows[index] for index in chosen):
        request, accepted = Request(read_context(row["input"]), recipes), read_plan(row["target"]["accepted_plan"])
        inputs.append(seen(request))
        outputs += [recipe.id in accepted.recipe_ids for recipe in request.candidates]
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(np.concatenate(inputs), outputs)
    return ScoringPlanner(name, lambda request: fitted.decision_function(seen(request)))


def planted_taste(features: Features, owners: Mapping[str, int], utility: np.ndarray) -> Scores:
    """The utility that the simulator gave each candidate, for this household."""

    def scores(request: Request) -> np.ndarray:
        rows = [features.place[recipe.id] for recipe in request.candidates]
        owner = owners.get(request.context.household.id)
        return np.zeros(len(rows)) if owner is None else utility[owner, rows]

    return scores
