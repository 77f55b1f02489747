"""The rules of the house, read from the code: who may import whom, what loads with definitions, which SQL is portable."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlglot
import yaml
from sqlglot import expressions

from platform_assets.core import transform

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "platform_assets"
PIPELINES = {"planner", "query_predictor", "world_model"}
HEAVY = (
    "torch",
    "transformers",
    "lightning",
    "peft",
    "scipy",
    "xgboost",
    "mlflow",
    "dagster_mlflow",
    "dagster_aws",
    "boto3",
    "pandas",
    "duckdb",
)
# Each room, and the rooms it may import; commands stand above everything.
MAY_IMPORT = {
    "core": {"core"},
    "orchestration": {"orchestration", "core"},
    "simulators": {"simulators", "core"},
    "training": {"training", "core"},
    "planner": {"planner", "training", "orchestration", "core"},
    "query_predictor": {"query_predictor", "training", "orchestration", "core"},
    "world_model": {"world_model", "training", "orchestration", "core"},
    "commands": {"commands", "orchestration", "core", "simulators", *PIPELINES},
}
FOLDERS = ("platform_assets", "platform_assets_tests", "deploy", "benchmarks", "docs")
# Where checkouts, homes and scratch lie on one machine. What stands before says that it is a path from the top.
_FROM_THE_TOP = r"(?<![\w.)}$~-])(?<![\w.)}$~-]/)/"
OF_ONE_MACHINE = re.compile(_FROM_THE_TOP + r"(?:work|root|home|Users)\b")
OF_ONE_MACHINE_OR_TEMPORARY = re.compile(_FROM_THE_TOP + r"(?:work|root|home|Users|tmp)\b")
# Functions that one engine has and the other has not, or spells with another meaning.
NOT_PORTABLE = {"hash", "epoch_us", "strftime", "list_aggregate", "unnest", "generate_series"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)


def imports(path: Path, nested: bool = True) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


@pytest.mark.parametrize(
    "path", [p for p in modules() if p.parent != PACKAGE], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_point_down_and_only_the_glue_knows_dagster(path: Path) -> None:
    for name in imports(path):
        if name.startswith("platform_assets."):
            assert name.split(".")[1] in MAY_IMPORT[room(path)], f"{path.name} imports {name}"
        is_glue = room(path) == "orchestration" or "assets" in path.parts or path.name == "definitions.py"
        # The few lines by which a program of its own talks to the step that started it.
        is_talk = room(path) == "training" and name == "dagster_pipes"
        assert is_glue or is_talk or not name.split(".")[0].startswith("dagster"), f"{path.name} imports {name}"
        assert not name.startswith("dagster._"), f"{path.name} imports the private {name}"
        assert room(path) != "core" or name.split(".")[0] != "torch"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_belongs_in_it_and_stays_a_rooms_size(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), path.name
    assert text.count("\n") <= 350, path.name


def locations() -> list[str]:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    return [entry["python_module"]["module_name"] for entry in workspace["load_from"]]


@pytest.mark.parametrize("location", locations())
def test_definitions_load_in_a_fresh_interpreter_without_heavy_modules(location: str, tmp_path: Path) -> None:
    program = (
        f"import sys, json, {location} as m; m.defs; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    )
    environment = {"PATH": "/usr/bin:/bin", "PLATFORM_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert not (tmp_path / "home").exists(), "loading definitions must start nothing and write nothing"


def test_every_location_of_the_workspace_validates(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "PLATFORM_DAGSTER_STORAGE": str(tmp_path)}
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/sql/*.sql")), ids=lambda p: p.stem)
def test_transforms_keep_to_the_sql_that_a_second_engine_runs(path: Path) -> None:
    for step in transform.load(path).steps:
        spark = step.query.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
        assert sqlglot.parse_one(spark, dialect="spark")
        words = set(re.findall(r"(\w+)\s*\(", step.query.sql(dialect="duckdb").lower()))
        assert not words & NOT_PORTABLE
        assert "ASOF" not in spark.upper().replace("AS_OF", "")
        ordered = [node for node in step.query.find_all(expressions.ArrayAgg) if node.find(expressions.Order)]
        assert not ordered, "the order inside an aggregate is lost on the way: sort the list instead"


def written_files() -> list[Path]:
    """Every file of the house that is text, at the top and below; .env is whose machine it is."""
    below = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    return sorted(
        path
        for path in [*ROOT.glob("[!.]*"), *below]
        if path.is_file() and path.suffix != ".png" and path.name != ".env" and "__pycache__" not in path.parts
    )


def machine_paths(path: Path, text: str) -> list[str]:
    """The paths in a text that exist on somebody's machine only; tests and benchmarks may name the temporary folder."""
    may_be_temporary = path.relative_to(ROOT).parts[0] in ("platform_assets_tests", "benchmarks")
    return (OF_ONE_MACHINE if may_be_temporary else OF_ONE_MACHINE_OR_TEMPORARY).findall(text)


def test_nothing_is_named_after_the_workplace_it_was_written_in() -> None:
    found = {path: machine_paths(path, path.read_text(encoding="utf-8", errors="replace")) for path in written_files()}
    assert {path: places for path, places in found.items() if places} == {}
    assert {"sql", "yaml", "md", "py", "mako", "toml"} <= {path.suffix[1:] for path in found}
    assert {ROOT / name for name in ("Makefile", "deploy/Dockerfile", "deploy/.env.example")} <= set(found)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("cd {}work/main", True), ("file://{}home/me", True), ("'{}root'", True), ("x={}Users/me", True), ("{}tmp/lake", True),
     ("a/home", False), ("https://host/root/x", False), ("{{}}{}home", False), ("{}workspace.yaml", False), ("{}tmpfs", False)],
)  # fmt: skip
def test_a_path_of_one_machine_is_told_from_other_paths(text: str, is_found: bool) -> None:
    assert bool(machine_paths(ROOT / "docs" / "any.md", text.format("/"))) is is_found
    if "tmp" in text:
        assert not machine_paths(ROOT / "benchmarks" / "any.py", text.format("/"))


def test_an_installed_package_holds_every_file_that_is_read_at_run_time(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy: building in place leaves a folder that hides files missing from the package
    shutil.copytree(PACKAGE, source / "platform_assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    # By the setuptools that torch brings: an environment of its own for it would be made anew, and downloaded.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True, capture_output=True)
    packed = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    needed = [*PACKAGE.rglob("*.sql"), *PACKAGE.rglob("*.mako"), *PACKAGE.rglob("*.py")]
    assert {str(path.relative_to(ROOT)) for path in needed} <= packed
