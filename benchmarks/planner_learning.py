"""Whether the tuned tiny model has learnt what people like, on households that no training saw, in the week after.

    python -m benchmarks.planner_learning [--households N] [--steps N] [--epochs N]

An app is simulated, its weeks are built by the planner's assets, the base model and its adapter are trained by their own
programs on the four weeks before the evaluated one. Alignment (multiset Jaccard with the accepted plan) of what each planner
serves is compared row by row, with intervals over households. It takes about half an hour and is run only by name.

Most of an accepted plan is what the app had proposed without knowing any taste (people edit about one meal in four), so that
all figures are small and even the oracles' are. That is why it needs so many households: 16,000 leave about 1,400 unseen rows,
whose intervals are half of one per cent wide to either side.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import run_command
from benchmarks.planner_learning_peers import Features, ScoringPlanner, fit_ranker, planted_taste
from benchmarks.planner_learning_world import Row, World, build_world
from benchmarks.postgres import workplace
from benchmarks.table import Line, show

HOUSEHOLDS, STEPS, EPOCHS = 16_000, 3_000, 1
# The head has an adapter too: how popular each recipe is are 240 numbers, which a stream of width 128 cannot say without.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
TUNING = {"--lr": "3e-3", "--batch_size": "64", "--max_candidates": "0", "--lora_targets": ",".join(TARGETS)}
MODEL, BASE = "tuned", "untuned base"
POPULARITY, REPEAT, RANKER = "popularity", "repeat_previous", "logistic ranker"
REQUIRED = {POPULARITY: True, BASE: True, REPEAT: False}  # True: the interval must exclude 0; False: not below


def run(folder: Path, households: int = HOUSEHOLDS, steps: int = STEPS, epochs: int = EPOCHS) -> list[Line]:
    """One line a planner."""
    seconds = {}
    began = time.perf_counter()
    world = build_world(folder, households)
    seconds["world"] = time.perf_counter() - began
    seconds |= _train(world, folder, steps, epochs)
    rows, began = world.held_out(), time.perf_counter()
    scores = {name: alignments(policy, rows) for name, policy in _policies(world, folder).items()}
    seconds["evaluation"] = time.perf_counter() - began
    owners = [row.household_id for row in rows]
    lines = [_line(name, scores, owners) for name in scores]
    spent = ", ".join(f"{name} {each / 60:.1f} min" for name, each in seconds.items())
    return [*lines, Line(f"planner_learning: {len(rows):,} rows, {households:,} households", spent)]


def alignments(policy: Any, rows: Sequence[Row]) -> np.ndarray:
    """Alignment of the plan that is served, row by row."""
    from platform_assets.planner.metrics import plan_alignment
    from platform_assets.planner.policies import run_policies

    planned = run_policies(policy, [row.request for row in rows], 128)
    return np.array([plan_alignment(each.plan, row.accepted) for each, row in zip(planned, rows, strict=True)])


def _train(world: World, folder: Path, steps: int, epochs: int) -> dict[str, float]:
    """Base and adapter by their own programs, each on one thread; seconds of both."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    program = [sys.executable, "-m"]
    base = {"--model_base": "tiny", "--tiny_steps": steps, "--recipes": world.recipes, "--output": folder / "base"}
    tuned = {"--model_base": folder / "base", "--recipes": world.recipes, "--output": folder / "model"}
    tuned |= {"--epochs": epochs, "--threads": 1, **TUNING}
    datasets = [word for path in world.trained for word in ("--dataset", str(path))]
    return {
        "base": run_command([*program, "platform_assets.planner.base_model", *_words(base)], environment)[0],
        "adapter": run_command([*program, "platform_assets.planner.training", *datasets, *_words(tuned)], environment)[
            0
        ],
    }


def _policies(world: World, folder: Path) -> dict[str, Any]:
    from platform_assets.planner.baselines import PopularityPlanner, RepeatPlanner
    from platform_assets.planner.decoding import LanguageModelPlanner, load_policy
    from platform_assets.planner.language_model import load_base
    from platform_assets.planner.popularity import fit_popularity

    trained, recipes = world.training_rows(), world.catalogue.latest
    features = Features(recipes, trained)
    taste = planted_taste(features, *world.tastes())
    popular = PopularityPlanner(fit_popularity(trained))
    tuned = load_policy(folder / "model")
    return {
        MODEL: tuned,
        POPULARITY: popular,
        BASE: LanguageModelPlanner(*load_base(folder / "base"), tuned.form, 64),
        REPEAT: RepeatPlanner(popular),
        RANKER: fit_ranker(RANKER, features, trained, recipes, None),
        "oracle of tastes": ScoringPlanner("oracle of tastes", taste),
        "ranker with tastes": fit_ranker("ranker with tastes", features, trained, recipes, taste),
    }


def _line(name: str, scores: Mapping[str, np.ndarray], owners: Sequence[str]) -> Line:
    from platform_assets.core.statistics import paired_difference

    mean = f"{scores[name].mean():.4f}"
    if name == MODEL:
        return Line(f"planner_learning: {name}", mean)
    found = paired_difference(scores[MODEL] - scores[name], owners)
    low, high = found.interval
    target, met = "", None
    if name in REQUIRED:
        target = "tuned above it, interval excludes 0" if REQUIRED[name] else "tuned not below it"
        met = low > 0 if REQUIRED[name] else found.estimate >= 0
    return Line(
        f"planner_learning: {name}", mean, "", f"tuned {found.estimate:+.4f} [{low:+.4f}, {high:+.4f}]", "", target, met
    )


def _words(options: Mapping[str, Any]) -> list[str]:
    return [str(word) for option in options.items() for word in option]


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_learning")
    parser.add_argument("--households", type=int, default=HOUSEHOLDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the base model")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the adapter")
    options = parser.parse_args()
    began, load = time.perf_counter(), os.getloadavg()[0]
    with workplace() as folder:
        lines = run(folder, options.households, options.steps, options.epochs)
    show(lines, time.perf_counter() - began, round(load, 1))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
