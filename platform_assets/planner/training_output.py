"""The model folder that a training leaves, whole or not at all: adapter, base, catalogue, rows, metrics and their picture.

Only what follows from the inputs is in it: a second training with the same fingerprint, device and threads writes the same
bytes. Seconds and rates are told to whoever called (`training.record.TrainingResult`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from platform_assets.core.document import write_json
from platform_assets.core.training_metrics import METRICS, UNTUNED
from platform_assets.planner import fine_tuning, training_rows
from platform_assets.planner.catalogue import RECIPES
from platform_assets.planner.model_documents import ADAPTER, BASE_FOLDER, PLANNER, BaseModel, Decoding
from platform_assets.planner.training_options import LIBRARIES, TrainingOptions
from platform_assets.planner.training_rows import Example, TrainingRows
from platform_assets.training.history import History
from platform_assets.training.output import whole_folder
from platform_assets.training.plots import loss_plot
from platform_assets.training.trainer import Fitted

LOSS = "loss.png"


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
        write_json(folder / PLANNER, planner)
        write_json(folder / METRICS, {**metrics, **history.document()})


def counts(rows: TrainingRows, train: fine_tuning.EncodedRows, validation: fine_tuning.EncodedRows) -> dict[str, Any]:
    """What became of the rows, by name."""
    return {
        "rows": rows.rows,
        "rows_train": len(train.lengths),
        "rows_validation": len(validation.lengths),
        **{f"dropped_{reason}": count for reason, count in sorted(rows.dropped.items())},
        "dropped_truncated": train.truncated + validation.truncated,
        "recipes_outside_candidates": rows.recipes_outside_candidates,
    }


def losses(fitted: Fitted) -> dict[str, Any]:
    """The losses of the epoch that was kept, and what they are compared with."""
    kept = fitted.history.epochs[fitted.best_epoch]
    return {
        "best_epoch": fitted.best_epoch,
        "train_loss": kept.train_loss,
        "val_loss": kept.val_loss,
        UNTUNED: fitted.history.untuned,
    }


def planner_document(options: TrainingOptions, base: BaseModel, fingerprint: str) -> dict[str, Any]:
    """planner.json: how the model is asked and decoded, and what it was made from."""
    form, decoding = options.form, Decoding(base.dtype, seed=options.seed, quantization=options.quantization)
    return {
        "format": asdict(form), "prompt_digest": form.digest, "base_digest": base.digest,
        "decoding": asdict(decoding), "fingerprint": fingerprint,
        "precision": options.precision, "libraries": {name: version(name) for name in LIBRARIES},
    }  # fmt: skip
