"""What a finished training of the world model tells: with which options it is trained, whether it learned, how it is asked.

What does not belong here: the folder's form (`world_model.model_files`), training, registration; what every training tells
(`core.training_metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_assets.core import training_metrics
from platform_assets.core.quality import Outcome
from platform_assets.training import devices, options
from platform_assets.world_model.model_files import read_document
from platform_assets.world_model.training_options import PROGRAM, TrainingOptions

HISTORY = "history.json"
_NOT_MEASURED = "the validation weeks have no basket with a product that train weeks have"
# What decides an answer besides the weights.
_ASKED = ("max_length", "purchase_history", "with_trip", "precision")


def read_options(words: Sequence[str]) -> TrainingOptions:
    """The options that the training program would train with here, given a command line; `auto` is resolved.

    Raises ValueError naming an option that is wrong.
    """
    return devices.resolved(options.read_words(TrainingOptions, words, PROGRAM))


def judge_loss(metrics: Mapping[str, Any]) -> Outcome:
    """Whether the kept epoch is better than the untrained mixture, on the baskets that both were asked about."""
    part = f"the quick validation's baskets (batches: {metrics['quick_validation_batches']})"
    return training_metrics.judge_loss(metrics, "the untrained network", _NOT_MEASURED, part)


def serving_defaults(folder: Path) -> dict[str, Any]:
    """How the policy version answers; replay and serving read the same from network.json."""
    document = read_document(folder)
    prediction = {name: document["options"][name] for name in _ASKED}
    return {"policy": "world_model", "prediction": {**prediction, "tensor_cache": document["cache_fingerprint"]}}
