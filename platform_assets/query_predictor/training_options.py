"""The options of the query predictor's training: their names, meanings and defaults, and the fingerprint of what they make.

An asset and a command line read them from here, so that importing this module is light. The asset takes the fingerprint before
the program runs, to find what a killed run left; the program takes it again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platform_assets.core import document, transform
from platform_assets.training.libraries import releases

PROGRAM = "platform_assets.query_predictor.training"
_HERE = Path(__file__).parent
# Every module of the program that decides a number or a file of the model; a test compares them with what is imported.
_SOURCES = (
    "training.py", "training_inputs.py", "training_options.py", "training_output.py", "split_features.py", "features.py",
    "classifier.py", "cross_validation.py", "folds.py", "threshold.py", "ranking_metrics.py", "evaluation.py",
    "query_baselines.py", "requirements.py", "routing.py", "zero_cost.py", "onnx_model.py", "model_files.py", "model_plots.py",
    "features_document.py",
)  # fmt: skip
LIBRARIES = ("xgboost-cpu", "numpy", "onnxmltools", "skl2onnx", "onnxruntime")
"""Those whose next version may compute other numbers."""
SOURCES = (*(_HERE / name for name in _SOURCES), Path(document.__file__))
CODE_VERSION = transform.code_version(*SOURCES)
# What decides where and how a training runs, but not what comes of it; the inputs enter the fingerprint by their digests.
# XGBoost grows the same trees on any number of threads (hist, on a processor); a test holds it to that.
NOT_OF_THE_RESULT = frozenset({"features", "zero_cost", "output", "work", "threads", "memory_gb"})
_AT_LEAST_ONE = ("n_estimators", "max_depth")
_AT_LEAST_NOTHING = ("early_stopping_rounds", "seed", "threads", "regularisation")
_ABOVE_NOTHING = ("learning_rate", "cost_fn", "cost_fp", "memory_gb")
_SHARES = ("subsample", "column_share")


@dataclass(frozen=True)
class TrainingOptions:
    """Every option of the program."""

    features: Path
    """A week's features: their folder, or query_predictor/features/<week> of a lake."""
    zero_cost: Path
    """zero_cost_categories.json of the same week, or the folder that holds it."""
    output: Path
    """Where the model folder is written; it is there whole or not at all."""
    n_estimators: int = 100
    """Most trees; early stopping may keep fewer."""
    learning_rate: float = 0.1
    """How much of itself each tree adds."""
    max_depth: int = 6
    """Splits from a tree's root to a leaf, at most."""
    min_child_weight: float = 1.0
    """Least sum of second derivatives in a leaf."""
    subsample: float = 1.0
    """Share of the rows that each tree sees."""
    column_share: float = 0.8
    """Share of the features that each tree sees."""
    regularisation: float = 1.0
    """L2 penalty on what leaves say."""
    early_stopping_rounds: int = 20
    """Trees without a lower loss on the validation days after which training stops; 0 never stops. The best number is kept
    either way when it stops."""
    weight_loss: bool = False
    """Weigh train rows by 1 / inclusion probability in the loss too."""
    cv_folds: int = 5
    """Folds grouped by template, a time fold beside them; 0: no cross-validation."""
    cost_fn: float = 100.0
    """Cost of a heavy query that is routed as a light one."""
    cost_fp: float = 1.0
    """Cost of a light query that is routed as a heavy one."""
    seed: int = 0
    """Of the rows and features that trees see, and of the folds."""
    plots: bool = True
    """Draw the pictures."""
    threads: int = 0
    """Threads to grow trees with; 0 takes the cores that are free now. The trees are the same."""
    memory_gb: float = 4.0
    """Most memory (GiB) that binned features may take; more is refused before anything is read."""
    work: Path | None = None
    """Folder that keeps a second program from the same training; when left out, beside the output, with .work behind its name."""

    def __post_init__(self) -> None:
        """Raises ValueError naming the option that cannot be."""
        for names, is_right, wanted in (
            (_AT_LEAST_ONE, lambda value: value >= 1, "1 or more"),
            (_AT_LEAST_NOTHING, lambda value: value >= 0, "0 or more"),
            (_ABOVE_NOTHING, lambda value: value > 0, "above 0"),
            (_SHARES, lambda value: 0 < value <= 1, "above 0, and 1 at most"),
        ):
            for name in names:
                if not is_right(getattr(self, name)):
                    raise ValueError(f"--{name} must be {wanted}, not {getattr(self, name)}")
        if self.cv_folds == 1 or self.cv_folds < 0:
            raise ValueError(f"--cv_folds must be 2 or more, or 0 for none, not {self.cv_folds}")


def chosen(options: TrainingOptions) -> dict[str, Any]:
    """What of the options decides the result."""
    return {name: value for name, value in asdict(options).items() if name not in NOT_OF_THE_RESULT}


def fingerprint(options: TrainingOptions, features_digest: str, zero_cost_digest: str) -> str:
    """Everything that decides what the model is: equal fingerprints are equal models.

    The digests are of the features' files as the lake publishes them, and sha256 of zero_cost_categories.json.
    """
    content = {
        "options": chosen(options), "features": features_digest, "zero_cost": zero_cost_digest,
        "code_version": CODE_VERSION, "libraries": releases(LIBRARIES),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
