"""The files of a trained world model: weights, and the document that says what they are of.

What does not belong here: what a network is (`world_model.network`), the rest of the folder (`world_model.training_output`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.core.document import read_versioned, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS, NETWORK = "weights.safetensors", "network.json"
VERSION = 1


class ModelError(ValueError):
    """A folder that holds no whole world model, or one for something else; the message names the remedy."""


def write(folder: Path, weights: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write both files; the same bytes for the same model on any machine."""
    from safetensors.torch import save

    # Its own way to write a file leaves it unreadable for everybody else.
    (folder / WEIGHTS).write_bytes(save({name: value.detach().cpu().contiguous() for name, value in weights.items()}))
    write_json(folder / NETWORK, {"version": VERSION, **document})


def read_document(folder: Path) -> dict[str, Any]:
    """What network.json says; raises ModelError."""
    return read_versioned(
        Path(folder) / NETWORK, VERSION, noun="world model", program="platform_assets.world_model.training",
        error=ModelError,
    )  # fmt: skip


def require_cache(folder: Path, document: Mapping[str, Any], fingerprint: str) -> None:
    """Raises ModelError for another cache than the model's: tokens and tables would mean something else."""
    if document["cache_fingerprint"] != fingerprint:
        raise ModelError(
            f"{folder} was trained on a tensor cache with fingerprint {document['cache_fingerprint'][:12]}, this one has "
            f"{fingerprint[:12]}: name that cache, or train a model on this one"
        )


def load_weights(folder: Path, network: nn.Module) -> None:
    """Fill a network; raises ModelError for a file that is missing, broken or of another network."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be loaded ({error}): copy the model again, or train it again") from None
