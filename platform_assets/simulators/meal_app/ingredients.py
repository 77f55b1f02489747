"""The pantry's vocabulary: every ingredient with its unit, package, price, kind and allergens.

One table serves the invented catalogue, the reading of real ingredient lines and the pantries. What does not belong
here: recipes. Amounts are per serving and whole numbers in the unit; prices are per serving.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ALLERGENS = ("gluten", "dairy", "egg", "nuts", "fish", "shellfish", "soy", "sesame")
DIETS = ("vegetarian", "vegan", "pescatarian", "gluten-free", "dairy-free")
# What people exclude without being allergic to it; every name is an ingredient below.
DISLIKED = ("mushroom", "coriander", "olives", "aubergine", "beetroot", "coconut milk", "blue cheese", "liver")
EXCLUDABLE = ALLERGENS + DISLIKED


@dataclass(frozen=True)
class Ingredient:
    """One row of the vocabulary."""

    name: str
    role: str
    kind: str
    unit: str
    per_serving: int
    package: int
    cost: float
    perishable: bool
    allergens: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def staple(self) -> bool:
        """Always in the house: bought without a plan, never counted as a leftover."""
        return self.role == "staple"


# name | role | kind | unit | per serving | package | price per serving | allergens | other words for it
_TABLE = """
chicken         | protein   | meat      | g     | 140 | 500  | 1.90 |           | hen, poultry, turkey, duck
beef            | protein   | meat      | g     | 130 | 500  | 2.60 |           | steak, venison, veal, hamburger
pork            | protein   | meat      | g     | 130 | 500  | 1.80 |           | bacon, ham, sausage, chorizo, prosciutto, lard
lamb            | protein   | meat      | g     | 140 | 500  | 3.10 |           | mutton, rabbit
liver           | protein   | meat      | g     | 120 | 400  | 1.30 |           | kidney, pate
fish            | protein   | fish      | g     | 130 | 400  | 2.90 | fish      | salmon, tuna, cod, trout, anchovy, anchovies, trevally
shrimp          | protein   | shellfish | g     | 110 | 300  | 3.30 | shellfish | prawn, crab, octopus, squid, mussel, seafood
tofu            | protein   | plant     | g     | 120 | 400  | 1.20 | soy       | tempeh
lentils         | protein   | plant     | g     | 80  | 500  | 0.50 |           | lentil
beans           | protein   | plant     | g     | 120 | 400  | 0.60 |           | bean, chickpea, chickpeas
eggs            | protein   | egg       | piece | 2   | 10   | 0.60 | egg       | egg, mayonnaise, mayonaise, yolk
halloumi        | protein   | dairy     | g     | 90  | 225  | 1.70 | dairy     | paneer
onion           | vegetable | plant     | piece | 1   | 5    | 0.20 |           | shallot, leek
tomato          | vegetable | plant     | g     | 120 | 500  | 0.45 |           | tomatoes, passata, ketchup
carrot          | vegetable | plant     | g     | 80  | 500  | 0.20 |           |
potato          | vegetable | plant     | g     | 180 | 1500 | 0.30 |           | potatoes
bell pepper     | vegetable | plant     | piece | 1   | 3    | 0.60 |           | peppers
spinach         | vegetable | plant     | g     | 70  | 250  | 0.55 |           | kale, chard
broccoli        | vegetable | plant     | g     | 100 | 400  | 0.50 |           | cauliflower
zucchini        | vegetable | plant     | g     | 100 | 400  | 0.45 |           | courgette, squash, pumpkin
aubergine       | vegetable | plant     | g     | 120 | 350  | 0.60 |           | eggplant
mushroom        | vegetable | plant     | g     | 80  | 250  | 0.70 |           | champignon
cabbage         | vegetable | plant     | g     | 110 | 900  | 0.25 |           | sauerkraut
peas            | vegetable | plant     | g     | 70  | 450  | 0.30 |           | pea
corn            | vegetable | plant     | g     | 70  | 300  | 0.35 |           | sweetcorn
cucumber        | vegetable | plant     | piece | 1   | 2    | 0.35 |           |
beetroot        | vegetable | plant     | g     | 90  | 500  | 0.35 |           | beet
olives          | vegetable | plant     | g     | 25  | 150  | 0.50 |           | olive
celery          | vegetable | plant     | g     | 50  | 400  | 0.25 |           |
lemon           | vegetable | plant     | piece | 1   | 4    | 0.30 |           | lime, orange
apple           | vegetable | plant     | piece | 1   | 6    | 0.30 |           | pear, banana, berries, blueberries, fruit
pasta           | carb      | plant     | g     | 95  | 500  | 0.30 | gluten    | spaghetti, macaroni, penne, lasagna, lasagne
rice            | carb      | plant     | g     | 75  | 1000 | 0.25 |           | risotto
noodles         | carb      | plant     | g     | 85  | 400  | 0.45 | gluten    | ramen
bread           | carb      | plant     | g     | 80  | 500  | 0.40 | gluten    | breadcrumbs, baguette, toast, bun, crumbs
tortilla        | carb      | plant     | piece | 2   | 8    | 0.50 | gluten    | wrap
couscous        | carb      | plant     | g     | 70  | 500  | 0.35 | gluten    | bulgur, semolina
quinoa          | carb      | plant     | g     | 65  | 400  | 0.70 |           | buckwheat, millet, oats, oatmeal
cheese          | garnish   | dairy     | g     | 35  | 200  | 0.60 | dairy     | parmesan, cheddar, mozzarella, gruyere, pecorino
feta            | garnish   | dairy     | g     | 40  | 200  | 0.70 | dairy     |
blue cheese     | garnish   | dairy     | g     | 30  | 150  | 0.80 | dairy     | gorgonzola
cream           | garnish   | dairy     | ml    | 50  | 200  | 0.35 | dairy     | creme
yogurt          | garnish   | dairy     | g     | 60  | 500  | 0.30 | dairy     | yoghurt
milk            | garnish   | dairy     | ml    | 80  | 1000 | 0.15 | dairy     | buttermilk
butter          | garnish   | dairy     | g     | 15  | 250  | 0.20 | dairy     | ghee
coconut milk    | garnish   | plant     | ml    | 90  | 400  | 0.55 |           | coconut
peanuts         | garnish   | plant     | g     | 20  | 200  | 0.30 | nuts      | peanut, almond, almonds, walnut, cashew, nuts
sesame          | garnish   | plant     | g     | 5   | 100  | 0.15 | sesame    | tahini
coriander       | herb      | plant     | g     | 6   | 30   | 0.35 |           | cilantro
basil           | herb      | plant     | g     | 6   | 30   | 0.35 |           |
parsley         | herb      | plant     | g     | 6   | 30   | 0.30 |           | dill, mint
ginger          | herb      | plant     | g     | 8   | 100  | 0.20 |           |
chili           | herb      | plant     | g     | 4   | 50   | 0.20 |           | chilli, cayenne, jalapeno
curry paste     | herb      | plant     | g     | 15  | 200  | 0.30 |           | curry, masala
flour           | staple    | plant     | g     | 40  | 1000 | 0.05 | gluten    | dough
sugar           | staple    | plant     | g     | 10  | 1000 | 0.03 |           | syrup
honey           | staple    | honey     | g     | 10  | 400  | 0.15 |           |
soy sauce       | staple    | plant     | ml    | 10  | 250  | 0.10 | soy       | teriyaki
oil             | staple    | plant     | ml    | 10  | 750  | 0.08 |           |
salt            | staple    | plant     | g     | 3   | 500  | 0.01 |           |
garlic          | staple    | plant     | piece | 1   | 10   | 0.06 |           |
vinegar         | staple    | plant     | ml    | 8   | 500  | 0.05 |           | wine
"""
_KEEPS = {"lentils", "beans", "pasta", "rice", "noodles", "couscous", "quinoa", "coconut milk", "peanuts", "sesame"}


def _read(line: str) -> Ingredient:
    name, role, kind, unit, per_serving, package, cost, allergens, words = (cell.strip() for cell in line.split("|"))
    return Ingredient(
        name, role, kind, unit, int(per_serving), int(package), float(cost),
        perishable=role != "staple" and name not in _KEEPS,
        allergens=tuple(allergens.split()),
        words=(name, *(word.strip() for word in words.split(",") if word.strip())),
    )  # fmt: skip


INGREDIENTS = tuple(_read(line) for line in _TABLE.strip().splitlines())
BY_NAME = {each.name: each for each in INGREDIENTS}
POSITION = {each.name: position for position, each in enumerate(INGREDIENTS)}
_BY_WORD = {word: each for each in INGREDIENTS for word in each.words}
_WORDS = re.compile(r"\b(" + "|".join(sorted(_BY_WORD, key=len, reverse=True)) + r")(?:e?s)?\b", re.IGNORECASE)


def recognise(text: str) -> list[Ingredient]:
    """The ingredients that a line of free text names, in order of appearance, each once."""
    found = (_BY_WORD[match.group(1).lower()] for match in _WORDS.finditer(text))
    return list(dict.fromkeys(found))


def diets_of(ingredients: list[Ingredient]) -> list[str]:
    """The diets a dish fits. Of a dish with no known ingredient nothing is claimed."""
    if not ingredients:
        return []
    kinds = {each.kind for each in ingredients}
    allergens = {allergen for each in ingredients for allergen in each.allergens}
    fits = {
        "vegetarian": not kinds & {"meat", "fish", "shellfish"},
        "vegan": kinds == {"plant"},
        "pescatarian": "meat" not in kinds,
        "gluten-free": "gluten" not in allergens,
        "dairy-free": "dairy" not in allergens,
    }
    return [diet for diet in DIETS if fits[diet]]


def allergens_of(ingredients: list[Ingredient]) -> list[str]:
    """The allergens of a dish, in the order of ALLERGENS."""
    present = {allergen for each in ingredients for allergen in each.allergens}
    return [allergen for allergen in ALLERGENS if allergen in present]
