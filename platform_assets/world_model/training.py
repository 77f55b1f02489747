"""The world model's training program: a tensor cache in, a model folder out.

    python -m platform_assets.world_model.training --tensor_cache FOLDER --output FOLDER --batch_size 64 --epochs 10 \\
        --learning_rate 1e-4

Run again after a kill it goes on where its newest checkpoint stands, and writes the same model as without the kill. What does
not belong here: what is read (`world_model.training_inputs`), batches (`world_model.basket_batches`), the network and its loss
(`world_model.network`, `world_model.objective`), the trainer (`training`), the registry (`world_model.registration`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.training import devices
from platform_assets.world_model.training_options import TrainingOptions, resolved

if TYPE_CHECKING:
    from platform_assets.training.history import EpochListener
    from platform_assets.training.quick_validation import QuickListener
    from platform_assets.training.trainer import Run
    from platform_assets.world_model.basket_batches import BasketBatches
    from platform_assets.world_model.fitting import HiddenProducts
    from platform_assets.world_model.training_inputs import Inputs

_LESS_MEMORY = "lower it, or lower width, layers, max_length or purchase_history"


@dataclass(frozen=True)
class TrainingResult:
    """What a training made; `epochs` are the metrics of each, `baskets_per_second` is of this process's own steps, if any."""

    folder: Path
    fingerprint: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    epochs: tuple[Mapping[str, float], ...]
    baskets_per_second: float | None
    is_first_rank: bool


@dataclass(frozen=True)
class Listeners:
    """Who hears of every epoch, and of every look at the validation baskets in between; on the first rank."""

    epochs: Sequence[EpochListener] = ()
    looks: Sequence[QuickListener] = ()


def train(
    options: TrainingOptions, listeners: Listeners | None = None, report: Callable[[str], None] | None = None
) -> TrainingResult:
    """Train and write the model folder; raises TrainingError or TensorCacheError. With several ranks the first one writes."""
    with _opened(options) as inputs:
        return _train(inputs, listeners or Listeners(), report or (lambda text: None))


@contextmanager
def _opened(options: TrainingOptions) -> Iterator[Inputs]:
    """What is trained on, while no other program works in the folder."""
    from platform_assets.training.output import require_replaceable
    from platform_assets.training.settled import settle_threads
    from platform_assets.world_model import training_inputs
    from platform_assets.world_model.model_files import NETWORK

    require_replaceable(options.output, NETWORK)
    work = training_inputs.work_folder(options)
    with nullcontext() if devices.is_follower() else work.held():
        inputs = training_inputs.read_inputs(resolved(options), work)
        settle_threads(work, inputs.fingerprint, options.threads, inputs.options.devices)
        yield inputs


def _train(inputs: Inputs, listeners: Listeners, say: Callable[[str], None]) -> TrainingResult:
    from platform_assets.training import trainer
    from platform_assets.training.quick_validation import QuickValidation
    from platform_assets.world_model import training_output

    options = inputs.options
    say("baskets: " + ", ".join(f"{name} {count:,}" for name, count in inputs.sizes().items()))
    data = _data(inputs)
    module = _module(inputs, data)
    every = options.quick_validation_every if data.has_validation else 0
    quick = QuickValidation(every, data.quick_batches, say, listeners.looks)
    fitted = trainer.fit(module, data, _run(options), inputs.work, say, listeners.epochs, [quick], _LESS_MEMORY)
    metrics = training_output.metrics_of(inputs, fitted)
    if fitted.is_first_rank:
        training_output.write(options.output, inputs, module.network, fitted, quick, metrics)
        say(f"wrote {options.output}")
    return TrainingResult(
        options.output, inputs.fingerprint, inputs.parameters(), metrics,
        tuple(epoch.metrics for epoch in fitted.history.epochs), fitted.per_second or None, fitted.is_first_rank,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import threads

    threads.wait_without_spinning()
    from platform_assets.training import program
    from platform_assets.training.errors import TrainingError
    from platform_assets.training.settled import leave_the_talking_to_the_first
    from platform_assets.world_model import training_record
    from platform_assets.world_model.tensor_cache import TensorCacheError

    follows = leave_the_talking_to_the_first()
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        chosen = _options(parsed)
    except ValueError as error:
        parser.error(str(error))

    def work() -> Mapping[str, Any]:
        say = program.say if not follows else lambda text: None
        with (
            _opened(chosen) as inputs,
            training_record.recording(inputs, parsed.mlflow_run, parsed.register, follows) as record,
        ):
            result = _train(inputs, Listeners([record.on_epoch], [record.on_quick_validation]), say)
            record.finish(result)
            versions = record.register(inputs, result.folder) if result.is_first_rank else {}
        if versions:
            program.say("registered: " + ", ".join(f"{name} {number}" for name, number in versions.items()))
        rate = {"baskets_per_second": round(result.baskets_per_second)} if result.baskets_per_second else {}
        told = {"folder": str(result.folder), "fingerprint": result.fingerprint, "metrics": result.metrics}
        return {**told, **rate, **versions}

    return program.run(work, (TrainingError, TensorCacheError))


def _parser() -> argparse.ArgumentParser:
    from platform_assets.training import options

    parser = argparse.ArgumentParser(
        prog="python -m platform_assets.world_model.training",
        description="Train the retail world model on a tensor cache.",
    )
    options.add_arguments(parser, TrainingOptions)
    parser.add_argument("--mlflow_run", default="", help="an open MLflow run to log to; whoever opened it ends it")
    parser.add_argument("--register", action="store_true", help="log to a run of its own, and register the model")
    return parser


def _options(parsed: argparse.Namespace) -> TrainingOptions:
    from platform_assets.training import options

    return options.read(TrainingOptions, parsed)


def _data(inputs: Inputs) -> BasketBatches:
    from platform_assets.world_model.basket_batches import BasketBatches

    options = inputs.options
    return BasketBatches(
        inputs.train, inputs.validation, batch_size=options.batch_size, seed=options.seed, fingerprint=inputs.fingerprint,
        weights=options.auxiliary_weights, purchase_history=0 if options.without_customer else options.purchase_history,
        quick=options.quick_validation_batches,
    )  # fmt: skip


def _module(inputs: Inputs, data: BasketBatches) -> HiddenProducts:
    from platform_assets.training.module import Optimisation
    from platform_assets.world_model.fitting import HiddenProducts, fresh_network
    from platform_assets.world_model.network import NetworkOptions

    options = inputs.options
    network = fresh_network(NetworkOptions(**options.network), inputs.cache, options.seed, options.compile)
    steps = data.steps_per_epoch * options.epochs
    plan = Optimisation(options.learning_rate, steps, options.weight_decay, warmup_share=options.warmup)
    return HiddenProducts(network, inputs.train.encoder_on, plan, options.seed)


def _run(options: TrainingOptions) -> Run:
    from platform_assets.training.trainer import Run

    return Run(
        options.epochs, options.precision, options.devices, options.accelerator, options.gradient_clip,
        options.patience, options.checkpoint_every,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
