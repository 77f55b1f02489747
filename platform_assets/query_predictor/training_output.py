"""The model folder that a training leaves, whole or not at all: the trees, their ONNX, and all that serving needs beside.

Only what follows from the inputs is in it: a second training with the same fingerprint writes the same bytes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from platform_assets.core.document import write_json
from platform_assets.core.training_metrics import METRICS, UNTUNED
from platform_assets.query_predictor import (
    classifier,
    cross_validation,
    features_document,
    model_plots,
    onnx_model,
    query_baselines,
    ranking_metrics,
    requirements,
    zero_cost,
)
from platform_assets.query_predictor.classifier import Fitted
from platform_assets.query_predictor.cross_validation import Fold
from platform_assets.query_predictor.evaluation import Evaluation
from platform_assets.query_predictor.model_files import BOOSTER, CONFIG, EVALUATION, VERSION
from platform_assets.query_predictor.requirements import Judgement
from platform_assets.query_predictor.split_features import HISTORY, TERMS
from platform_assets.query_predictor.threshold import Threshold, cost_curve
from platform_assets.query_predictor.training_inputs import Inputs
from platform_assets.query_predictor.training_options import CODE_VERSION, LIBRARIES, chosen
from platform_assets.training.libraries import releases
from platform_assets.training.output import whole_folder

PICTURES = ("precision_recall", "calibration", "cost", "importance", "scores_by_template")
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Made:
    """All that a training found out."""

    fitted: Fitted
    onnx: bytes
    threshold: Threshold
    scores: dict[str, Scores]
    """By split, as ONNX gives them."""
    validation: onnx_model.Validation
    folds: list[Fold]
    evaluations: dict[str, Evaluation]
    judgement: Judgement


def write(target: Path, inputs: Inputs, made: Made, metrics: dict[str, Any]) -> None:
    """Write all files of a model folder."""
    with whole_folder(target) as folder:
        (folder / onnx_model.NAME).write_bytes(made.onnx)
        (folder / BOOSTER).write_bytes(made.fitted.booster.save_raw("ubj"))
        made.threshold.write(folder)
        (folder / zero_cost.NAME).write_text(inputs.zero_cost.to_json(), encoding="utf-8")
        shutil.copy(inputs.week.folder / TERMS, folder / TERMS)
        shutil.copytree(inputs.week.folder / HISTORY, folder / HISTORY)
        write_json(folder / METRICS, metrics)
        write_json(folder / EVALUATION, _evaluation(made))
        write_json(folder / requirements.NAME, made.judgement.document())
        write_json(folder / CONFIG, document(inputs, made))
        if inputs.options.plots:
            for name, picture in _pictures(inputs, made).items():
                (folder / f"{name}.png").write_bytes(picture)


def metrics_of(inputs: Inputs, made: Made) -> dict[str, Any]:
    """Sizes, losses beside what they are compared with, what each split says, and the requirements' outcomes."""
    kept, held = made.fitted.rounds[made.fitted.best_round], inputs.validation
    constant = np.full(len(held), made.fitted.natural_share)
    return {
        **{f"rows_{name}": size for name, size in inputs.sizes().items()},
        **{f"heavy_{name}": int(split.is_heavy.sum()) for name, split in inputs.week.splits.items()},
        "trees": made.fitted.best_round + 1,
        **kept,
        UNTUNED: ranking_metrics.log_loss(constant, held.is_heavy, held.weight),
        "threshold": made.threshold.value,
        "threshold_cost": made.threshold.cost,
        "zero_cost_share_of_heavy_upper_bound": inputs.zero_cost.safe_share_upper_bound,
        **cross_validation.metrics(made.folds),
        **made.validation.metrics(),
        **made.evaluations["validation"].metrics("validation"),
        **made.evaluations["test"].metrics("test"),
        "requirements": made.judgement.outcome,
        "requirement_checks": made.judgement.document()["checks"],
    }


def document(inputs: Inputs, made: Made) -> dict[str, Any]:
    """config.json: what the model was made from, and how."""
    return {
        "version": VERSION, "fingerprint": inputs.fingerprint, "week": inputs.week.week.isoformat(),
        "features_digest": inputs.features_digest, "zero_cost_digest": inputs.zero_cost_digest,
        "options": chosen(inputs.options), "code_version": CODE_VERSION, "libraries": releases(LIBRARIES),
        **features_document.columns(), "terms": inputs.train.terms, "columns": inputs.train.columns,
        "trees": made.fitted.best_round + 1, "natural_share": made.fitted.natural_share, "threshold": made.threshold.value,
    }  # fmt: skip


def _evaluation(made: Made) -> dict[str, Any]:
    return {
        "rounds": made.fitted.rounds,
        "cross_validation": [fold.document() for fold in made.folds],
        **{name: each.document() for name, each in made.evaluations.items()},
    }


def _pictures(inputs: Inputs, made: Made) -> dict[str, bytes]:
    """Of the rows that reach the model."""
    reach = {name: inputs.reaches(name) for name in ("validation", "test")}
    heavy = {name: inputs.week.splits[name].is_heavy[each] for name, each in reach.items()}
    scores = {name: made.scores[name][each] for name, each in reach.items()}
    test, options, threshold, week = inputs.test, inputs.options, made.threshold, inputs.week.week
    ranks = {name: rank(test)[reach["test"]] for name, rank in query_baselines.BASELINES.items()}
    curve = cost_curve(scores["validation"], heavy["validation"], options.cost_fn, options.cost_fp)
    gains = classifier.importance(made.fitted.booster, test.columns)
    drawn = (
        model_plots.precision_recall(
            {"model": scores["test"], **ranks}, heavy["test"], threshold, f"precision and recall on the test days of {week}"
        ),
        model_plots.calibration({name: (scores[name], heavy[name]) for name in reach}, f"calibration, week {week}"),
        model_plots.cost(curve, threshold, f"cost on the validation days of {week}"),
        model_plots.importance(gains, inputs.week.column_names, f"what the trees of {week} split by"),
        model_plots.scores_by_template(
            scores["test"], heavy["test"], test.seen_template[reach["test"]], threshold,
            f"scores of the test days of {week} by template",
        ),
    )  # fmt: skip
    return dict(zip(PICTURES, drawn, strict=True))
