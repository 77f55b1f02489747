"""What a finished training of the planner tells: with which options it is trained, whether it learned, how it is to be served.

What does not belong here: the folder's form (`planner.model_documents`), training, registration; what every training tells
(`core.training_metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platform_assets.core import training_metrics
from platform_assets.core.quality import Outcome
from platform_assets.planner.model_documents import read_planner
from platform_assets.planner.training_options import PROGRAM, TrainingOptions, advised
from platform_assets.training import devices, options

_NOT_MEASURED = "no household of the datasets is in the validation split"


def read_options(words: Sequence[str], model_base: str) -> TrainingOptions:
    """The options that the training program would train with here, given a command line and the name of its base.

    The base's advice is taken, `auto` is resolved.

    Raises ValueError naming an option that is wrong.
    """
    return devices.resolved(options.read_words(TrainingOptions, advised(words, model_base), PROGRAM))


def judge_loss(metrics: Mapping[str, Any]) -> Outcome:
    """Whether the kept epoch is better than the untuned base."""
    return training_metrics.judge_loss(metrics, "the untuned base", _NOT_MEASURED)


def serving_defaults(folder: Path) -> dict[str, Any]:
    """How the policy version decodes; replay and serving read the same from planner.json."""
    document = read_planner(folder)
    return {"policy": "language_model", "decoding": asdict(document.decoding), "prompt": asdict(document.form)}
