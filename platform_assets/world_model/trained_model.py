"""What a finished training tells: its numbers, whether it learned anything, and how its model is to be asked.

What does not belong here: the folder's form (`world_model.model_files`), training, registration.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_assets.core.quality import Outcome
from platform_assets.world_model.model_files import read_document
from platform_assets.world_model.training_options import TrainingOptions, resolved

METRICS, HISTORY = "metrics.json", "history.json"
# What decides an answer besides the weights.
_ASKED = ("max_length", "purchase_history", "with_trip", "precision")


def read_options(words: Sequence[str]) -> TrainingOptions:
    """The options that the training program would train with here, given a command line; `auto` is resolved.

    Raises ValueError naming an option that is wrong.
    """
    from platform_assets.training import options

    parser = argparse.ArgumentParser(prog="world_model/model", exit_on_error=False, add_help=False)
    options.add_arguments(parser, TrainingOptions)
    try:
        parsed, unknown = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    if unknown:
        raise ValueError(f"{' '.join(unknown)} is no option of python -m platform_assets.world_model.training")
    return resolved(options.read(TrainingOptions, parsed))


def read_metrics(folder: Path) -> dict[str, Any]:
    """What metrics.json says: baskets, losses, the epoch that was kept."""
    return json.loads((folder / METRICS).read_text(encoding="utf-8"))


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among them."""
    return {
        name: value for name, value in metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def judge_loss(metrics: Mapping[str, Any]) -> Outcome:
    """Whether the kept epoch is better than the untrained mixture: a model that learned nothing must not replace anything."""
    tuned, untuned = metrics.get("val_loss"), metrics.get("val_loss_untuned")
    if tuned is None or untuned is None:
        reason = "the validation weeks have no basket: nothing tells whether the model learned"
        return Outcome("loss_fell", False, reason, warning=True)
    return Outcome("loss_fell", tuned < untuned, f"validation loss {tuned:.4f}, of the untrained network {untuned:.4f}")


def serving_defaults(folder: Path) -> dict[str, Any]:
    """How the policy version answers; replay and serving read the same from network.json."""
    document = read_document(folder)
    prediction = {name: document["options"][name] for name in _ASKED}
    return {"policy": "world_model", "prediction": {**prediction, "tensor_cache": document["cache_fingerprint"]}}
