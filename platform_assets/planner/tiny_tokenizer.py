"""The tiny model's tokenizer: byte-level, with one token for every recipe, catalogue word and fixed piece of the prompt.

A prompt is then some dozens of tokens instead of hundreds, and choosing a recipe is one decision. Any other text is still
spelled in bytes, so that nothing is unknown. The fixed pieces are read off `prompt.render` itself: another rendering gets
other pieces without a change here. What does not belong here: the model (`planner.tiny`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from platform_assets.planner import prompt
from platform_assets.planner.plans import MOST_MEALS, Constraints, Household, InputContext, Meal, Plan, Quantity, Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END, USER, ASSISTANT = SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Values of fields that no catalogue names; one that is missing here costs a token a letter and nothing else.
CHOICES = ("null", "autopilot", "exploratory", "constrained", "plan-first", "meal-first", "pantry-first")
REGIONS = ("eu", "us", "ap", "north", "south", "east", "west", "central", "-")
_NAME, _NUMBER = "@", 777
_VALUE = re.compile(rf" ?{_NAME}|{_NUMBER}")


def build_tokenizer(recipes: Mapping[str, Recipe]) -> PreTrainedTokenizerFast:
    """The tokenizer of a catalogue; the same catalogue gives the same ids."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIAL])
    backend.add_tokens([AddedToken(text, normalized=False) for text in vocabulary(recipes)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def vocabulary(recipes: Mapping[str, Recipe]) -> list[str]:
    """Everything that is one token beside the bytes: recipes, words, values, fixed pieces."""
    names = (name for recipe in recipes.values() for name in words_of(recipe))
    texts = [*(recipe_token(each) for each in sorted(recipes)), *sorted({word_token(name) for name in names})]
    return list(dict.fromkeys([*texts, *CHOICES, *REGIONS, *sorted(_pieces())]))


def words_of(recipe: Recipe) -> Iterator[str]:
    """What a household can prefer, exclude, be restricted to or have in stock, as far as the recipe names it."""
    yield from (recipe.cuisine, recipe.main_protein, *recipe.tags, *recipe.diets, *recipe.allergens)
    yield from (item.name for item in recipe.ingredients)


def recipe_token(recipe_id: str) -> str:
    """A recipe as the prompt and the answer spell it."""
    return word_token(recipe_id)


def word_token(name: str) -> str:
    """A name as the prompt's lists spell it."""
    return f" {name.replace(' ', '_')}"


def _pieces() -> set[str]:
    """The prompt's and the answer's text between values, for lists that are filled or empty and a region that is null."""
    form = prompt.PromptFormat()
    samples = [(_sample(plans, region), shown) for plans in range(3) for region in (_NAME, None) for shown in (0, 1)]
    texts = [prompt.render(context, [_sample_recipe()] * shown, form) for context, shown in samples]
    answers = (prompt.completion([_NAME] * count) for count in range(1, MOST_MEALS + 1))
    texts += [re.sub(r"\d", str(_NUMBER), answer) for answer in answers]
    return {piece for text in texts for piece in _VALUE.split(text) if piece}


def _sample(plans: int, region: str | None) -> InputContext:
    """A context whose every value is a placeholder."""
    recent = tuple(Plan((Meal("monday", _NAME, 1),)) for _ in range(plans))
    return InputContext(
        Household("", _NUMBER, (_NAME,), (_NAME,), region),
        (Quantity(_NAME, 1.0, "g"),),
        Constraints(_NUMBER, _NUMBER, (_NAME,)),
        _NAME, _NAME, recent[0] if recent else None, recent,
    )  # fmt: skip


def _sample_recipe() -> Recipe:
    return Recipe(_NAME, "", "", "", (), (), (), (), 0, 0.0, 1)
