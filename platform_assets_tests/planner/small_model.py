"""A base folder with a small Llama of random weights, and recipes and requests to ask it about.

Two tokenizers, both byte-level BPE as real checkpoints have it: one that knows every recipe as one token, and one that
spells ids in pieces. What does not belong here: a model that has learnt anything (`planner.tiny`).
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from platform_assets.core.digest import digest_files, sha256_of
from platform_assets.planner import prompt
from platform_assets.planner.plan_documents import read_context, read_recipe
from platform_assets.planner.plans import InputContext, Recipe
from platform_assets.simulators.meal_app.invented_recipes import invent_recipes

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>")


def small_recipes(count: int = 60, seed: int = 1) -> dict[str, Recipe]:
    """Id -> an invented recipe."""
    invented = invent_recipes(np.random.default_rng(seed), count)
    return {recipe.id: read_recipe(vars(recipe)) for recipe in invented}


def small_context(recipes: Mapping[str, Recipe], seed: int, budget: float | None = 200.0) -> InputContext:
    """A household's request, drawn by the seed; `budget` for the week, None for no limit."""
    chance = random.Random(seed)
    ids = sorted(recipes)
    plans = [
        {"meals": [_meal(day, chance.choice(ids)) for day in ("monday", "wednesday", "friday")]}
        for _ in range(chance.randrange(4))
    ]
    return read_context(
        {
            "household": {
                "id": f"h{seed}", "size": chance.randint(1, 4), "restrictions": [], "region": "north",
                "preferences": chance.sample(["italian", "thai", "quick", "beans"], 2),
            },
            "pantry": {"items": [{"name": "rice", "quantity": 500, "unit": "g"}]},
            "constraints": {"budget": budget, "max_prep_time": chance.choice([None, 30, 60]), "excluded_ingredients": []},
            "workflow_type": "plan-first", "mode": "autopilot",
            "previous_plan": plans[0] if plans else None, "recent_plans": plans,
        }
    )  # fmt: skip


def write_base(folder: Path, recipes: Mapping[str, Recipe], one_token_ids: bool = True, seed: int = 0) -> Path:
    """Write a base folder of kind "files" and return it; `one_token_ids` False leaves ids to ordinary BPE pieces."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = small_tokenizer(recipes, one_token_ids)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, initializer_range=0.2, tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    write_base_document(folder)
    return folder


def write_base_document(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write base.json over the folder's files as they are now; `changes` go over its fields."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "base.json")
    document = {
        "model_base": "tiny",
        "revision": "",
        "kind": "files",
        "digest": digest_files((path.name, sha256_of(path)) for path in files),
        "dtype": "float32",
        "parameters": {},
        **changes,
    }
    (folder / "base.json").write_text(json.dumps(document, sort_keys=True, indent=2))
    return document


def small_tokenizer(recipes: Mapping[str, Recipe], one_token_ids: bool = True) -> Any:
    """A byte-level BPE tokenizer with a chat template; its words are those of a few prompts."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_texts(recipes), trainer)
    if one_token_ids:
        backend.add_tokens([AddedToken(f" {each}", normalized=False) for each in sorted(recipes)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=SPECIAL[0], eos_token=SPECIAL[1], chat_template=CHAT_TEMPLATE
    )


def _texts(recipes: Mapping[str, Recipe]) -> Iterable[str]:
    for seed in range(8):
        yield prompt.render(small_context(recipes, seed), list(recipes.values())[:20], prompt.PromptFormat())
        yield prompt.completion(sorted(recipes)[seed : seed + 3])


def _meal(day: str, recipe_id: str) -> dict[str, Any]:
    return {"day": day, "recipe_id": recipe_id, "servings": 2}


def write_model_folder(folder: Path, base: Path, targets: str | list[str] = "all-linear", **decoding: Any) -> Path:
    """Write a model folder over a base folder, with an adapter that changes what the base says; `decoding` is planner.json's."""
    import torch
    from peft import LoraConfig, get_peft_model

    from platform_assets.planner.language_model import load_base, quiet_adapters
    from platform_assets.planner.model_documents import read_base

    shutil.copytree(base, folder / "base")
    form = prompt.PromptFormat(max_candidates=8)
    with torch.random.fork_rng(), quiet_adapters():
        torch.manual_seed(5)
        tuned = get_peft_model(load_base(base)[0], LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    tuned.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    document = {
        "base_digest": read_base(base).digest, "format": asdict(form), "prompt_digest": form.digest, "fingerprint": "f",
        "decoding": {"dtype": "float32", "batch_size": 4, "seed": 3, "max_meals": 5, **decoding},
    }  # fmt: skip
    (folder / "planner.json").write_text(json.dumps(document))
    return folder
