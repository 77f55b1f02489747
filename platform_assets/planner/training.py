"""The planner's training program: weekly datasets, a base model and a catalogue in, a model folder out.

    python -m platform_assets.planner.training --dataset datasets/planner/2026-02-27 --dataset ... \\
        --model_base FOLDER --recipes recipes.parquet --output FOLDER --epochs 3 --lr 1e-4 --batch_size 16

Run again after a kill it goes on where its newest checkpoint stands, and writes the same model as without the kill. What does
not belong here: rows (`planner.training_rows`), the loss and the adapter (`planner.fine_tuning`), the trainer (`training`),
the registry (`planner.registration`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.planner.training_options import TrainingOptions, fingerprint

if TYPE_CHECKING:
    from platform_assets.planner.catalogue import Catalogue
    from platform_assets.planner.fine_tuning import EncodedRows, FineTuning
    from platform_assets.planner.model_documents import BaseModel
    from platform_assets.planner.training_rows import Dataset, TrainingRows
    from platform_assets.training.checkpoints import WorkFolder
    from platform_assets.training.data import TrainingData
    from platform_assets.training.history import EpochListener
    from platform_assets.training.trainer import Fitted, Run

__all__ = ["TrainingOptions", "TrainingResult", "fingerprint", "main", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """What a training made; `epochs` are the metrics of each, `tokens_per_second` is of this process's own steps."""

    folder: Path
    fingerprint: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    epochs: tuple[Mapping[str, float], ...]
    tokens_per_second: float
    is_first_rank: bool


@dataclass(frozen=True)
class _Inputs:
    """What the options point to, pinned by digests."""

    options: TrainingOptions
    datasets: tuple[Dataset, ...]
    catalogue: Catalogue
    base_folder: Path
    base: BaseModel
    work: WorkFolder
    fingerprint: str


def train(
    options: TrainingOptions, listeners: Sequence[EpochListener] = (), report: Callable[[str], None] | None = None
) -> TrainingResult:
    """Train and write the model folder; raises TrainingError, TrainingRowsError or ModelError.

    `listeners` hear of every epoch, on the first rank; with several ranks only that one writes.
    """
    from platform_assets.planner import training_output
    from platform_assets.planner.model_documents import PLANNER
    from platform_assets.planner.training_rows import read_examples
    from platform_assets.training import trainer
    from platform_assets.training.output import require_replaceable

    say = report or (lambda text: None)
    require_replaceable(options.output, PLANNER)
    inputs = _read_inputs(options)
    _settle_threads(inputs)
    rows = read_examples(inputs.datasets, inputs.catalogue, options.form)
    run = _run(options)
    module, sides = _prepare(inputs, rows, run)
    data = _data(inputs, *sides)
    metrics = _counts(rows, *sides)
    say("rows: " + ", ".join(f"{name} {count}" for name, count in metrics.items()))
    fitted = trainer.fit(module, data, run, inputs.work, say, listeners)
    metrics |= _losses(fitted)
    if fitted.is_first_rank:
        training_output.write(
            options.output, network=module.network, base=inputs.base, base_folder=inputs.base_folder,
            recipes=options.recipes, examples=[example for side in sides for example in side.examples],
            history=fitted.history, metrics=metrics,
            planner=training_output.planner_document(options.form, inputs.base, options.seed, inputs.fingerprint),
        )  # fmt: skip
        say(f"wrote {options.output}")
    return TrainingResult(
        options.output, inputs.fingerprint, _parameters(inputs), metrics,
        tuple(epoch.metrics for epoch in fitted.history.epochs), fitted.tokens_per_second, fitted.is_first_rank,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import threads

    threads.wait_without_spinning()
    from transformers.utils.logging import disable_progress_bar

    from platform_assets.planner import training_record
    from platform_assets.planner.model_documents import ModelError
    from platform_assets.planner.training_rows import TrainingRowsError
    from platform_assets.training import options, program
    from platform_assets.training.errors import TrainingError

    disable_progress_bar()
    follows = _leave_the_talking_to_the_first()
    parser = argparse.ArgumentParser(
        prog="python -m platform_assets.planner.training",
        description="Fine-tune the planner's model on weekly datasets.",
    )
    options.add_arguments(parser, TrainingOptions)
    parser.add_argument("--mlflow_run", default="", help="an open MLflow run to log to; whoever opened it ends it")
    parser.add_argument("--register", action="store_true", help="log to a run of its own, and register the model")
    parsed = parser.parse_args(arguments)
    try:
        chosen = options.read(TrainingOptions, parsed)
    except ValueError as error:
        parser.error(str(error))

    def work() -> Mapping[str, Any]:
        with training_record.recording(parsed.mlflow_run, parsed.register, follows) as record:
            result = train(chosen, [record.on_epoch], None if follows else program.say)
            record.finish(result)
            versions = training_record.register(record, result, chosen) if parsed.register else {}
        return {
            "folder": str(result.folder), "fingerprint": result.fingerprint, "metrics": result.metrics,
            "tokens_per_second": round(result.tokens_per_second), **versions,
        }  # fmt: skip

    return program.run(work, (TrainingError, TrainingRowsError, ModelError))


def _leave_the_talking_to_the_first() -> bool:
    """Whether this is another process than a distributed training's first; such a one does not answer Dagster."""
    from platform_assets.training.progress import is_follower

    if is_follower():
        for name in ("DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES"):
            os.environ.pop(name, None)
    return is_follower()


def _read_inputs(options: TrainingOptions) -> _Inputs:
    from platform_assets.core.digest import digest_table
    from platform_assets.planner.catalogue import Catalogue
    from platform_assets.planner.model_documents import read_base
    from platform_assets.planner.training_rows import read_dataset
    from platform_assets.training.checkpoints import WorkFolder

    # Not in the order of the command line: the same weeks are the same training.
    datasets = tuple(sorted(map(read_dataset, options.dataset), key=lambda each: each.digest))
    catalogue = Catalogue.read(options.recipes)
    work = WorkFolder(options.work or options.output.with_name(f"{options.output.name}.work"))
    base_folder = _base_folder(options, catalogue, work.path)
    base = read_base(base_folder)
    digests = [dataset.digest for dataset in datasets]
    key = fingerprint(options, digests, base.digest, digest_table([options.recipes]).digest)
    return _Inputs(options, datasets, catalogue, base_folder, base, work, key)


def _base_folder(options: TrainingOptions, catalogue: Catalogue, work: Path) -> Path:
    """The base folder that was named, or one made for this training, once."""
    from platform_assets.planner.model_documents import BASE
    from platform_assets.training.errors import TrainingError
    from platform_assets.training.output import whole_folder

    named = Path(options.model_base)
    if (named / BASE).is_file():
        return named
    from platform_assets.planner import base_model

    key = base_model.fingerprint(options.model_base, options.revision, options.tiny_steps, catalogue)
    made = work / f"base-{key[:16]}"
    if not (made / BASE).is_file():
        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise TrainingError(
                "several processes cannot build one base: run planner.base_model first, name its folder"
            )
        with whole_folder(made) as folder:
            base_model.build(options.model_base, options.revision, options.tiny_steps, options.recipes, folder)
    return made


def _settle_threads(inputs: _Inputs) -> None:
    from platform_assets.training.threads import use_threads

    # The last bits of a sum depend on the number of threads: a training goes on with as many as it began with.
    begun_with = inputs.work.claim(inputs.fingerprint, {"threads": use_threads(inputs.options.threads)})
    use_threads(begun_with["threads"])


def _prepare(inputs: _Inputs, rows: TrainingRows, run: Run) -> tuple[FineTuning, tuple[EncodedRows, EncodedRows]]:
    """The base with a fresh adapter, and the training and validation rows as its tokens."""
    from platform_assets.planner import fine_tuning
    from platform_assets.planner.language_model import load_base
    from platform_assets.training.module import Optimisation
    from platform_assets.training.trainer import precision_of

    options = inputs.options
    # Quantised weights are made where they stay; others are moved there by the trainer.
    device = "cuda" if options.quantization else "cpu"
    dtype = "bfloat16" if precision_of(run).startswith("bf16") else None
    model, tokenizer = load_base(inputs.base_folder, device, options.quantization or None, dtype)
    sides = _encode(rows, tokenizer, options)
    steps = _data(inputs, *sides).steps_per_epoch * options.epochs
    plan = Optimisation(options.lr, steps, options.weight_decay, warmup_share=options.warmup)
    adapter = fine_tuning.Adapter(options.lora_r, options.lora_alpha, options.lora_dropout, options.lora_targets)
    network = fine_tuning.add_adapter(model, adapter, options.seed, options.gradient_checkpointing)
    return fine_tuning.FineTuning(network, plan, options.seed), sides


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


def _data(inputs: _Inputs, train: EncodedRows, validation: EncodedRows) -> TrainingData:
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


def _counts(rows: TrainingRows, train: EncodedRows, validation: EncodedRows) -> dict[str, Any]:
    """What became of the rows, by name."""
    return {
        "rows": rows.rows,
        "rows_train": len(train.lengths),
        "rows_validation": len(validation.lengths),
        **{f"dropped_{reason}": count for reason, count in sorted(rows.dropped.items())},
        "dropped_truncated": train.truncated + validation.truncated,
        "recipes_outside_candidates": rows.recipes_outside_candidates,
    }


def _losses(fitted: Fitted) -> dict[str, Any]:
    """The losses of the epoch that was kept, and what they are compared with."""
    kept = fitted.history.epochs[fitted.best_epoch]
    return {
        "best_epoch": fitted.best_epoch,
        "train_loss": kept.train_loss,
        "val_loss": kept.val_loss,
        "val_loss_untuned": fitted.history.untuned,
    }


def _parameters(inputs: _Inputs) -> dict[str, Any]:
    """What the tracking server is told: the documented names, and every option."""
    options = inputs.options
    return {
        **{name: value for name, value in asdict(options).items() if name not in ("dataset", "output", "work", "lr")},
        "learning_rate": options.lr,
        "dataset_digests": ",".join(dataset.digest for dataset in inputs.datasets),
        "model_base": inputs.base.model_base,
        "base_digest": inputs.base.digest,
        "base_revision": inputs.base.revision,
        "fine_tuning_method": "qlora" if options.quantization else "lora",
    }


if __name__ == "__main__":
    sys.exit(main())
