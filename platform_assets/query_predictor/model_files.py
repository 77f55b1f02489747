"""The files of a trained query predictor, and the document that says what they are of.

What does not belong here: how the files come about (`training_output`), how they answer (`router`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from platform_assets.core.document import read_versioned

CONFIG = "config.json"
BOOSTER = "model.ubj"
EVALUATION = "evaluation.json"
VERSION = 1
# Of config.json, and of a version's defaults: how an answer is computed.
PREDICTION = ("threshold", "columns", "trees", "week", "fingerprint")


class ModelError(ValueError):
    """A folder that holds no whole query predictor; the message names the remedy."""


class OtherRelease(ModelError):
    """A folder that another release wrote in a form of its own."""


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says; raises ModelError, and of its kind OtherRelease."""
    return read_versioned(
        Path(folder) / CONFIG, VERSION, noun="query predictor", program="platform_assets.query_predictor.training",
        error=ModelError, of_another_release=OtherRelease,
    )  # fmt: skip
