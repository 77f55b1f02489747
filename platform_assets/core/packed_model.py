"""A model folder packed as an MLflow pyfunc that brings this package along, and where the folder lies in it.

Models-from-code: a file of the pipeline says how the folder predicts, nothing is pickled. What does not belong here: what the
folder holds, and which version it becomes (`core.registered_model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def pack(folder: Path, target: Path, served_by: Path, libraries: Sequence[str]) -> None:
    """Write a model folder as a pyfunc of `served_by`, so that `mlflow models serve` needs only libraries."""
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(
        str(target),
        python_model=str(served_by),
        artifacts={"model": str(folder)},
        code_paths=[str(_PACKAGE)],
        pip_requirements=requirements(libraries),
    )


def requirements(libraries: Sequence[str]) -> list[str]:
    """What serving needs, at the versions of this environment."""
    return [f"{name}=={version(name).split('+')[0]}" for name in libraries]


def model_folder(downloaded: Path) -> Path:
    """Where the model folder lies within a packed model."""
    return downloaded / "artifacts" / "model"
