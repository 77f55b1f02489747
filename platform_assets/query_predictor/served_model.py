"""The registered model as MLflow serves it: SQL text and its session in, a route and why out. Logged as code, not pickled.

One request is a query (`router.FIELDS`): `{"inputs": [{"query": "SELECT ...", "user": "ann", "catalog": "hive", "schema": "sales",
"clientInfo": null, "createTime": "2026-01-05T12:00:00Z"}]}` to the scoring server; a table with these columns serves as well. All
but the query may be left out. Every answer says from which probability on the model calls a query heavy, and how old the history is
that it knows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from platform_assets.core.served_requests import Refusal, rows, without_missing


class ServedQueryRouter(PythonModel):
    """Opens the model folder among its artefacts, and routes queries."""

    # MLflow would check requests by a type hint of `model_input`; `AskedQuery.read` checks them, and says what is wrong.
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        """Open the model. Raises MlflowException for a folder that is not whole."""
        from platform_assets.query_predictor.model_files import ModelError
        from platform_assets.query_predictor.router import Router

        try:
            self._router = Router.open(Path(context.artifacts["model"]))
        except ModelError as error:
            raise MlflowException(str(error)) from error

    def predict(self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None) -> list[Any]:
        """[{probability, threshold, route, reason, snapshot_age_seconds, category}] in the order of the requests.

        A query that cannot be read is refused with all beside it, status 400: which one it is, and why.
        """
        from platform_assets.query_predictor.router import QueryError

        try:
            asked = _read(_rows(model_input), datetime.now(UTC))
        except QueryError as error:
            raise Refusal.invalid_parameter_value(str(error)) from error
        return [answer.document() for answer in self._router.route(asked)]


def _read(queries: list[dict[str, Any]], now: datetime) -> list[Any]:
    """AskedQuery of each. Raises QueryError, which says of which query, counted from 1."""
    from platform_assets.query_predictor.router import AskedQuery, QueryError

    asked = []
    for number, row in enumerate(queries, 1):
        try:
            asked.append(AskedQuery.read(row, now))
        except QueryError as error:
            raise QueryError(f"query {number} of {len(queries)}: {error}") from None
    return asked


def _rows(model_input: Any) -> list[dict[str, Any]]:
    """The requests. Raises QueryError for what is no query."""
    from platform_assets.query_predictor.router import QueryError

    found = rows(model_input)
    if not all(isinstance(row, dict) for row in found):
        raise QueryError('inputs must be a list of queries such as {"query": "SELECT ...", "user": "ann"}')
    return [without_missing(row) for row in found]


set_model(ServedQueryRouter())
