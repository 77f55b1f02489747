"""When a base model is made anew: whenever, and only when, it would become another one."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platform_assets.planner import base_identity, base_model
from platform_assets.planner.base_identity import Identity
from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.model_documents import ModelError
from platform_assets.planner.plans import Recipe
from platform_assets_tests.planner.small_model import small_recipes, write_base

AT = datetime(2026, 1, 1, tzinfo=UTC)
PACKAGE = Path(base_model.__file__).parents[1]


def version(recipe: Recipe, days: int = 0) -> dict[str, Any]:
    """A recipe as it was recorded so many days later."""
    items = [vars_of(item) for item in recipe.ingredients]
    return {**vars_of(recipe), "ingredients": items, "valid_from": AT, "recorded_at": AT + timedelta(days=days)}


def vars_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


FIRST, *OTHERS = small_recipes(12).values()
ROWS = [version(each) for each in (FIRST, *OTHERS)]
CATALOGUE = Catalogue(ROWS)


def fingerprint(
    catalogue: Catalogue = CATALOGUE,
    model_base: str = "tiny",
    steps: int = 5,
    revision: str = "",
    dtype: str = "float32",
) -> str:
    return base_model.fingerprint(base_model.Wanted(model_base, revision, dtype, steps), catalogue)


def test_a_tiny_base_is_made_anew_for_other_recipes_steps_or_libraries_but_not_for_an_offer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fingerprint()
    offer = version(replace(FIRST, cost_per_serving=FIRST.cost_per_serving / 2), days=1)
    assert fingerprint(Catalogue([*ROWS, offer])) == before
    assert fingerprint(Catalogue([*ROWS, version(replace(FIRST, tags=("new",)), days=1)])) != before
    assert fingerprint(Catalogue(ROWS[1:])) != before
    assert fingerprint(steps=6) != before
    monkeypatch.setattr(base_model, "version", lambda name: "0")
    assert fingerprint() != before


def test_a_referenced_base_is_made_anew_when_its_files_changed_and_not_for_the_catalogue(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "theirs", small_recipes(20))
    before = fingerprint(model_base=str(folder))
    assert fingerprint(Catalogue(ROWS[1:]), model_base=str(folder), steps=9) == before
    assert fingerprint(model_base=str(folder), dtype="bfloat16") != before
    with pytest.raises(ModelError, match="one of"):
        fingerprint(model_base=str(folder), dtype="float64")
    with pytest.raises(ModelError, match="tiny is float32"):
        fingerprint(dtype="bfloat16")
    (folder / "chat_template.jinja").write_text("another")
    assert fingerprint(model_base=str(folder)) != before


def test_a_hub_base_is_made_anew_when_its_branch_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for commit in ("a", "a", "b"):
        monkeypatch.setattr(base_identity, "identify", lambda name, _, commit=commit: Identity(name, commit, commit))
        found.append(fingerprint(model_base="someone/model", revision="main"))
    assert found[0] == found[1] != found[2]


def imported(path: Path) -> set[Path]:
    """The modules of the package that a module imports."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("platform_assets"):
            below = PACKAGE.parent / (node.module or "").replace(".", "/")
            found |= {below.with_suffix(".py"), *(below / f"{each.name}.py" for each in node.names)}
    return {module for module in found if module.is_file()}


def test_every_module_of_the_planner_that_makes_a_base_is_in_its_fingerprint() -> None:
    planner = PACKAGE / "planner"
    reached, waiting = set[Path](), [planner / "tiny.py", planner / "base_identity.py", planner / "catalogue.py"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += imported(module)
    made_by = {path.name for path in reached if path.parent == planner}
    assert {"tiny.py", "tiny_tokenizer.py", "synthetic_households.py", "prompt.py", "plans.py"} <= made_by
    assert made_by <= set(base_model._SOURCES)


def test_knowing_a_base_loads_no_library_of_models(tmp_path: Path) -> None:
    program = (
        "import sys, json; from platform_assets.planner import base_model, base_identity\n"
        f"base_model.build(base_model.Wanted({str(write_base(tmp_path / 'theirs', small_recipes(20)))!r}, dtype='bfloat16'), None, "
        f"base_identity.Path({str(tmp_path / 'reference')!r}))\n"
        "print(json.dumps([n for n in ('torch', 'transformers', 'huggingface_hub', 'duckdb') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    assert base_model.describe(tmp_path / "reference")["kind"] == "reference"


def test_the_command_names_a_catalogue_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--recipes", str(tmp_path / "recipes.parquet"), "--output", str(tmp_path / "base")]
    assert base_model.main(words) == 1
    assert "name the recipes.parquet that planner/recipes published" in capsys.readouterr().err
