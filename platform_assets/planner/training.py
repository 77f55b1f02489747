"""The planner's training program: weekly datasets, a base model and a catalogue in, a model folder out.

    python -m platform_assets.planner.training --dataset datasets/planner/2026-02-27 --dataset ... \\
        --model_base FOLDER --recipes recipes.parquet --output FOLDER --epochs 3 --lr 1e-4 --batch_size 16

Run again after a kill it goes on where its newest checkpoint stands, and writes the same model as without the kill. What does
not belong here: what is read (`planner.training_inputs`), rows (`planner.training_rows`), the loss and the adapter
(`planner.fine_tuning`), the trainer (`training`), the registry (`planner.registration`).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from platform_assets.planner.training_options import PROGRAM, TrainingOptions, advised
from platform_assets.training import devices

if TYPE_CHECKING:
    from platform_assets.planner.fine_tuning import EncodedRows, FineTuning
    from platform_assets.planner.training_inputs import Inputs
    from platform_assets.planner.training_rows import TrainingRows
    from platform_assets.training.data import TrainingData
    from platform_assets.training.history import EpochListener
    from platform_assets.training.record import TrainingResult
    from platform_assets.training.trainer import Fitted, Run

_LESS_MEMORY = (
    "lower it and raise accumulate by the same factor (the result stays the same), switch on gradient checkpointing, shorten "
    "max_length, or load the base in nf4"
)
_MORE_HOUSEHOLDS = "early stopping needs validation rows, and there are none: add datasets or switch it off"
_LESS_WEIGHTS = (
    "end what else holds memory there, name a smaller base model, or load it in less: --precision bf16-mixed, or on CUDA "
    "--quantization nf4"
)


def train(
    options: TrainingOptions, listeners: Sequence[EpochListener] = (), report: Callable[[str], None] | None = None
) -> TrainingResult:
    """Train and write the model folder; raises TrainingError, TrainingRowsError or ModelError.

    `listeners` hear of every epoch, on the first rank; with several ranks only that one writes.
    """
    with _opened(options) as inputs:
        return _train(inputs, listeners, report or (lambda text: None))


@contextmanager
def _opened(options: TrainingOptions) -> Iterator[Inputs]:
    """What is trained on, while no other program works in the folder."""
    from platform_assets.planner import training_inputs
    from platform_assets.planner.model_documents import PLANNER
    from platform_assets.training.settled import settle_threads
    from platform_assets.training.work_folder import WorkFolder

    with WorkFolder.begun(options, PLANNER) as work:
        inputs = training_inputs.read_inputs(devices.resolved(options), work)
        settle_threads(work, inputs.fingerprint, options.threads, inputs.options.devices)
        yield inputs


def _train(inputs: Inputs, listeners: Sequence[EpochListener], say: Callable[[str], None]) -> TrainingResult:
    from platform_assets.planner import training_output
    from platform_assets.planner.training_rows import read_examples
    from platform_assets.training import trainer

    options = inputs.options
    rows = read_examples(inputs.datasets, inputs.catalogue, options.form)
    module, sides = _prepare(inputs, rows)
    data = _data(inputs, *sides)
    metrics = training_output.counts(rows, *sides)
    say("rows: " + ", ".join(f"{name} {count}" for name, count in metrics.items()))
    remedies = trainer.Remedies(_LESS_MEMORY, _MORE_HOUSEHOLDS)
    fitted = trainer.fit(module, data, _run(options), inputs.work, say, listeners, remedies=remedies)
    metrics |= training_output.losses(fitted)
    if fitted.is_first_rank:
        _write(inputs, module, sides, fitted, metrics)
    return fitted.result(options.output, inputs.fingerprint, inputs.parameters(), metrics)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import threads

    threads.wait_without_spinning()
    from transformers.utils.logging import disable_progress_bar

    from platform_assets.planner import training_record
    from platform_assets.planner.model_documents import ModelError
    from platform_assets.planner.training_rows import TrainingRowsError
    from platform_assets.training import command

    disable_progress_bar()
    program = command.Command(
        PROGRAM, "Fine-tune the planner's model on weekly datasets.", TrainingOptions, _opened, training_record.subject,
        lambda inputs, record, say: _train(inputs, [record.on_epoch], say), (ModelError, TrainingRowsError), _advised,
    )  # fmt: skip
    return command.run(program, arguments)


def _advised(parsed: Namespace, given: Sequence[str]) -> Sequence[str]:
    """A command line with its base's advice where it leaves an option open."""
    from platform_assets.planner.training_inputs import base_name

    return advised(given, base_name(parsed.model_base))


def _prepare(inputs: Inputs, rows: TrainingRows) -> tuple[FineTuning, tuple[EncodedRows, EncodedRows]]:
    """The base with a fresh adapter, and the training and validation rows as its tokens."""
    from platform_assets.planner import fine_tuning
    from platform_assets.training.module import Optimisation

    options = inputs.options
    model, tokenizer = _load_base(inputs)
    sides = _encode(rows, tokenizer, options)
    steps = _data(inputs, *sides).steps_per_epoch * options.epochs
    plan = Optimisation(options.lr, steps, options.weight_decay, warmup_share=options.warmup)
    adapter = fine_tuning.Adapter(options.lora_r, options.lora_alpha, options.lora_dropout, options.lora_targets)
    network = fine_tuning.add_adapter(model, adapter, options.seed, options.gradient_checkpointing)
    return fine_tuning.FineTuning(network, plan, options.seed), sides


def _load_base(inputs: Inputs) -> tuple[Any, Any]:
    """The base's weights and its tokenizer."""
    from platform_assets.planner.language_model import load_base
    from platform_assets.training.memory import explained_memory

    options = inputs.options
    # Quantised weights are made where they stay; others are moved there by the trainer.
    device = devices.own_cuda_device() if options.quantization else "cpu"
    dtype = "bfloat16" if options.precision.startswith("bf16") else None
    with explained_memory(f"while the base model was loaded on {device}", _LESS_WEIGHTS):
        return load_base(inputs.base_folder, device, options.quantization or None, dtype)


def _encode(rows: TrainingRows, tokenizer: Any, options: TrainingOptions) -> tuple[EncodedRows, EncodedRows]:
    """The training and the validation rows as tokens; raises TrainingRowsError when no training row is short enough."""
    from platform_assets.planner import training_rows
    from platform_assets.planner.fine_tuning import EncodedRows

    train, validation = (
        EncodedRows(rows.of(split), tokenizer, options.max_length, options.seed)
        for split in (training_rows.TRAIN, training_rows.VALIDATION)
    )
    dropped = {**rows.dropped, training_rows.TRUNCATED: train.truncated}
    training_rows.require_training_rows(len(train.lengths), rows.rows, dropped)
    return train, validation


def _data(inputs: Inputs, train: EncodedRows, validation: EncodedRows) -> TrainingData:
    from platform_assets.training.data import TrainingData

    options = inputs.options
    return TrainingData(
        train, validation, batch_size=options.batch_size, accumulate=options.accumulate, seed=options.seed,
        fingerprint=inputs.fingerprint,
    )  # fmt: skip


def _run(options: TrainingOptions) -> Run:
    from platform_assets.training.trainer import Run

    return Run(
        options.epochs, options.precision, options.devices, options.accelerator, options.gradient_clip,
        options.early_stopping, options.checkpoint_every,
    )  # fmt: skip


def _write(
    inputs: Inputs, module: FineTuning, sides: Sequence[EncodedRows], fitted: Fitted, metrics: Mapping[str, Any]
) -> None:
    from platform_assets.planner import training_output

    options = inputs.options
    training_output.write(
        options.output, network=module.network, base=inputs.base, base_folder=inputs.base_folder,
        recipes=inputs.recipes, examples=[example for side in sides for example in side.examples],
        history=fitted.history, metrics=metrics,
        planner=training_output.planner_document(options, inputs.base, inputs.fingerprint),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
