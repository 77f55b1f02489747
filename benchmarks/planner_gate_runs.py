"""Trainings and replays of `benchmarks.planner_gate`, each in a process of its own, as many at once as there are cores.

The programs and the replay are the planner's own. Every policy is replayed once; which ones are compared is decided
afterwards (`benchmarks.planner_gate_samples`). A policy without grammar and validator does not exist in the product: the
first is left out here by an option of the decoder, the second by judging what was proposed instead of what was served.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import in_own_process, run_command
from benchmarks.planner_gate_world import World, shuffled_between_rows, shuffled_recipes, with_targets
from platform_assets.planner.model_documents import BATCH_SIZE
from platform_assets.planner.replay import replay
from platform_assets.planner.replay_inputs import Side
from platform_assets.planner.replay_rows import select

if TYPE_CHECKING:
    from platform_assets.planner.policies import Policy

# The head has an adapter too: how popular each recipe is are 240 numbers, which a stream of width 128 cannot say without.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
TUNING = {"--lr": "3e-3", "--batch_size": "64", "--max_candidates": "0", "--lora_targets": ",".join(TARGETS)}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
UNHELD, HEURISTIC = "unheld", "heuristic"
FIRST, SECOND, DEALT, MIXED, FRESH = "first", "second", "dealt_plans", "mixed_ids", "fresh"
FREE = f"{UNHELD}:{FIRST}"
# Replay -> candidate and baseline; the last one on the weeks after the drift.
USUAL = {"seeds": (SECOND, FIRST), "labels": (DEALT, MIXED), "free": (FREE, HEURISTIC)}
DRIFTED = {"drift": (FIRST, FRESH)}


@dataclass(frozen=True)
class Training:
    """What a model is made of: the weeks it is trained on, and its seed."""

    weeks: Sequence[Path]
    seed: int = 0


@dataclass(frozen=True)
class Pair:
    """Two policies by name, and the weeks that both are replayed on."""

    candidate: str
    baseline: str
    weeks: Sequence[Path]


@dataclass(frozen=True)
class Unheld(Side):
    """A model without its grammar: it says what it likes."""

    def load(self, batch_size: int = BATCH_SIZE) -> Policy:
        """The policy, decoding freely."""
        from platform_assets.planner.decoding import load_policy

        assert self.folder is not None
        return load_policy(self.folder, constrained=False, batch_size=batch_size)


def trainings(world: World, folder: Path) -> dict[str, Training]:
    """The models by name: one recipe with two seeds, two faults, and what is trained after the drift."""
    weeks = world.usual.trained
    return {
        FIRST: Training(weeks, 0),
        SECOND: Training(weeks, 1),
        DEALT: Training(with_targets(weeks, folder / "weeks_dealt", shuffled_between_rows())),
        MIXED: Training(with_targets(weeks, folder / "weeks_mixed", shuffled_recipes(world.catalogue))),
        FRESH: Training(world.drifted.trained),
    }


def pairs(world: World) -> dict[str, Pair]:
    """The replays by name."""
    weeks = {**dict.fromkeys(USUAL, world.usual.evaluated), **dict.fromkeys(DRIFTED, world.drifted.evaluated)}
    return {name: Pair(*sides, weeks[name]) for name, sides in (USUAL | DRIFTED).items()}


def side_by_side(works: Sequence[Callable[[], object]], processes: int) -> None:
    """Do all the works, so many at a time; raises what the first one that fails raises."""
    with ThreadPoolExecutor(processes) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def train_base(world: World, folder: Path, steps: int) -> None:
    """The tiny base model, folder/base."""
    words = {"--model_base": "tiny", "--tiny_steps": steps, "--recipes": world.recipes, "--output": folder / "base"}
    _program("base_model", _words(words))


def train_models(world: World, folder: Path, made_of: Mapping[str, Training], processes: int) -> None:
    """One adapter each, folder/<name>, of one epoch."""
    side_by_side([partial(_train, world, folder, name, each) for name, each in made_of.items()], processes)


def replay_pairs(world: World, folder: Path, replays: Mapping[str, Pair], processes: int) -> None:
    """Replay two policies each on the same rows; the scores are folder/<name>.parquet."""
    shared = {"folder": str(folder), "recipes": str(world.recipes)}
    works = [
        partial(
            in_own_process, replayed, name=name, candidate=each.candidate, baseline=each.baseline,
            weeks=list(map(str, each.weeks)), **shared,
        )
        for name, each in replays.items()
    ]  # fmt: skip
    side_by_side(works, processes)


def replayed(
    folder: str, name: str, candidate: str, baseline: str, weeks: Sequence[str], recipes: str
) -> Callable[[], int]:
    """Work for a process: the replay of two models by name; UNHELD:<name> decodes freely, HEURISTIC has no model."""
    from platform_assets.planner.catalogue import Catalogue
    from platform_assets.training.threads import use_threads

    use_threads(1)
    first, second = _side(Path(folder), candidate), _side(Path(folder), baseline)
    selection = select([Path(week) for week in weeks], Catalogue.read(Path(recipes)), first.seen())
    return lambda: int(replay(first, second, selection, BATCH_SIZE, Path(folder, f"{name}.parquet"))["rows"])


def _side(folder: Path, name: str) -> Side:
    if name == HEURISTIC:
        return Side(name)
    kind, _, model = name.rpartition(":")
    return (Unheld if kind == UNHELD else Side)(name, folder / model)


def _train(world: World, folder: Path, name: str, training: Training) -> None:
    datasets = [word for path in training.weeks for word in ("--dataset", str(path))]
    words = {"--model_base": folder / "base", "--recipes": world.recipes, "--output": folder / name}
    words |= {"--seed": training.seed, "--epochs": 1, "--threads": 1, **TUNING}
    _program("training", [*datasets, *_words(words)])


def _program(name: str, words: Sequence[str]) -> None:
    command = [sys.executable, "-m", f"platform_assets.planner.{name}", *words]
    run_command(command, {**os.environ, **ENVIRONMENT})


def _words(options: Mapping[str, Any]) -> list[str]:
    return [str(word) for option in options.items() for word in option]
