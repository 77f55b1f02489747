"""The registered model as MLflow serves it: input contexts in, plans out. Logged as code, never as a pickled object.

One request is the dataset's `input` (`{"inputs": [{household, pantry, constraints, ...}]}` to the scoring server). The policy,
the prompt and the validator are those of replay. Recipes are those known when the model was trained, at their newest
version; the answer names the model's interventions, so that a caller sees what the validator changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedPlanner(PythonModel):
    """Loads the model folder among its artefacts and answers as `run_policies` does."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load weights, tokenizer and catalogue."""
        from platform_assets.planner.catalogue import RECIPES, Catalogue
        from platform_assets.planner.decoding import load_policy

        folder = Path(context.artifacts["model"])
        self._policy = load_policy(folder)
        self._recipes = Catalogue.read(folder / RECIPES).latest

    def predict(self, context: PythonModelContext, model_input: Any, params: dict[str, Any] | None = None) -> list[Any]:
        """[{plan, interventions}] in the order of the requests; a request of another shape is a PlanError."""
        from platform_assets.planner.plans import read_context
        from platform_assets.planner.policies import Request, run_policies

        requests = [Request(read_context(row), self._recipes) for row in _rows(model_input)]
        return [
            {
                "plan": planned.plan.document(),
                "interventions": [{"rule": each.rule, "detail": each.detail} for each in planned.interventions],
            }
            for planned in run_policies(self._policy, requests)
        ]


def _rows(model_input: Any) -> list[dict[str, Any]]:
    """The requests: one, a list of them, or a table with one column a field."""
    if hasattr(model_input, "to_dict"):
        return model_input.to_dict(orient="records")
    if isinstance(model_input, dict):
        return [model_input]
    return list(model_input)


mlflow.models.set_model(ServedPlanner())
