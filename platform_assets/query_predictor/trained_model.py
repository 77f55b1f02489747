"""What a finished training of the query predictor tells: with which options it is trained, what it is worth, how it is asked.

What does not belong here: the folder's form (`model_files`), training, registration; what every training tells
(`core.training_metrics`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from platform_assets.core import training_metrics
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import requirements
from platform_assets.query_predictor.model_files import PREDICTION, read_config
from platform_assets.query_predictor.requirements import Check, Judgement
from platform_assets.query_predictor.training_options import PROGRAM, TrainingOptions
from platform_assets.training import options

_NOT_MEASURED = "no validation row was measured"


def read_options(words: Sequence[str]) -> TrainingOptions:
    """The options that the training program would train with, given a command line. Raises ValueError naming a wrong option."""
    return options.read_words(TrainingOptions, words, PROGRAM)


def judge_loss(metrics: Mapping[str, Any]) -> Outcome:
    """Whether the trees say more of validation queries than the share of heavy ones alone."""
    return training_metrics.judge_loss(metrics, "the share of heavy queries alone", _NOT_MEASURED)


def judge_onnx(metrics: Mapping[str, Any]) -> Outcome:
    """Whether what serves routes every query as what was trained; that it is within 1e-5, a finished training has found."""
    everywhere, splits, near = (
        {name: metrics[f"onnx_{part}{name}"] for name in ("rows", "largest_difference", "label_flips")}
        for part in ("", "next_to_splits_", "next_to_threshold_")
    )
    reason = (
        f"{everywhere['rows']:,} rows: up to {everywhere['largest_difference']:.2g} apart, {everywhere['label_flips']} routed "
        f"otherwise; {splits['rows']:,} made to lie next to splits: up to {splits['largest_difference']:.2g}, "
        f"{splits['label_flips']} routed otherwise; {near['rows']:,} of all within 1e-5 of the threshold, {near['label_flips']} "
        "routed otherwise"
    )
    return Outcome("onnx_agrees", not everywhere["label_flips"], reason, everywhere)


def judge_requirements(metrics: Mapping[str, Any]) -> list[Outcome]:
    """What the test days said against each requirement, with its status; of a model that was only just trained they decide nothing."""
    found = [Check(**check) for check in metrics["requirement_checks"]]
    return [replace(check.outcome(), reason=f"{check.status}: {check.reason}") for check in found]


def read_judgement(folder: Path) -> Judgement:
    """What the test days said against the requirements."""
    content = json.loads((folder / requirements.NAME).read_text(encoding="utf-8"))
    checks = tuple(Check(**check) for check in content["checks"])
    return Judgement(content["outcome"], tuple(content["reasons"]), checks)


def serving_defaults(folder: Path) -> dict[str, Any]:
    """How the policy version answers; serving reads the same from the model folder."""
    config = read_config(folder)
    asked = {name: config[name] for name in PREDICTION}
    return {"policy": "model", "prediction": asked}
