"""The README's table of checks names every check of every asset."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from platform_assets.core.settings import Settings

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("pipeline", ["world_model", "query_predictor"])
def test_the_table_of_checks_names_every_check_of_every_asset(pipeline: str) -> None:
    rows = re.findall(rf"^\| ({pipeline}/.+?) \|.+?\|.+?\|(.+)\|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: set(re.findall(r"\w+", checks)) for names, checks in rows for name in names.split(", ")}
    build = importlib.import_module(f"platform_assets.{pipeline}.definitions").build
    graph = build(Settings.from_environment({})).resolve_asset_graph()
    declared = {key.to_user_string(): set() for key in graph.materializable_asset_keys}
    for check in graph.asset_check_keys:
        declared[check.asset_key.to_user_string()].add(check.name)
    assert told == declared
