"""An invented catalogue: cuisines, proteins and forms combined into plausible dinners with complete attributes."""

from __future__ import annotations

import numpy as np

from platform_assets.simulators.meal_app.catalogue import Recipe
from platform_assets.simulators.meal_app.ingredients import BY_NAME, INGREDIENTS, Ingredient, allergens_of, diets_of

COUNT = 240
# Cuisine -> (carbohydrates, garnishes, herbs) it draws from.
CUISINES = {
    "italian": (["pasta", "bread"], ["cheese", "cream"], ["basil", "parsley"]),
    "mexican": (["tortilla", "rice"], ["cheese", "yogurt"], ["coriander", "chili"]),
    "indian": (["rice", "bread"], ["yogurt", "coconut milk"], ["curry paste", "ginger"]),
    "thai": (["rice", "noodles"], ["coconut milk", "peanuts"], ["ginger", "coriander"]),
    "chinese": (["noodles", "rice"], ["sesame", "peanuts"], ["ginger", "chili"]),
    "greek": (["couscous", "potato"], ["feta", "yogurt"], ["parsley", "basil"]),
    "french": (["potato", "bread"], ["cream", "butter", "blue cheese"], ["parsley", "basil"]),
    "moroccan": (["couscous", "quinoa"], ["peanuts", "yogurt"], ["coriander", "ginger"]),
    "american": (["potato", "corn"], ["cheese", "butter"], ["parsley", "chili"]),
    "nordic": (["potato", "quinoa"], ["cream", "butter"], ["parsley"]),
}
# Form -> (minutes, tags).
FORMS = {
    "stew": (55, ["stew", "comfort"]),
    "salad": (20, ["salad", "light", "quick"]),
    "bowl": (25, ["light", "quick"]),
    "soup": (35, ["soup", "comfort"]),
    "bake": (50, ["baking", "comfort"]),
    "stir-fry": (20, ["fry", "quick", "spicy"]),
    "roast": (65, ["roast"]),
    "curry": (40, ["curry", "spicy"]),
}
GARNISHED, SERVED_TO = 0.55, (2, 4, 6)
STAPLES = ("oil", "salt", "garlic", "soy sauce", "vinegar", "honey")


def invent_recipes(rng: np.random.Generator, count: int = COUNT) -> list[Recipe]:
    """`count` recipes with ids r001, r002, ...; every cuisine and protein about equally often."""
    proteins = [each.name for each in INGREDIENTS if each.role == "protein" and each.name != "liver"]
    cuisines, forms = list(CUISINES), list(FORMS)
    return [
        _invent(rng, number, cuisines[number % len(cuisines)], proteins[int(rng.integers(len(proteins)))],
                forms[int(rng.integers(len(forms)))])
        for number in range(count)
    ]  # fmt: skip


def _invent(rng: np.random.Generator, number: int, cuisine: str, protein: str, form: str) -> Recipe:
    minutes, tags = FORMS[form]
    chosen = _choose_ingredients(rng, cuisine, protein)
    servings = SERVED_TO[int(rng.integers(len(SERVED_TO)))]
    return Recipe(
        id=f"r{number + 1:03d}",
        title=f"{cuisine.capitalize()} {protein} {form} with {chosen[2].name}",
        cuisine=cuisine,
        main_protein=protein,
        ingredients=[as_item(each, servings, float(rng.choice([0.8, 1.0, 1.2]))) for each in chosen],
        tags=[*tags, *(["spicy"] if "chili" in {each.name for each in chosen} and "spicy" not in tags else [])],
        allergens=allergens_of(chosen),
        diets=diets_of(chosen),
        prep_time_min=int(minutes + 5 * rng.integers(-2, 4)),
        cost_per_serving=round(0.3 + sum(each.cost for each in chosen) * float(rng.uniform(0.9, 1.2)), 2),
        servings=servings,
    )


def _choose_ingredients(rng: np.random.Generator, cuisine: str, protein: str) -> list[Ingredient]:
    """Protein, carbohydrate, two vegetables, a herb, staples, and often a garnish; each once."""
    carbs, garnishes, herbs = CUISINES[cuisine]
    vegetables = [each.name for each in INGREDIENTS if each.role == "vegetable" and each.name != "apple"]
    names = [
        protein,
        str(rng.choice(carbs)),
        *map(str, rng.choice(vegetables, 2, replace=False)),
        str(rng.choice(herbs)),
    ]
    if rng.random() < GARNISHED:
        names.append(str(rng.choice(garnishes)))
    names += map(str, rng.choice(STAPLES, 2, replace=False))
    return [BY_NAME[name] for name in dict.fromkeys(names)]


def as_item(ingredient: Ingredient, servings: int, factor: float) -> dict:
    """The ingredient as a recipe's row has it; the quantity is for all servings."""
    return {
        "name": ingredient.name,
        "quantity": max(1, round(ingredient.per_serving * servings * factor)),
        "unit": ingredient.unit,
        "staple": ingredient.staple,
        "perishable": ingredient.perishable,
    }
