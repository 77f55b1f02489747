"""What a finished training tells: its numbers, whether it learned anything, and how its model is to be served.

What does not belong here: the folder's form (`planner.model_documents`), training, registration.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from platform_assets.core.quality import Outcome
from platform_assets.planner.model_documents import read_planner
from platform_assets.planner.training_options import TrainingOptions, advised, resolved

METRICS = "metrics.json"


def read_options(words: Sequence[str], model_base: str) -> TrainingOptions:
    """The options that the training program would train with here, given a command line and the name of its base.

    The base's advice is taken, `auto` is resolved.

    Raises ValueError naming an option that is wrong.
    """
    from platform_assets.training import options

    parser = argparse.ArgumentParser(prog="planner/model", exit_on_error=False, add_help=False)
    options.add_arguments(parser, TrainingOptions)
    try:
        parsed, unknown = parser.parse_known_args(advised(words, model_base))
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from None
    if unknown:
        raise ValueError(f"{' '.join(unknown)} is no option of python -m platform_assets.planner.training")
    return resolved(options.read(TrainingOptions, parsed))


def read_metrics(folder: Path) -> dict[str, Any]:
    """What metrics.json says: rows, losses, the epoch that was kept."""
    return json.loads((folder / METRICS).read_text(encoding="utf-8"))


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among them."""
    return {
        name: value for name, value in metrics.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def judge_loss(metrics: Mapping[str, Any]) -> Outcome:
    """Whether the kept epoch is better than no training: a model that learned nothing must not replace anything."""
    tuned, untuned = metrics.get("val_loss"), metrics.get("val_loss_untuned")
    if tuned is None or untuned is None:
        reason = "no household of the datasets is in the validation split: nothing tells whether the model learned"
        return Outcome("loss_fell", False, reason, warning=True)
    return Outcome("loss_fell", tuned < untuned, f"validation loss {tuned:.4f}, of the untuned base {untuned:.4f}")


def serving_defaults(folder: Path) -> dict[str, Any]:
    """How the policy version decodes; replay and serving read the same from planner.json."""
    document = read_planner(folder)
    return {"policy": "language_model", "decoding": asdict(document.decoding), "prompt": asdict(document.form)}
