"""planner/base_model over several weeks: taken over while nothing changed, made anew for a changed folder, refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_assets.core.lake import Lake, Lineage
from platform_assets.core.quality import Outcome, to_details
from platform_assets.core.settings import Settings
from platform_assets.orchestration import programs
from platform_assets.orchestration.resources import EngineResource, LakeResource
from platform_assets.planner.assets import base_model, common
from platform_assets_tests.planner.small_model import small_recipes, write_base
from platform_assets_tests.planner.training_world import write_recipes

FIRST, SECOND, THIRD = WEEKS = ("2026-01-02", "2026-01-09", "2026-01-16")
Materialize = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake in which every week has the same catalogue."""
    lake, recipes = Lake(str(tmp_path / "lake")), write_recipes(tmp_path / "recipes.parquet", 20)
    passed = to_details([Outcome("recipes_readable", True, "")])
    for week in WEEKS:
        lineage = Lineage(code_version="1", run_id="r", details={"checks": passed})
        lake.publish_table(common.address(common.RECIPES, week), {"recipes.parquet": recipes}, lineage)
    return lake


@pytest.fixture
def materialize(lake: Lake, tmp_path: Path) -> Iterator[Materialize]:
    """(week, its configuration) -> the run of planner/base_model."""
    settings = Settings.from_environment(
        {"PLATFORM_HOME": str(tmp_path / "home"), "PLATFORM_PLANNER_START": date(2026, 1, 2).isoformat()}
    )
    resources = {
        "lake": LakeResource(url=str(tmp_path / "lake")), "engine": EngineResource(scratch=str(tmp_path / "scratch")),
    }  # fmt: skip
    with dg.DagsterInstance.ephemeral() as instance:

        def run(week: str, **config: Any) -> dg.ExecuteInProcessResult:
            return dg.materialize(
                [base_model.build(settings)], partition_key=week, instance=instance, resources=resources,
                run_config={"ops": {"planner__base_model": {"config": config}}}, raise_on_error=False,
            )  # fmt: skip

        yield run


def published(lake: Lake, week: str) -> dict[str, Any]:
    """What base.json says, and the week that the base was taken from."""
    revision = lake.current(common.address(common.BASE_MODEL, week))
    assert revision
    return {**json.loads(lake.read_side(revision, "base.json")), "taken_from": revision.lineage.details["taken_from"]}


def test_a_changed_folder_is_another_base_the_week_after(lake: Lake, materialize: Materialize, tmp_path: Path) -> None:
    folder = write_base(tmp_path / "theirs", small_recipes(20))
    for week in (FIRST, SECOND):
        assert materialize(week, model_base=str(folder)).success
    assert published(lake, FIRST) == published(lake, SECOND)
    assert published(lake, SECOND)["taken_from"] == FIRST
    (folder / "chat_template.jinja").write_text("another")
    assert materialize(THIRD, model_base=str(folder)).success
    assert published(lake, THIRD)["taken_from"] == THIRD
    assert published(lake, THIRD)["digest"] != published(lake, FIRST)["digest"]


def test_a_tiny_base_is_trained_by_its_program(
    lake: Lake, materialize: Materialize, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run_program(context: Any, module: str, arguments: list[str]) -> dict[str, Any]:
        asked.extend([module, *arguments])
        write_base(Path(arguments[arguments.index("--output") + 1]), small_recipes(20))
        return {}

    monkeypatch.setattr(programs, "run_program", run_program)
    assert materialize(FIRST, tiny_steps=7).success
    assert materialize(SECOND, tiny_steps=7).success
    assert asked.count("platform_assets.planner.base_model") == 1
    assert asked[asked.index("--tiny_steps") + 1] == "7"
    assert published(lake, SECOND)["taken_from"] == FIRST
    assert materialize(THIRD, tiny_steps=8).success
    assert published(lake, THIRD)["taken_from"] == THIRD


def test_a_base_that_cannot_be_had_fails_the_step_with_the_remedy_and_without_retries(
    materialize: Materialize, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    result = materialize(FIRST, model_base=str(tmp_path / "empty"))
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.user_failure_data
    assert not result.success
    assert error is not None
    assert "holds no *.safetensors: give the folder that save_pretrained wrote" in str(error.description)
