"""The registered model as MLflow serves it: input contexts in, plans out. Logged as code, never as a pickled object.

One request is the dataset's `input` (`{"inputs": [{household, pantry, constraints, ...}]}` to the scoring server). The policy,
the prompt and the validator are those of replay. Recipes are those known when the model was trained, at their newest
version; the answer names the model's interventions, so that a caller sees what the validator changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
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
        """[{plan, interventions}] in the order of the requests; one that cannot be planned is refused, status 400, and why."""
        from platform_assets.planner.plans import PlanError

        try:
            return self._plan(_rows(model_input))
        except PlanError as error:
            # Of any other error the scoring server would say that it is unexpected, and show the program's insides.
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def _plan(self, rows: list[Any]) -> list[dict[str, Any]]:
        from platform_assets.planner.plans import read_context
        from platform_assets.planner.policies import Request, run_policies

        requests = [Request(read_context(row), self._recipes) for row in rows]
        return [
            {
                "plan": planned.plan.document(),
                "interventions": [{"rule": each.rule, "detail": each.detail} for each in planned.interventions],
            }
            for planned in run_policies(self._policy, requests)
        ]


def _rows(model_input: Any) -> list[Any]:
    """The requests: one, a list of them, or a table with one column a field."""
    if hasattr(model_input, "to_dict"):
        model_input = model_input.to_dict(orient="records")
    rows = [model_input] if isinstance(model_input, dict) else list(model_input)
    return [{name: _plain(value) for name, value in row.items()} if isinstance(row, dict) else row for row in rows]


def _plain(value: Any) -> Any:
    # The scoring server wraps every field in an array, a struct too, which then has no dimension.
    return value.tolist() if isinstance(value, np.ndarray) else value


set_model(ServedPlanner())
