"""The planner's trained model as MLflow and the policy registry know it: its names, how it is packed, what needs no model.

What registering means is the same for every pipeline (`core.registered_model`); what a version is worth is judged a week later
(`planner.weekly_verdict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_assets.core import packed_model
from platform_assets.core.registered_model import RegisteredModel

MODEL_NAME = "planner_model"
POLICY = "planner_policy"
LIBRARIES = (
    "llguidance", "mlflow", "numpy", "pandas", "peft", "pyarrow", "safetensors", "scipy", "torch", "transformers",
)  # fmt: skip


def pack(folder: Path, target: Path) -> None:
    """Write a model folder as a pyfunc that plans (`planner.served_model`)."""
    packed_model.pack(folder, target, Path(__file__).parent / "served_model.py", LIBRARIES)


def version_zero() -> Mapping[str, Any]:
    """The heuristic planner."""
    from platform_assets.planner.baselines import HeuristicPlanner

    return HeuristicPlanner().document()


MODEL = RegisteredModel(
    model_name=MODEL_NAME,
    policy=POLICY,
    description="the meal planner",
    experiment="planner_training",
    task="weekly plan generation",
    version_zero=version_zero,
    pack=pack,
)
