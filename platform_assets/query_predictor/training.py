"""The query predictor's training program: a week's features and zero-cost categories in, a model folder out.

    python -m platform_assets.query_predictor.training --features FOLDER --zero_cost FILE --output FOLDER

Trees are grown on the sampled train days and stopped by the validation days, on which the threshold is chosen too, and frozen; the
zero-cost categories were judged on both. The test days choose nothing, and judge all of it. Minutes at most: a killed training
begins anew, and writes the same model. What does not belong here: what is read (`training_inputs`), trees (`classifier`), what is
written (`training_output`), the registry (`registration`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from platform_assets.query_predictor.training_options import PROGRAM, TrainingOptions

if TYPE_CHECKING:
    from platform_assets.query_predictor.classifier import Fitted, Growth
    from platform_assets.query_predictor.onnx_model import OnnxModel, Validation
    from platform_assets.query_predictor.threshold import Threshold
    from platform_assets.query_predictor.training_inputs import Inputs
    from platform_assets.query_predictor.training_output import Made, Scores
    from platform_assets.training.record import TrainingResult

RoundListener = Callable[[int, dict[str, float]], None]
_PROBE = 4_000


def train(options: TrainingOptions, report: Callable[[str], None] | None = None) -> TrainingResult:
    """Train and write the model folder; raises TrainingError or FeaturesError."""
    with _opened(options) as inputs:
        return _train(inputs, lambda number, losses: None, report or (lambda text: None))


@contextmanager
def _opened(options: TrainingOptions) -> Iterator[Inputs]:
    """What is trained on, while no other program works in the folder."""
    from platform_assets.query_predictor import training_inputs
    from platform_assets.query_predictor.model_files import CONFIG
    from platform_assets.training.threads import free_cores
    from platform_assets.training.work_folder import WorkFolder

    with WorkFolder.begun(options, CONFIG) as work:
        yield training_inputs.read_inputs(replace(options, threads=options.threads or free_cores()), work)


def _train(inputs: Inputs, on_round: RoundListener, say: Callable[[str], None]) -> TrainingResult:
    from platform_assets.query_predictor import training_output
    from platform_assets.training.record import TrainingResult

    options = inputs.options
    say("rows: " + ", ".join(f"{name} {count:,}" for name, count in inputs.sizes().items()))
    made = _make(inputs, on_round, say)
    metrics = training_output.metrics_of(inputs, made)
    training_output.write(options.output, inputs, made, metrics)
    say(f"requirements: {made.judgement.outcome}; {made.judgement.reasons[0]}")
    return TrainingResult(options.output, inputs.fingerprint, inputs.parameters(), metrics, tuple(made.fitted.rounds))


def _make(inputs: Inputs, on_round: RoundListener, say: Callable[[str], None]) -> Made:
    from platform_assets.query_predictor import classifier, cross_validation, evaluation, onnx_model, threshold
    from platform_assets.query_predictor.training_output import Made

    options, growth = inputs.options, _growth(inputs.options)
    fitted = classifier.fit(
        inputs.train, inputs.train.all_rows, growth, inputs.validation, options.early_stopping_rounds, on_round
    )
    say(
        f"{fitted.best_round + 1} trees of {len(fitted.rounds)}, val_loss {fitted.rounds[fitted.best_round]['val_loss']:.5f}"
    )
    content = onnx_model.convert(fitted.booster, inputs.train.columns)
    model = onnx_model.OnnxModel(content)
    scores = {
        name: model.scores_in_parts(dense for _, dense in split.chunks()) for name, split in inputs.week.splits.items()
    }
    held, asked = inputs.validation, scores["validation"][inputs.reaches("validation")]
    frozen = threshold.choose(asked, held.is_heavy, options.cost_fn, options.cost_fp)
    validation = _validated(inputs, fitted, model, frozen, asked)
    folds = cross_validation.cross_validate(inputs.train, growth, fitted.best_round + 1, options.cv_folds, say)
    evaluations = {
        name: evaluation.evaluate(inputs.week.splits[name], scores[name], frozen, inputs.zero_cost, dropped)
        for name, dropped in (("validation", 0), ("test", inputs.dropped_test_heavy))
    }
    return Made(fitted, content, frozen, scores, validation, folds, evaluations, evaluations["test"].judge())


def _growth(options: TrainingOptions) -> Growth:
    from platform_assets.query_predictor.classifier import Growth

    return Growth(
        options.n_estimators, options.learning_rate, options.max_depth, options.min_child_weight, options.subsample,
        options.column_share, options.regularisation, options.weight_loss, options.seed, options.threads,
    )  # fmt: skip


def _validated(inputs: Inputs, fitted: Fitted, model: OnnxModel, frozen: Threshold, scores: Scores) -> Validation:
    """ONNX against the trees on every row; raises TrainingError where they differ. Flipped labels are judged, not raised."""
    from platform_assets.query_predictor import onnx_model
    from platform_assets.training.errors import TrainingError

    held = inputs.validation
    # Those nearest to the threshold first: they reach splits before others do, and lie next to both.
    nearest = np.argsort(np.abs(scores - np.float32(frozen.value)), kind="stable")[:_PROBE]
    chunks = (dense for split in inputs.week.splits.values() for _, dense in split.chunks())
    found = onnx_model.validate(fitted.booster, model, chunks, frozen.value, held.dense(nearest))
    if not found.is_close:
        raise TrainingError(
            f"the model as ONNX is not the trees: up to {found.all_rows.largest_difference:.2g} apart on "
            f"{found.all_rows.rows:,} rows, {found.next_to_splits.largest_difference:.2g} next to splits, and "
            f"{onnx_model.LARGEST_DIFFERENCE:g} is allowed: use the releases of xgboost, onnxmltools and onnxruntime that "
            "constraints.txt names"
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import threads

    threads.wait_without_spinning()
    from platform_assets.query_predictor import training_record
    from platform_assets.query_predictor.split_features import FeaturesError
    from platform_assets.training import command

    program = command.Command(
        PROGRAM, "Train the heavy-query predictor on a week's features.", TrainingOptions, _opened, training_record.subject,
        lambda inputs, record, say: _train(inputs, record.on_epoch, say), (FeaturesError,),
    )  # fmt: skip
    return command.run(program, arguments)


if __name__ == "__main__":
    sys.exit(main())
