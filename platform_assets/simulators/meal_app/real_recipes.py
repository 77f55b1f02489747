"""Real recipes from a JSON-lines file, with its gaps filled by stated rules.

Expected keys, any of which may be null or absent: recipe_id, title, tags, ingredient_lines, prep_minutes, cook_minutes,
servings. The rules:
- id: recipe_id, else `r` and the line's number; a repeated id gets the line's number too. title: else the id in words.
- prep_time_min: preparation + cooking; a missing preparation counts 10 minutes, a missing cooking 20, at most 240 in all.
- servings: else 4. Ingredients: the words of the vocabulary that a line names, with the vocabulary's amounts unless the
  line states grams or millilitres; lines that name nothing known are left out.
- cuisine: the first tag that is one, else `international`. main_protein: a protein among the tags, else the first in
  the ingredients, else `vegetable`. Price: the known ingredients', at least 0.50.
- allergens and diets follow the known ingredients; a dish of which nothing is known claims no diet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from platform_assets.simulators.meal_app.catalogue import Recipe
from platform_assets.simulators.meal_app.ingredients import BY_NAME, Ingredient, allergens_of, diets_of, recognise
from platform_assets.simulators.meal_app.invented_recipes import as_item
from platform_assets.simulators.meal_app.scenario import SimulatorError

PREP_MINUTES, COOK_MINUTES, LONGEST_MINUTES, SERVINGS, CHEAPEST = 10, 20, 240, 4, 0.5
_CUISINE_TAGS = (
    "american argentinian asian australian austrian baltic belgian brazilian chinese dominican dutch english filipino"
    " finnish french german greek hungarian indian indonesian irish israeli italian japanese lebanese lithuanian"
    " mediterranean mexican peruvian polish portuguese quebec romanian russian spanish swedish swiss thai tunisian"
    " turkish ukrainian yucatecan"
)
CUISINES = frozenset(_CUISINE_TAGS.split())
_AMOUNT = re.compile(r"(\d+(?:[.,]\d+)?)\s*(kg|g|gr|grams?|ml|l|litres?|liters?)\b", re.IGNORECASE)
_FACTOR = {"k": 1000.0, "l": 1000.0}


def read_recipes(path: Path) -> list[Recipe]:
    """The file's recipes, one a line. Raises SimulatorError for a line that is no JSON object, naming it."""
    recipes: dict[str, Recipe] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            recipe = _fill(_decode(path, number, line), number, taken=recipes)
            recipes[recipe.id] = recipe
    if not recipes:
        raise SimulatorError(f"{path} holds no recipe")
    return list(recipes.values())


def _decode(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict)
    except msgspec.DecodeError as error:
        raise SimulatorError(f"{path} line {number} is no JSON object: {error}") from None


def _fill(source: dict[str, Any], number: int, taken: dict[str, Recipe]) -> Recipe:
    identifier = str(source.get("recipe_id") or f"r{number:03d}")
    identifier = f"{identifier}-{number}" if identifier in taken else identifier
    tags = [str(tag).strip().lower() for tag in source.get("tags") or [] if tag]
    servings = _positive(source.get("servings"), SERVINGS)
    items = _items([str(line) for line in source.get("ingredient_lines") or [] if line], servings)
    known = [BY_NAME[name] for name in items]
    return Recipe(
        id=identifier,
        title=str(source.get("title") or identifier.replace("-", " ").capitalize()),
        cuisine=next((tag for tag in tags if tag in CUISINES), "international"),
        main_protein=_protein(tags, known),
        ingredients=list(items.values()),
        tags=tags,
        allergens=allergens_of(known),
        diets=diets_of(known),
        prep_time_min=_minutes(source.get("prep_minutes"), source.get("cook_minutes")),
        cost_per_serving=round(max(CHEAPEST, sum(each.cost for each in known)), 2),
        servings=servings,
    )


def _positive(value: Any, otherwise: int) -> int:
    return int(value) if isinstance(value, int | float) and value >= 1 else otherwise


def _minutes(prep: Any, cook: Any) -> int:
    known = [isinstance(value, int | float) and value >= 0 for value in (prep, cook)]
    total = (prep if known[0] else PREP_MINUTES) + (cook if known[1] else COOK_MINUTES)
    return int(min(max(total, 5), LONGEST_MINUTES))


def _protein(tags: list[str], known: list[Ingredient]) -> str:
    tagged = [each for tag in tags for each in recognise(tag)]
    return next((each.name for each in [*tagged, *known] if each.role == "protein"), "vegetable")


def _items(lines: list[str], servings: int) -> dict[str, dict]:
    """Name -> ingredient row; the first line that names an ingredient states its amount."""
    items: dict[str, dict] = {}
    for line in lines:
        for each in recognise(line):
            items.setdefault(each.name, _with_amount(as_item(each, servings, 1.0), line))
    return items


def _with_amount(item: dict, line: str) -> dict:
    stated = _AMOUNT.search(line)
    if stated is None or item["unit"] == "piece":
        return item
    amount = float(stated.group(1).replace(",", ".")) * _FACTOR.get(stated.group(2)[0].lower(), 1.0)
    return {**item, "quantity": max(1, round(amount))}
