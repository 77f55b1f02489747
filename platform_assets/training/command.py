"""A training program's command: its arguments, the record in MLflow, the model folder, what is told to whoever started it.

The same for every pipeline; a pipeline's `Command` says which options there are, what they open and how it is trained. What
does not belong here: how a program tells its result (`training.program`), the options themselves (each pipeline's).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from platform_assets.training import options, program, record
from platform_assets.training.errors import TrainingError
from platform_assets.training.record import Record, Subject, TrainingResult
from platform_assets.training.settled import leave_the_talking_to_the_first

Options = TypeVar("Options")
Inputs = TypeVar("Inputs")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Command(Generic[Options, Inputs]):
    """What of a pipeline a training program consists of."""

    module: str
    """As `python -m` is told."""
    description: str
    options: type[Options]
    """A dataclass as `training.options` reads it."""
    opened: Callable[[Options], AbstractContextManager[Inputs]]
    """What is trained on, while no other program works in the training's folder."""
    subject: Callable[[Inputs], Subject]
    train: Callable[[Inputs, Record, Say], TrainingResult]
    errors: tuple[type[Exception], ...] = ()
    """Whose messages are meant for people, beside those of every training."""
    advised: Callable[[argparse.Namespace, Sequence[str]], Sequence[str]] = lambda parsed, given: given
    """The command line with what suits its inputs put before it."""


def run(command: Command[Options, Inputs], arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    follows, parser = leave_the_talking_to_the_first(), _parser(command)
    given = sys.argv[1:] if arguments is None else arguments
    parsed = parser.parse_args(given)
    try:
        chosen = options.read(command.options, parser.parse_args(command.advised(parsed, given)))
    except (ValueError, *command.errors) as error:
        parser.error(str(error))
    errors = (TrainingError, *command.errors)
    return program.run(lambda: _work(command, chosen, parsed.mlflow_run, parsed.register, follows), errors)


def _work(
    command: Command[Options, Inputs], chosen: Options, run_id: str, register: bool, follows: bool
) -> Mapping[str, Any]:
    say = program.say if not follows else lambda text: None
    with (
        command.opened(chosen) as inputs,
        record.recording(command.subject(inputs), run_id, register, follows) as kept,
    ):
        result = command.train(inputs, kept, say)
        if not follows:
            program.say_by_hand(f"wrote {result.folder}")
        kept.finish(result)
        versions = kept.register(result.folder)
    if versions:
        say("registered: " + ", ".join(f"{name} {number}" for name, number in versions.items()))
    rates = {name: round(rate) for name, rate in result.rates.items()}
    told = {"folder": str(result.folder), "fingerprint": result.fingerprint, "metrics": result.metrics}
    return {**told, **rates, **versions}


def _parser(command: Command[Options, Inputs]) -> argparse.ArgumentParser:
    # Whoever decides which options may be given knows them by their whole names.
    parser = argparse.ArgumentParser(
        prog=f"python -m {command.module}", description=command.description, allow_abbrev=False
    )
    options.add_arguments(parser, command.options)
    parser.add_argument("--mlflow_run", default="", help="an open MLflow run to log to; whoever opened it ends it")
    parser.add_argument("--register", action="store_true", help="log to a run of its own, and register the model")
    return parser
