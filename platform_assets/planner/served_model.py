"""The registered model as MLflow serves it: input contexts in, plans out. Logged as code, never as a pickled object.

One request is the dataset's `input` (`{"inputs": [{household, pantry, constraints, ...}]}` to the scoring server). The policy,
the prompt and the validator are those of replay. The catalogue is the one frozen with the model, as of the moment of the
request: prices and offers that were announced when the model was trained begin and end on time. What was recorded since is
not in it, so every answer says until when the catalogue was kept (`catalogue_as_of`); it also names the model's interventions,
so that a caller sees what the validator changed.

The model decodes on CUDA where there is some; MLflow's variable MLFLOW_DEFAULT_PREDICTION_DEVICE (cpu, cuda:1) says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.environment_variables import MLFLOW_DEFAULT_PREDICTION_DEVICE
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from platform_assets.core.served_requests import Refusal, rows

if TYPE_CHECKING:
    from platform_assets.planner.plans import Recipe


def _now() -> datetime:
    return datetime.now(UTC)


class ServedPlanner(PythonModel):
    """Loads the model folder among its artefacts and answers as `run_policies` does."""

    # MLflow would check requests by a type hint of `model_input`, and asks for one whenever the model is loaded, by a warning
    # that no filter reaches. `plan_documents.read_context` checks them, and says what is wrong.
    _skip_type_hint_validation = True

    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock

    def load_context(self, context: PythonModelContext) -> None:
        """Load weights, tokenizer and catalogue."""
        from platform_assets.planner.catalogue import RECIPES, Catalogue
        from platform_assets.planner.decoding import load_policy

        folder = Path(context.artifacts["model"])
        self._policy = load_policy(folder, MLFLOW_DEFAULT_PREDICTION_DEVICE.get())
        self._catalogue = Catalogue.read(folder / RECIPES)
        self._recorded_until = _recorded_until(folder / RECIPES)

    def predict(self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None) -> list[Any]:
        """[{plan, interventions, catalogue_as_of}] in the order of the requests.

        One that cannot be planned is refused, status 400, and why.
        """
        from platform_assets.planner.plans import PlanError

        try:
            return self._plan(rows(model_input))
        except PlanError as error:
            # Of any other error the scoring server would say that it is unexpected, and show the program's insides.
            raise Refusal.invalid_parameter_value(str(error)) from error

    def _plan(self, asked: list[Any]) -> list[dict[str, Any]]:
        from platform_assets.planner.plan_documents import read_context
        from platform_assets.planner.policies import Request, run_policies

        recipes = self._recipes()
        requests = [Request(read_context(row), recipes) for row in asked]
        return [
            {
                "plan": planned.plan.document(),
                "interventions": [{"rule": each.rule, "detail": each.detail} for each in planned.interventions],
                "catalogue_as_of": self._recorded_until.isoformat(),
            }
            for planned in run_policies(self._policy, requests)
        ]

    def _recipes(self) -> Mapping[str, Recipe]:
        """The catalogue as of now; the same object while nothing begins or ends, so that grammars are kept."""
        now = self._clock()
        if recipes := self._catalogue.as_of(now):
            return recipes
        raise MlflowException(
            f"no recipe of the model's catalogue counts yet at {now.isoformat()}, the server's time; the newest was recorded "
            f"at {self._recorded_until.isoformat()}: set the clock right"
        )


def _recorded_until(recipes: Path) -> datetime:
    """When the newest version of a catalogue was recorded; what was recorded later is not in it."""
    import pyarrow.parquet as pq

    return max(pq.read_table(recipes, columns=["recorded_at"])["recorded_at"].to_pylist())


set_model(ServedPlanner())
