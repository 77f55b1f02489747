"""The model folder that a training leaves, whole or not at all: weights, what they are of, history, metrics, their picture.

Only what follows from the inputs is in it: a second training with the same fingerprint, device and threads writes the same
bytes. Seconds and rates are told to whoever called (`training.record.TrainingResult`).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from platform_assets.core.document import write_json
from platform_assets.core.training_metrics import METRICS, UNTUNED_OF_PART
from platform_assets.training.libraries import releases
from platform_assets.training.output import whole_folder
from platform_assets.training.plots import loss_plot
from platform_assets.training.quick_validation import PREFIX, QuickValidation
from platform_assets.training.trainer import Fitted
from platform_assets.world_model import network as networks
from platform_assets.world_model.network import WorldModelNetwork
from platform_assets.world_model.trained_model import HISTORY
from platform_assets.world_model.training_inputs import Inputs
from platform_assets.world_model.training_options import LIBRARIES, NOT_OF_THE_RESULT, OF_DROPOUT

LOSS = "loss.png"


def write(
    target: Path,
    inputs: Inputs,
    network: WorldModelNetwork,
    fitted: Fitted,
    quick: QuickValidation,
    metrics: dict[str, Any],
) -> None:
    """Write all files of a model folder."""
    history = fitted.history
    looks = [(step, numbers[f"{PREFIX}val_loss"]) for step, numbers in quick.measured]
    with whole_folder(target) as folder:
        networks.save(network, folder, document(inputs))
        write_json(
            folder / HISTORY, {"steps_by": history.every, **history.document(), "quick_validation": quick.document()}
        )
        write_json(folder / METRICS, metrics)
        picture = loss_plot(history.steps, history.epochs, "training of the world model", history.every, looks)
        (folder / LOSS).write_bytes(picture)


def metrics_of(inputs: Inputs, fitted: Fitted) -> dict[str, Any]:
    """Sizes, and the numbers of the epoch that was kept beside what they are compared with."""
    kept = fitted.history.epochs[fitted.best_epoch]
    batches = -(-len(inputs.full_validation) // inputs.options.batch_size)
    return {
        **{f"baskets_{split}": size for split, size in inputs.sizes().items()},
        "full_validation_baskets": len(inputs.full_validation),
        "quick_validation_batches": min(inputs.options.quick_validation_batches, batches),
        "epochs": len(fitted.history.epochs),
        "best_epoch": fitted.best_epoch,
        "train_loss": kept.train_loss,
        "val_loss": kept.val_loss,
        UNTUNED_OF_PART: fitted.history.untuned,
        **kept.measured,
    }


def document(inputs: Inputs) -> dict[str, Any]:
    """network.json, beside what loading needs: what the model was made from, and how."""
    options, apart = inputs.options, NOT_OF_THE_RESULT | OF_DROPOUT
    chosen = {name: value for name, value in asdict(options).items() if name not in apart}
    return {
        "cache_fingerprint": inputs.cache.fingerprint, "tokens": inputs.cache.tokens, "fingerprint": inputs.fingerprint,
        "weeks": [inputs.cache.weeks[0], inputs.cache.weeks[-1]],
        "options": {**chosen, "auxiliary": options.auxiliary_weights}, "libraries": releases(LIBRARIES),
    }  # fmt: skip
