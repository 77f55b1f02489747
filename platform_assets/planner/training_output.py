"""The model folder that a training leaves, whole or not at all: adapter, base, catalogue, rows, metrics and their picture.

Only what follows from the inputs is in it: a second training with the same fingerprint writes the same bytes. Seconds and
rates are told to whoever called (`planner.training.TrainingResult`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platform_assets.planner import fine_tuning, training_rows
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.model_documents import ADAPTER, BASE_FOLDER, PLANNER, BaseModel, Decoding
from platform_assets.planner.prompt import PromptFormat
from platform_assets.planner.training_rows import Example
from platform_assets.training.history import History
from platform_assets.training.output import whole_folder
from platform_assets.training.plots import loss_plot

METRICS, LOSS = "metrics.json", "loss.png"
_LIBRARIES = ("torch", "lightning", "transformers", "peft", "tokenizers")


def write(
    target: Path,
    *,
    network: Any,
    base: BaseModel,
    base_folder: Path,
    recipes: Path,
    examples: Iterable[Example],
    history: History,
    planner: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> None:
    """Write all files of a model folder."""
    with whole_folder(target) as folder:
        fine_tuning.save_adapter(network, folder / ADAPTER, base.model_base, base.revision)
        shutil.copytree(base_folder, folder / BASE_FOLDER)
        shutil.copyfile(recipes, folder / RECIPES)
        training_rows.write_rows(examples, folder / training_rows.ROWS_FILE)
        (folder / LOSS).write_bytes(loss_plot(history.steps, history.epochs, "training of the planner"))
        _write_json(folder / PLANNER, planner)
        _write_json(folder / METRICS, {**metrics, **history.document()})


def planner_document(form: PromptFormat, base: BaseModel, seed: int, fingerprint: str) -> dict[str, Any]:
    """planner.json: how the model is asked and decoded, and what it was made from."""
    return {
        "format": asdict(form), "prompt_digest": form.digest, "base_digest": base.digest, "decoding": asdict(Decoding(base.dtype, seed=seed)),
        "fingerprint": fingerprint, "libraries": {name: version(name) for name in _LIBRARIES},
    }  # fmt: skip


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
