"""Which registered model and which policy a trained world model becomes. How that is done is `core.registered_model`'s."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_assets.core import packed_model
from platform_assets.core.registered_model import RegisteredModel

LIBRARIES = ("mlflow", "numpy", "pandas", "pyarrow", "safetensors", "torch")
_SERVED = Path(__file__).parent / "served_model.py"


def version_zero() -> Mapping[str, Any]:
    """The bar that every model has to beat: own frequency and item neighbours, their weights tuned on validation weeks."""
    return {"policy": "own_frequency_and_item_neighbours", "tuned_on": "validation"}


def pack(folder: Path, target: Path) -> None:
    """Write a model folder as a pyfunc."""
    packed_model.pack(folder, target, _SERVED, LIBRARIES)


MODEL = RegisteredModel(
    model_name="world_model",
    policy="world_model_policy",
    description="which products a basket holds, for the retail simulator",
    experiment="world_model_training",
    task="masked product prediction",
    version_zero=version_zero,
    pack=pack,
    # Also once a model is active: one of other weeks speaks of other vectors, and cannot be ranked on this split's cache.
    bar=0,
)
