"""The files of a trained query predictor, and the document that says what they are of.

What does not belong here: how the files come about (`training_output`), how they answer (`router`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"
BOOSTER = "model.ubj"
EVALUATION = "evaluation.json"
VERSION = 1


class ModelError(ValueError):
    """A folder that holds no whole query predictor; the message names the remedy."""


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """As people read it; what is no number in JSON is refused."""
    path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says; raises ModelError."""
    path = Path(folder) / CONFIG
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} has no {CONFIG}: it is no query predictor, or not a whole one; name a folder that "
            "platform_assets.query_predictor.training wrote"
        ) from None
    except ValueError as error:
        raise ModelError(f"{path} cannot be read ({error}): copy the model again, or train it again") from None
    if document.get("version") != VERSION:
        raise ModelError(
            f"{folder} has version {document.get('version')} of a query predictor, this code reads {VERSION}: train it again"
        )
    return document
