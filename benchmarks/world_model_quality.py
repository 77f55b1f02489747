"""Whether the world model finds a hidden product more often than the tuned mixture, on test weeks that nothing has seen.

    python -m benchmarks.world_model_quality [--rows N] [--retail FOLDER --start DATE] [--epochs N] [--learning_rate X] [--ablations]

A retailer is simulated, or a folder of raw rows is read; its weeks are extracted, its features and tensor cache are built by
the domain's own functions, and the model is trained and replayed by its own programs. Every ranker is asked for the same
hidden products with the visible ones excluded, T6 withheld; intervals are by customer. Baskets that their customer had bought
before, item for item, are told apart: whoever remembers baskets is right about those. It is run only by name.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.measure import run_command
from benchmarks.postgres import workplace
from benchmarks.table import Line, show
from benchmarks.world_model_world import build_world

ROWS, EPOCHS, LEARNING_RATE = 300_000, 4, 1e-3
ABLATIONS = ("without_price", "without_customer", "without_time", "without_segments", "without_mixture")
MODEL, MIXTURE = "candidate", "baseline"
NAMES: dict[str, str] = {MODEL: "model", MIXTURE: "tuned mixture", "network": "the network alone"}


def run(
    folder: Path, rows: int = ROWS, epochs: int = EPOCHS, learning_rate: float = LEARNING_RATE, retail: str = "",
    start: date | None = None, ablations: Sequence[str] = (), threads: int = 1, options: Sequence[str] = (),
) -> list[Line]:  # fmt: skip
    """A line a ranker and a task; with ablations, one each for what the model loses."""
    began = time.perf_counter()
    cache = build_world(retail or _simulate(folder, rows), folder, start)
    spent = {"cache": time.perf_counter() - began}
    trained = {"--epochs": str(epochs), "--learning_rate": str(learning_rate), "--threads": str(threads)}
    whole, seconds = _trained(cache, folder / "whole", [*_words(trained), *options], threads)
    spent |= seconds
    lines = [*_rankers(whole), *_elsewhere(whole), *_groups(whole), *_tasks(whole), *_next_baskets(whole)]
    for name in ablations:
        found, seconds = _trained(cache, folder / name, [*_words(trained), f"--{name}", *options], threads)
        spent |= {f"{name} {step}": each for step, each in seconds.items()}
        lines.append(_ablation(name, found, whole))
    told = ", ".join(f"{name} {each / 60:.1f} min" for name, each in spent.items())
    lines.append(Line(f"{whole['rows']:,} test baskets, {whole['customers']:,} clusters", told))
    return [replace(line, name=f"world_model_quality: {line.name}") for line in lines]


def _simulate(folder: Path, rows: int) -> str:
    raw = folder / "raw"
    program = [sys.executable, "-m", "platform_assets.simulators.retailer"]
    run_command([*program, "--output", str(raw), "--rows", str(rows)])
    return str(raw)


def _trained(cache: Path, folder: Path, words: Sequence[str], threads: int) -> tuple[dict[str, Any], dict[str, float]]:
    """The replay's summary of a model that is trained here, and the seconds of both programs."""
    program = [sys.executable, "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    common = ["--tensor_cache", str(cache)]
    training = [*program, "platform_assets.world_model.training", *common, "--output", str(folder / "model"), *words]
    seconds, _ = run_command(training, environment)
    replay = [*program, "platform_assets.world_model.replay", *common, "--model", str(folder / "model")]
    replayed, _ = run_command([*replay, "--output", str(folder / "replay"), "--threads", str(threads)], environment)
    summary = json.loads((folder / "replay" / "replay_summary.json").read_text(encoding="utf-8"))
    return summary, {"training": seconds, "replay": replayed}


def _rankers(summary: Mapping[str, Any]) -> Iterator[Line]:
    """hit@10 of the model, then of all others with what the model is above them."""
    rankers = summary["rankers"]
    yield Line(NAMES[MODEL], _hits(rankers[MODEL]))
    low, high = summary["hit_at_10_above_mixture"]["interval"]
    above = f"model {summary['hit_at_10_above_mixture']['estimate']:+.4f} [{low:+.4f}, {high:+.4f}]"
    yield Line(NAMES[MIXTURE], _hits(rankers[MIXTURE]), "", above, "", "model above it, interval excludes 0", low > 0)
    for name, each in sorted(rankers.items(), key=lambda pair: -pair[1]["hit_at_10"]):
        if name not in (MODEL, MIXTURE):
            found = summary["hit_at_10_above"][name]
            above = f"model {found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
            yield Line(_named(name), _hits(each), "", above)


def _elsewhere(summary: Mapping[str, Any]) -> Iterator[Line]:
    """The weeks that do not repeat customers' earlier baskets, where others do."""
    found = summary["hit_at_10_above_mixture_in_other_weeks"]
    if summary["copied_weeks"] and "interval" in found:
        low, high = found["interval"]
        above = f"model {found['estimate']:+.4f} [{low:+.4f}, {high:+.4f}]"
        yield Line(
            f"tuned mixture, without {len(summary['copied_weeks'])} weeks of copied baskets", "", "", above, "",
            "model above it, interval excludes 0", low > 0,
        )  # fmt: skip


def _groups(summary: Mapping[str, Any]) -> Iterator[Line]:
    """Cold, warm and anonymous customers; baskets that were bought before, and the others."""
    titles = {"repeated": {"True": "baskets bought before", "False": "baskets not bought before"}}
    for by in ("customer", "repeated"):
        for key, each in summary["tables"][by].items():
            name = titles.get(by, {}).get(key, f"{key} customers")
            best = max(
                (ranker for ranker in summary["rankers"] if ranker != MODEL),
                key=lambda ranker, each=each: each[f"{ranker}_hit_at_10"],
            )
            model, mixture = (each[f"{side}_hit_at_10"] for side in (MODEL, MIXTURE))
            yield Line(
                f"{name} ({each['baskets']:,})", f"hit@10 {model:.4f}", f"mixture {mixture:.4f}",
                f"best other: {_named(best)} {each[f'{best}_hit_at_10']:.4f}",
            )  # fmt: skip


def _tasks(summary: Mapping[str, Any]) -> Iterator[Line]:
    for task, each in summary["auxiliary"].items():
        best = max(each["look_up"], each["majority"])
        yield Line(
            f"head {task}", f"{each['model']:.4f}", f"look-up {each['look_up']:.4f}, majority {each['majority']:.4f}",
            f"{each['model'] - best:+.4f}", "", "above both", each["model"] > best,
        )  # fmt: skip


def _next_baskets(summary: Mapping[str, Any]) -> Iterator[Line]:
    for name, each in summary["next_basket"].items():
        numbers = f"P {each['precision_at_10']:.4f}, R {each['recall_at_10']:.4f}, HR {each['hit_rate_at_10']:.4f}"
        yield Line(f"next basket @10, {_named(name)}", numbers)


def _ablation(name: str, found: Mapping[str, Any], whole: Mapping[str, Any]) -> Line:
    lost = found["rankers"][MODEL]["hit_at_10"] - whole["rankers"][MODEL]["hit_at_10"]
    above = found["hit_at_10_above_mixture"]
    low, high = above["interval"]
    against = f"against the mixture {above['estimate']:+.4f} [{low:+.4f}, {high:+.4f}]"
    return Line(f"model {name}", _hits(found["rankers"][MODEL]), against, f"{lost:+.4f} against the whole model")


def _hits(means: Mapping[str, float]) -> str:
    return f"hit@1 {means['hit_at_1']:.4f}, @5 {means['hit_at_5']:.4f}, @10 {means['hit_at_10']:.4f}, MRR {means['reciprocal_rank']:.4f}"


def _named(ranker: str) -> str:
    return NAMES[ranker] if ranker in NAMES else ranker.replace("_", " ")


def _words(options: Mapping[str, str]) -> list[str]:
    return [word for option in options.items() for word in option]


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.world_model_quality")
    parser.add_argument("--rows", type=int, default=ROWS, help="of the simulated retailer")
    parser.add_argument("--retail", default="", help="a folder of raw rows and time.csv instead of the simulator")
    parser.add_argument(
        "--start", type=date.fromisoformat, help="first day of the first week, where the calendar begins earlier"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--learning_rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--ablations", nargs="*", choices=ABLATIONS, help="also train without this; named alone: all of them"
    )
    parser.add_argument(
        "--training", nargs=argparse.REMAINDER, default=[], help="further options of the training program"
    )
    options = parser.parse_args()
    ablations = ABLATIONS if options.ablations == [] else options.ablations or ()
    began, load = time.perf_counter(), os.getloadavg()[0]
    with workplace() as folder:
        lines = run(
            folder, options.rows, options.epochs, options.learning_rate, options.retail, options.start, ablations,
            options.threads, options.training,
        )  # fmt: skip
    show(lines, time.perf_counter() - began, round(load, 1))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
