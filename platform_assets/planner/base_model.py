"""The base model that a week's training starts from: `tiny`, trained here on the catalogue, or one that exists elsewhere.

    python -m platform_assets.planner.base_model --model_base tiny --recipes recipes.parquet --output FOLDER

Writes a base folder: base.json, and for `tiny` the weights and tokenizer beside it. Of a local folder or hub id only the
reference is written, with the digest of the folder's files or the hub's commit (`planner.base_identity`): weights of gigabytes
stay where they are. A base never sees a logged plan, so that replaying any week on it is honest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platform_assets.core import digest, transform
from platform_assets.core.folders import local_file
from platform_assets.planner import base_identity
from platform_assets.planner.catalogue import RECIPES, Catalogue
from platform_assets.planner.model_documents import BASE, DTYPES, ModelError
from platform_assets.planner.plans import PlanError, Recipe

TINY = "tiny"
# For weeks of the demo's size; benchmarks/planner_learning.py measures larger ones at 3e-3. No candidates in the prompt: each recipe is a token that the base has learnt,
# and decoding admits the admissible ones alone. The output layer has an adapter too: how popular each recipe is are more
# numbers than the stream is wide.
_TINY_TRAINING = {
    "epochs": "4", "early_stopping": "1", "lr": "1e-3", "batch_size": "32", "max_candidates": "0",
    "lora_targets": "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj,lm_head",
}  # fmt: skip
_SOURCES = (
    "base_model.py", "base_identity.py", "model_documents.py", "catalogue.py", "tiny.py", "tiny_tokenizer.py",
    "synthetic_households.py", "prompt.py", "plans.py", "plan_documents.py",
)  # fmt: skip
CODE_VERSION = transform.code_version(*(Path(__file__).parent / name for name in _SOURCES), Path(digest.__file__))
# Their numbers and file formats are the tiny model's.
_LIBRARIES = ("numpy", "safetensors", "tokenizers", "torch", "transformers")


def learned_recipes(catalogue: Catalogue) -> dict[str, Recipe]:
    """The newest version of each recipe at the price it was first offered: an offer trains no new base model."""
    first = catalogue.first
    return {
        recipe_id: replace(recipe, cost_per_serving=first[recipe_id].cost_per_serving)
        for recipe_id, recipe in catalogue.latest.items()
    }


@dataclass(frozen=True)
class Wanted:
    """Which base model: `tiny`, a local folder, or a hub id at a commit, branch or tag (the newest commit when left out).

    `dtype` is that of a reference's weights, where they are trained without mixed precision and where they are served; tiny is
    float32 throughout. `tiny_steps` are tiny's alone.
    """

    model_base: str = TINY
    revision: str = ""
    dtype: str = DTYPES[0]
    tiny_steps: int = 3000

    def __post_init__(self) -> None:
        """Raises ModelError."""
        if self.dtype not in DTYPES or (self.model_base == TINY and self.dtype != DTYPES[0]):
            raise ModelError(
                f"the dtype of {self.model_base} is {self.dtype!r}: {TINY} is {DTYPES[0]}, others one of {DTYPES}"
            )

    def resolved(self) -> Wanted:
        """With what its name means now: asked once, so that what is written is what was compared. Raises ModelError."""
        if self.model_base == TINY:
            return replace(self, revision="")
        found = base_identity.identify(self.model_base, self.revision)
        return replace(self, model_base=found.model_base, revision=found.revision)


def fingerprint(wanted: Wanted, catalogue: Catalogue) -> str:
    """Everything that decides what the base model is: equal fingerprints are equal models.

    A local folder is read whole, of a hub id the commit is asked; raises ModelError where there is none.
    """
    content: dict[str, Any] = {"code_version": CODE_VERSION}
    if wanted.model_base == TINY:
        recipes = [asdict(recipe) for recipe in learned_recipes(catalogue).values()]
        libraries = {name: version(name) for name in _LIBRARIES}
        content |= {"model_base": TINY, "steps": wanted.tiny_steps, "recipes": recipes, "libraries": libraries}
    else:
        content |= {**asdict(base_identity.identify(wanted.model_base, wanted.revision)), "dtype": wanted.dtype}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def advised_options(model_base: str) -> dict[str, str]:
    """Options of the training that suit a base and differ from the program's defaults, which suit a language model."""
    return dict(_TINY_TRAINING) if model_base == TINY else {}


def build(wanted: Wanted, recipes: Path, output: Path) -> dict[str, Any]:
    """Write the base folder and return its description; raises ModelError naming what is wrong with a base model."""
    if wanted.model_base != TINY:
        return base_identity.write_reference(wanted.model_base, wanted.revision, output, wanted.dtype)
    from platform_assets.planner import language_model, tiny
    from platform_assets.training import program

    if not recipes.is_file():
        raise ModelError(f"there is no catalogue {recipes}: name the recipes.parquet that planner/recipes published")
    with language_model.without_progress_bars():
        options = tiny.TinyOptions(steps=wanted.tiny_steps)
        return tiny.build_tiny(learned_recipes(Catalogue.read(recipes)), output, options, progress=program.say)


def describe(folder: Path) -> dict[str, Any]:
    """What base.json says of a base folder."""
    return json.loads((folder / BASE).read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import program

    parser = argparse.ArgumentParser(prog="python -m platform_assets.planner.base_model")
    parser.add_argument("--model_base", default=TINY, help="tiny, a local folder, or a hub id")
    parser.add_argument(
        "--revision", default="", help="of a hub id: a commit, branch or tag; the newest commit when left out"
    )
    parser.add_argument("--dtype", default=DTYPES[0], choices=DTYPES, help="of the weights of a folder or hub id")
    parser.add_argument("--tiny_steps", type=int, default=Wanted.tiny_steps)
    parser.add_argument(
        "--recipes",
        type=Path,
        required=True,
        help="recipes.parquet of planner/recipes, or its week's folder in the lake",
    )
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)

    def work() -> Mapping[str, Any]:
        recipes = local_file(options.recipes, RECIPES)
        wanted = Wanted(options.model_base, options.revision, options.dtype, options.tiny_steps)
        return build(wanted, recipes, options.output)

    return program.run(work, (ModelError, PlanError))


if __name__ == "__main__":
    sys.exit(main())
