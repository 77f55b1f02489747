"""What MLflow's scoring server hands a served model, and what a refused request is answered with.

What does not belong here: which fields a request has, and what is wrong with one (a pipeline's served model).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException


class Refusal(MlflowException):
    """What is wrong with a request, and no more: the scoring server writes all of the request before a message."""

    def serialize_as_json(self) -> str:
        """The answer's body."""
        self.message = self.args[0]
        return super().serialize_as_json()


def rows(model_input: Any) -> list[Any]:
    """The requests: one, a list of them, or a table with one column a field. Those that are objects have plain values."""
    if hasattr(model_input, "to_dict"):
        model_input = model_input.to_dict(orient="records")
    if isinstance(model_input, np.ndarray):
        model_input = np.atleast_1d(model_input)
    found = list(model_input) if isinstance(model_input, list | tuple | np.ndarray) else [model_input]
    return [{name: _plain(value) for name, value in row.items()} if isinstance(row, dict) else row for row in found]


def without_missing(row: dict[str, Any]) -> dict[str, Any]:
    """Without what a table has no value for: NaN, NaT or NA. A null that was sent is told apart from a field that was not."""
    return {name: value for name, value in row.items() if not _is_missing(value)}


def _is_missing(value: Any) -> bool:
    differs = value != value  # only what is missing differs from itself; of pandas' NA not even that is known
    return bool(differs) if isinstance(differs, bool | np.bool_) else True


def _plain(value: Any) -> Any:
    # The scoring server wraps every field in an array, a struct too, which then has no dimension.
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
