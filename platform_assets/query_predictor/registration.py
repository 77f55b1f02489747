"""Which registered model and which policy a trained query predictor becomes. How that is done is `core.registered_model`'s."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platform_assets.core import packed_model
from platform_assets.core.registered_model import RegisteredModel

MODEL_NAME, POLICY = "query_predictor_model", "query_router_policy"
LIBRARIES = ("mlflow", "msgspec", "numpy", "onnxruntime", "pandas", "pyarrow", "sqlglot", "sqlglotc")
_SERVED = Path(__file__).parent / "served_model.py"


def version_zero() -> Mapping[str, Any]:
    """The rule that routes without a model."""
    from platform_assets.query_predictor.query_baselines import RULE_JOINS, RULE_LENGTH

    return {"policy": "rule", "routes_heavy": {"characters_above": RULE_LENGTH, "joins_above": RULE_JOINS}}


def pack(folder: Path, target: Path) -> None:
    """Write a model folder as a pyfunc."""
    packed_model.pack(folder, target, _SERVED, LIBRARIES)


MODEL = RegisteredModel(
    model_name=MODEL_NAME,
    policy=POLICY,
    description="which queries a Trino router sends to the cluster for heavy ones",
    experiment="query_predictor_training",
    task="heavy query prediction",
    version_zero=version_zero,
    pack=pack,
)
