"""The world model's training program: a tensor cache in, a model folder out.

    python -m platform_assets.world_model.training --batch_size 64 --epochs 10 --learning_rate 1e-4

It takes the working folder's tensor cache and writes `world_model` there, unless --tensor_cache and --output say otherwise. Run
again after a kill it goes on where its newest checkpoint stands, and writes the same model as without the kill. What does not
belong here: what is read (`world_model.training_inputs`), batches (`world_model.basket_batches`), the network and its loss
(`world_model.network`, `world_model.objective`), the trainer (`training`), the registry (`world_model.registration`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_assets.training import devices
from platform_assets.world_model.training_options import PROGRAM, TrainingOptions

if TYPE_CHECKING:
    from platform_assets.training.history import EpochListener
    from platform_assets.training.quick_validation import QuickListener
    from platform_assets.training.record import TrainingResult
    from platform_assets.training.trainer import Run
    from platform_assets.world_model.basket_batches import BasketBatches
    from platform_assets.world_model.fitting import HiddenProducts
    from platform_assets.world_model.training_inputs import Inputs

_LESS_MEMORY = "lower it, or lower width, layers, max_length or purchase_history"


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
    from platform_assets.training.settled import settle_threads
    from platform_assets.training.work_folder import WorkFolder
    from platform_assets.world_model import training_inputs
    from platform_assets.world_model.model_files import NETWORK

    training_inputs.require_cache(options)
    with WorkFolder.begun(options, NETWORK) as work:
        inputs = training_inputs.read_inputs(devices.resolved(options), work)
        settle_threads(work, inputs.fingerprint, options.threads, inputs.options.devices)
        yield inputs


def _train(inputs: Inputs, listeners: Listeners, say: Callable[[str], None]) -> TrainingResult:
    from platform_assets.training import trainer
    from platform_assets.training.quick_validation import QuickValidation
    from platform_assets.world_model import training_output

    options = inputs.options
    say("baskets: " + ", ".join(f"{name} {count:,}" for name, count in inputs.sizes().items()))
    if len(inputs.full_validation) < len(inputs.validation):
        say(
            f"after every epoch {len(inputs.full_validation):,} of the validation baskets are looked at, always the same"
        )
    data = _data(inputs)
    module = _module(inputs, data)
    every = options.quick_validation_every if data.has_validation else 0
    quick = QuickValidation(every, data.quick_batches, say, listeners.looks)
    remedies = trainer.Remedies(_LESS_MEMORY)
    fitted = trainer.fit(module, data, _run(options), inputs.work, say, listeners.epochs, [quick], remedies)
    metrics = training_output.metrics_of(inputs, fitted)
    if fitted.is_first_rank:
        training_output.write(options.output, inputs, module.network, fitted, quick, metrics)
    return fitted.result(options.output, inputs.fingerprint, inputs.parameters(), metrics)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import threads

    threads.wait_without_spinning()
    from platform_assets.training import command
    from platform_assets.world_model import training_record
    from platform_assets.world_model.tensor_cache import TensorCacheError

    program = command.Command(
        PROGRAM, "Train the retail world model on a tensor cache.", TrainingOptions, _opened, training_record.subject,
        lambda inputs, record, say: _train(inputs, Listeners([record.on_epoch], [record.on_quick_validation]), say),
        (TensorCacheError,),
    )  # fmt: skip
    return command.run(program, arguments)


def _data(inputs: Inputs) -> BasketBatches:
    from platform_assets.world_model.basket_batches import BasketBatches

    options = inputs.options
    return BasketBatches(
        inputs.train, inputs.full_validation, batch_size=options.batch_size, seed=options.seed, fingerprint=inputs.fingerprint,
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
