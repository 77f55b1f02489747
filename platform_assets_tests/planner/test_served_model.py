"""The served model without its server: the catalogue as of the moment of the request, and what an answer tells of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext

from platform_assets.planner import registration, schemas
from platform_assets.planner.model_documents import ModelError
from platform_assets.planner.served_model import ServedPlanner
from platform_assets.simulators.meal_app.invented_recipes import invent_recipes
from platform_assets_tests.planner.small_model import small_recipes, write_base, write_model_folder
from platform_assets_tests.planner.training_world import row

RECORDED = datetime(2026, 3, 1, tzinfo=UTC)
OFFER_BEGINS, OFFER_ENDS = RECORDED + timedelta(days=3), RECORDED + timedelta(days=5)
ASKED = row(1, budget=50.0)["input"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose catalogue knows of an offer to come: for two days all recipes but two cost more than anyone pays."""
    folder = tmp_path_factory.mktemp("served")
    model = write_model_folder(folder / "model", write_base(folder / "base", small_recipes(30)))
    recipes = [vars(recipe) for recipe in invent_recipes(np.random.default_rng(1), 30)]
    versions = [{**each, "valid_from": RECORDED, "recorded_at": RECORDED} for each in recipes]
    for each in versions[2:30]:
        versions += [
            {**each, "cost_per_serving": 999.0, "valid_from": OFFER_BEGINS},
            {**each, "valid_from": OFFER_ENDS},
        ]
    columns = [{name: each[name] for name in schemas.RECIPES.names} for each in versions]
    pq.write_table(pa.Table.from_pylist(columns, schema=schemas.RECIPES), model / "recipes.parquet")
    return model


def served(folder: Path, at: datetime) -> tuple[ServedPlanner, PythonModelContext]:
    planner, context = ServedPlanner(lambda: at), PythonModelContext({"model": str(folder)}, {})
    planner.load_context(context)
    return planner, context


def chosen(answers: Sequence[dict[str, Any]]) -> set[str]:
    return {meal["recipe_id"] for answer in answers for meal in answer["plan"]["meals"]}


def test_an_offer_begins_and_ends_while_the_model_is_served(folder: Path) -> None:
    now = RECORDED
    planner, context = ServedPlanner(lambda: now), PythonModelContext({"model": str(folder)}, {})
    planner.load_context(context)
    before = planner.predict(context, [ASKED])
    assert chosen(before) - {"r001", "r002"}
    now = OFFER_BEGINS
    assert chosen(planner.predict(context, [ASKED])) <= {"r001", "r002"}
    now = OFFER_ENDS
    assert planner.predict(context, [ASKED]) == before


def test_an_answer_tells_until_when_its_catalogue_was_kept(folder: Path) -> None:
    planner, context = served(folder, OFFER_ENDS)
    (answer,) = planner.predict(context, ASKED)
    assert set(answer) == {"plan", "interventions", "catalogue_as_of"}
    # Not the beginning of the newest offer, which was known before.
    assert datetime.fromisoformat(answer["catalogue_as_of"]) == RECORDED
    json.dumps(answer)


def test_a_clock_before_the_catalogue_is_refused_as_the_servers_fault(folder: Path) -> None:
    planner, context = served(folder, RECORDED - timedelta(days=1))
    with pytest.raises(
        MlflowException, match=r"no recipe of the model's catalogue counts yet .* set the clock right"
    ) as told:
        planner.predict(context, [ASKED])
    assert told.value.get_http_status_code() == 500


def test_the_device_is_mlflows_to_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DEFAULT_PREDICTION_DEVICE", "cpu")
    served(folder, RECORDED)
    monkeypatch.setenv("MLFLOW_DEFAULT_PREDICTION_DEVICE", "cuda:1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ModelError, match="device cuda:1 is not there"):
        served(folder, RECORDED)


def test_a_packed_model_is_read_back_without_advice_and_takes_lists_and_tables(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow puts the packed code before everything else.
    monkeypatch.setattr(sys, "path", [*sys.path])
    registration.pack(folder, tmp_path / "packed")
    model = mlflow.pyfunc.load_model(str(tmp_path / "packed"))
    assert [str(each.message) for each in recwarn if "type hint" in str(each.message)] == []
    asked = [row(seed)["input"] for seed in (1, 2)]
    answers = model.predict(asked)
    assert [len(answer["plan"]["meals"]) > 0 for answer in answers] == [True, True]
    assert model.predict(pd.DataFrame(asked)) == answers
