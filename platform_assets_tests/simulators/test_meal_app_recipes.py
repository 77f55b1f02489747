"""Real recipes with their gaps, and scenarios that are refused."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec
import pytest

from platform_assets.simulators.meal_app import Faults, Scenario, SimulatorError, simulate

START = date(2026, 1, 2)
REAL_RECIPES = Path(__file__).parents[3] / "shared" / "data" / "recipes" / "recipes.jsonl"


def test_real_recipes_with_their_gaps_make_a_world() -> None:
    if not REAL_RECIPES.exists():
        pytest.skip("the real recipes are not beside this checkout")
    world = simulate(Scenario(2, 40, START, 2, recipes_file=REAL_RECIPES, faults=Faults.none()))
    recipes = world.tables["public.recipes"].to_pylist()
    assert len({row["id"] for row in recipes}) == 410
    assert all(value is not None for row in recipes for value in row.values())
    assert world.event_count > 200


def test_a_recipe_of_nothing_but_nulls_is_filled_by_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "recipes.jsonl"
    keys = ("recipe_id", "title", "tags", "ingredient_lines", "prep_minutes", "cook_minutes", "servings")
    lines = [
        dict.fromkeys(keys),
        {},
        {"recipe_id": "a", "tags": ["thai", None], "ingredient_lines": ["400g tofu", None]},
    ]
    lines += [{"recipe_id": "a", "prep_minutes": 5, "cook_minutes": 7}] * 40
    file.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    world = simulate(Scenario(2, 5, START, 1, recipes_file=file, faults=Faults.none()))
    rows = {row["id"]: row for row in world.tables["public.recipes"].to_pylist()[:43]}
    assert rows["r001"]["prep_time_min"] == 30
    assert rows["r001"]["servings"] == 4
    assert rows["r001"]["diets"] == []
    assert (rows["a"]["cuisine"], rows["a"]["main_protein"], rows["a"]["allergens"]) == ("thai", "tofu", ["soy"])
    assert msgspec.json.decode(rows["a"]["ingredients"])[0]["quantity"] == 400
    assert rows["a-4"]["prep_time_min"] == 12


def test_a_scenario_that_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(SimulatorError, match="Friday"):
        Scenario(1, 10, date(2026, 1, 3), 1)
    with pytest.raises(SimulatorError, match="fault share late"):
        Faults(late=0.9)
