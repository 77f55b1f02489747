"""The base model that a week's training starts from: `tiny`, trained here on the catalogue, or one that exists elsewhere.

    python -m platform_assets.planner.base_model --model_base tiny --recipes recipes.parquet --output FOLDER

Writes a base folder: base.json, and for `tiny` the weights and tokenizer beside it. Of a local folder or hub id only the
reference and its revision are written: weights of gigabytes stay where they are. A base never sees a logged plan, so that
replaying any week on it is honest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from platform_assets.core import transform
from platform_assets.planner.catalogue import Catalogue
from platform_assets.planner.plans import Recipe

TINY = "tiny"
BASE = "base.json"
# For weeks of the demo's size; benchmarks/planner_learning.py measures larger ones at 3e-3. No candidates in the prompt: each recipe is a token that the base has learnt,
# and decoding admits the admissible ones alone. The output layer has an adapter too: how popular each recipe is are more
# numbers than the stream is wide.
_TINY_TRAINING = {
    "epochs": "4", "early_stopping": "1", "lr": "1e-3", "batch_size": "32", "max_candidates": "0",
    "lora_targets": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj,lm_head",
}  # fmt: skip
_SOURCES = ("base_model.py", "tiny.py", "tiny_tokenizer.py", "synthetic_households.py", "prompt.py", "plans.py")
CODE_VERSION = transform.code_version(*(Path(__file__).parent / name for name in _SOURCES))


def learned_recipes(catalogue: Catalogue) -> dict[str, Recipe]:
    """The newest version of each recipe at the price it was first offered: an offer trains no new base model."""
    first = catalogue.first
    return {
        recipe_id: replace(recipe, cost_per_serving=first[recipe_id].cost_per_serving)
        for recipe_id, recipe in catalogue.latest.items()
    }


def fingerprint(model_base: str, revision: str, tiny_steps: int, catalogue: Catalogue) -> str:
    """Everything that decides what the base model is: equal fingerprints are equal models."""
    content: dict[str, Any] = {"model_base": model_base, "revision": revision, "code_version": CODE_VERSION}
    if model_base == TINY:
        recipes = [asdict(recipe) for recipe in learned_recipes(catalogue).values()]
        content |= {"steps": tiny_steps, "recipes": recipes}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def advised_options(model_base: str) -> dict[str, str]:
    """Options of the training that suit a base and differ from the program's defaults, which suit a language model."""
    return dict(_TINY_TRAINING) if model_base == TINY else {}


def build(model_base: str, revision: str, tiny_steps: int, recipes: Path, output: Path) -> dict[str, Any]:
    """Write the base folder and return its description; raises ModelError naming what is wrong with a base model."""
    from platform_assets.planner import language_model, tiny
    from platform_assets.training import program

    if model_base == TINY:
        options = tiny.TinyOptions(steps=tiny_steps)
        return tiny.build_tiny(learned_recipes(Catalogue.read(recipes)), output, options, progress=program.say)
    return language_model.write_reference(model_base, revision, output)


def describe(folder: Path) -> dict[str, Any]:
    """What base.json says of a base folder."""
    return json.loads((folder / BASE).read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.planner.language_model import ModelError
    from platform_assets.training import program

    parser = argparse.ArgumentParser(prog="python -m platform_assets.planner.base_model")
    parser.add_argument("--model_base", default=TINY, help="tiny, a local folder, or a hub id")
    parser.add_argument("--revision", default="", help="of a hub id: a commit; the newest one when left out")
    parser.add_argument("--tiny_steps", type=int, default=3000)
    parser.add_argument("--recipes", type=Path, required=True, help="recipes.parquet of planner/recipes")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)

    def work() -> Mapping[str, Any]:
        return build(options.model_base, options.revision, options.tiny_steps, options.recipes, options.output)

    return program.run(work, (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
