"""Offline replay: a model and every baseline on each test basket, one hidden product a basket, and the whole next basket.

    python -m platform_assets.world_model.replay --tensor_cache FOLDER --model FOLDER --output FOLDER [--split test] \\
        [--sample N] [--seed N] [--batch_size N] [--device cpu] [--threads N]

Baselines are tuned on the validation weeks, nothing on the test weeks. T6 is withheld. The same cache, model, seed and device
give the same scores again. What they decide is `world_model.judgement`'s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_assets.core.document import write_json

if TYPE_CHECKING:
    from platform_assets.world_model.baselines import Baselines
    from platform_assets.world_model.dataset import WorldModelDataset
    from platform_assets.world_model.evaluation_questions import Settings

SCORES, SUMMARY = "replay_scores.parquet", "replay_summary.json"
BATCH_SIZE = 64
# Enough to tell weights apart; tuning on all of six million would take longer than the replay.
TUNING_BASKETS = 5_000
VALIDATION = "validation"
# Of network.json's options: how an answer is computed.
PREDICTION = ("max_length", "purchase_history", "with_trip", "precision")


def replay(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, and write scores, summary and pictures; returns the summary."""
    from platform_assets.training.program import say, say_by_hand
    from platform_assets.world_model import (
        auxiliary_baselines,
        evaluation,
        network,
        replay_figures,
        replay_summary,
        replay_tables,
    )
    from platform_assets.world_model.dataset import WorldModelDataset
    from platform_assets.world_model.evaluation_questions import Settings

    settings = Settings(options.split, options.sample, options.seed, options.batch_size, _device(options.device))
    tuning = WorldModelDataset(options.tensor_cache, VALIDATION)
    cache = tuning.cache
    model, document = network.load(options.model, cache)
    asked = document["options"]
    dataset = WorldModelDataset(options.tensor_cache, options.split, int(asked["max_length"]))
    model = model.to(settings.device)
    baselines = _tuned(tuning, settings)
    found = evaluation.evaluate(
        model, int(asked["purchase_history"]), dataset, baselines, auxiliary_baselines.count(cache), settings, say
    )
    scores = replay_tables.table_of(found, cache, dataset.arrays)
    options.output.mkdir(parents=True, exist_ok=True)
    replay_tables.write(scores, options.output / SCORES)
    summary = {
        **replay_summary.summary_of(scores),
        "split": options.split, "sample": options.sample, "seed": options.seed, "device": settings.device,
        "baskets": len(dataset), "excluded": dict(found.excluded), "tuned": dict(baselines.tuned),
        "cache_fingerprint": cache.fingerprint, "model_fingerprint": document.get("fingerprint", ""),
        "weeks": [cache.weeks[0], cache.weeks[-1]],
        "prediction": {"candidate": {**{name: asked[name] for name in PREDICTION}, "tensor_cache": cache.fingerprint}, "baseline": {}},
    }  # fmt: skip
    write_json(options.output / SUMMARY, summary)
    for name, picture in replay_figures.pictures(summary).items():
        (options.output / name).write_bytes(picture)
    say(table(summary))
    say_by_hand(f"scores of every basket: {options.output / SCORES}")
    return summary


def _tuned(dataset: WorldModelDataset, settings: Settings) -> Baselines:
    from dataclasses import replace

    from platform_assets.training.program import say
    from platform_assets.world_model import baselines, evaluation_questions

    asked = evaluation_questions.questions(
        dataset, replace(settings, split=VALIDATION, sample=TUNING_BASKETS, device="cpu")
    )
    return baselines.tune(dataset.cache, dataset.arrays, asked, say)


def table(summary: Mapping[str, Any]) -> str:
    """Text: a ranker a line, the best first."""
    lines = [f"{'ranker':20s} {'hit@1':>7s} {'hit@5':>7s} {'hit@10':>7s} {'MRR':>7s}"]
    for name, each in sorted(summary["rankers"].items(), key=lambda pair: -pair[1]["hit_at_10"]):
        numbers = (each[metric] for metric in ("hit_at_1", "hit_at_5", "hit_at_10", "reciprocal_rank"))
        lines.append(f"{name:20s} {' '.join(f'{number:7.4f}' for number in numbers)}")
    lines.append(f"hit@10 above the mixture: {_interval(summary['hit_at_10_above_mixture'])}")
    if copied := summary["copied_weeks"]:
        lines.append(
            f"weeks that repeat customers' earlier baskets: {len(copied)}; in the others: "
            f"{_interval(summary['hit_at_10_above_mixture_in_other_weeks'])}"
        )
    for task, each in summary["auxiliary"].items():
        lines.append(f"{task}: " + ", ".join(f"{who} {share:.3f}" for who, share in each.items() if who != "rows"))
    return "\n".join(lines)


def _interval(found: Mapping[str, Any]) -> str:
    """The mean, and where there are clusters enough its interval."""
    if "interval" not in found:
        return f"{found['estimate']:+.4f}" if found else "no baskets"
    low, high = found["interval"]
    return f"{found['estimate']:+.4f} [{low:+.4f}, {high:+.4f}] (two-sided 95 %, by customer)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.training import program
    from platform_assets.training.errors import OutOfMemory

    options = _parser().parse_args(arguments)
    # Also what settings, caches, models and evaluations refuse: each is a ValueError of its own.
    return program.run(lambda: _run(options), (OutOfMemory, FileNotFoundError, *_refusals()))


def _refusals() -> tuple[type[Exception], ...]:
    from platform_assets.world_model.baselines import TuningError
    from platform_assets.world_model.evaluation import EvaluationError
    from platform_assets.world_model.model_files import ModelError
    from platform_assets.world_model.rankings import RankingError
    from platform_assets.world_model.tensor_cache import TensorCacheError

    return OptionError, TensorCacheError, ModelError, TuningError, EvaluationError, RankingError


class OptionError(ValueError):
    """An option that cannot be meant."""


def _run(options: argparse.Namespace) -> Mapping[str, Any]:
    from platform_assets.training import threads
    from platform_assets.training.memory import explained_memory

    if options.sample < 0 or options.batch_size < 1 or options.threads < 0:
        raise OptionError(
            "--sample and --threads are 0 or more (0: all baskets, the free cores), --batch_size 1 or more"
        )
    threads.use_threads(options.threads or threads.free_cores())
    with explained_memory("in the replay", "use a smaller --batch_size, or --device cpu"):
        return replay(options)


def _device(named: str | None) -> str:
    import torch

    device = named or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"--device {device} cannot be used here ({str(error).splitlines()[0]}): leave it out"
        ) from None
    return device


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m platform_assets.world_model.replay")
    parser.add_argument("--tensor_cache", type=Path, required=True, help="folder of the tensor cache")
    parser.add_argument("--model", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores, summary and pictures")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="what is evaluated")
    parser.add_argument("--sample", type=int, default=0, help="only so many baskets, drawn by their ids; 0 is all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of what is hidden")
    parser.add_argument("--batch_size", type=int, default=BATCH_SIZE, help="baskets ranked at a time")
    parser.add_argument("--device", help="cpu, cuda or cuda:1; CUDA where there is some when left out")
    parser.add_argument("--threads", type=int, default=0, help="on the CPU; 0 takes the cores that are free")
    return parser


if __name__ == "__main__":
    sys.exit(main())
