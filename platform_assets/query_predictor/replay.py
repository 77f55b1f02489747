"""Offline replay: a model, and what it is to replace, on the newest 14 days of a week's features, of which it has seen none.

    python -m platform_assets.query_predictor.replay --model FOLDER --model_features FOLDER --features FOLDER --sample FOLDER \\
        --zero_cost FILE --output FOLDER [--baseline rule|FOLDER] [--online_route REGEX]

`--features`, `--sample` and `--zero_cost` are of the evaluated week, `--model` and `--model_features` of the week before. Either
policy decides as it is served, a model by the history that it has, which is as old as the model (`replay_history`). The same inputs
give the same scores again. What they decide is `query_predictor.judgement`'s.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from platform_assets.core.document import write_json

if TYPE_CHECKING:
    from platform_assets.query_predictor.opened_model import OpenedModel
    from platform_assets.query_predictor.replay_rows import ReplayRows
    from platform_assets.query_predictor.replay_sides import Side
    from platform_assets.query_predictor.split_features import WeekFeatures
    from platform_assets.query_predictor.zero_cost import ZeroCostCategories

PROGRAM = "platform_assets.query_predictor.replay"
SCORES, SUMMARY = "replay_scores.parquet", "replay_summary.json"
RULE = "rule"
ONLINE_ROUTE = r"\broute=(heavy|light)\b"


class OptionError(ValueError):
    """An option that cannot be meant."""


@dataclass(frozen=True)
class Opened:
    """What the options point to."""

    candidate: OpenedModel
    baseline: OpenedModel | None
    """None: the rule."""
    trained_on: WeekFeatures
    week: WeekFeatures
    sample: Path
    counted: ZeroCostCategories


def replay(options: argparse.Namespace) -> dict[str, Any]:
    """Ask both, and write scores, summary and pictures; returns the summary."""
    from platform_assets.query_predictor import replay_summary, replay_tables
    from platform_assets.training.program import say, say_by_hand

    online = _pattern(options.online_route)
    with TemporaryDirectory(prefix="replay-") as scratch:
        opened = _open(options, Path(scratch))
        rows, sides = _asked(opened, online)
        options.output.mkdir(parents=True, exist_ok=True)
        costs = (opened.candidate.threshold.cost_fn, opened.candidate.threshold.cost_fp)
        replay_tables.write(replay_tables.table_of(rows, sides, *costs), options.output / SCORES)
        summary = _told(options, opened, rows, sides)
    say(replay_summary.table(summary))
    say_by_hand(f"scores of every query: {options.output / SCORES}")
    return summary


def _asked(opened: Opened, online: re.Pattern[str]) -> tuple[ReplayRows, dict[str, Side]]:
    """The rows, and what the candidate and the baseline decide on them."""
    from platform_assets.query_predictor import replay_rows, replay_sides

    models, train = [each for each in (opened.candidate, opened.baseline) if each], opened.trained_on.splits["train"]
    known = [replay_rows.Memory(each.terms, each.history) for each in models]
    rows = replay_rows.read(opened.week, opened.sample, known, online, train)
    candidate, *others = (replay_sides.of_model(each, rows, place, opened.counted) for place, each in enumerate(models))
    baseline = others[0] if others else replay_sides.of_rule(rows, candidate.queries.dropped_heavy)
    return rows, {"candidate": candidate, "baseline": baseline}


def _open(options: argparse.Namespace, scratch: Path) -> Opened:
    from platform_assets.core.folders import folder_digest, local_file, local_folder
    from platform_assets.query_predictor import replay_sides, split_features, zero_cost
    from platform_assets.query_predictor.opened_model import OpenedModel
    from platform_assets.query_predictor.replay_rows import ReplayError

    places = {name: local_folder(getattr(options, name), scratch / name) for name in ("model", "model_features", "features", "sample")}  # fmt: skip
    candidate = OpenedModel.open(places["model"])
    replay_sides.require_its_features(candidate, options.model_features, folder_digest(places["model_features"]))
    baseline = None
    if options.baseline != RULE:
        baseline = OpenedModel.open(local_folder(Path(options.baseline), scratch / "baseline"))
    file = local_file(options.zero_cost, zero_cost.NAME)
    try:
        counted = zero_cost.ZeroCostCategories.from_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReplayError(f"{file} cannot be read ({error}): name the categories of the evaluated week") from None
    trained_on, week = (split_features.read_week(places[name]) for name in ("model_features", "features"))
    return Opened(candidate, baseline, trained_on, week, places["sample"], counted)


def _told(options: argparse.Namespace, opened: Opened, rows: ReplayRows, sides: Mapping[str, Side]) -> dict[str, Any]:
    """The summary, written with the pictures beside the scores: it is told from what was written, as the verdict will be."""
    from platform_assets.query_predictor import judgement, replay_drift, replay_figures, replay_summary

    columns = judgement.read(options.output / SCORES)
    summary = replay_summary.summary_of(columns)
    for name, side in sides.items():
        summary[name]["policy"] = side.policy
    moved = replay_drift.measure(opened.candidate, opened.trained_on, opened.week, sides["candidate"])
    frozen = opened.candidate.threshold
    summary |= {
        **moved.document(),
        "tables": {**summary["tables"], "feature_drift": moved.features.document()["features"]},
        "week": rows.week.isoformat(), "model_week": opened.candidate.week.isoformat(),
        "cost_fn": frozen.cost_fn, "cost_fp": frozen.cost_fp, "online_route": options.online_route,
        "odd_online_routes": rows.odd_routes,
        "history": {name: each.document() for name, each in zip(sides, rows.histories, strict=False)},
        "prediction": {name: side.prediction for name, side in sides.items()},
    }  # fmt: skip
    write_json(options.output / SUMMARY, summary)
    title = f"{summary['days'][0]} to {summary['days'][1]}"
    drawn = {**replay_figures.pictures(columns, sides, frozen, summary, title), **moved.pictures(title)}
    for name, picture in drawn.items():
        (options.output / name).write_bytes(picture)
    return summary


def _pattern(text: str) -> re.Pattern[str]:
    try:
        found = re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise OptionError(f"--online_route {text} is no regular expression ({error})") from None
    if found.groups < 1:
        raise OptionError(f"--online_route {text} has no group to hold heavy or light: write it as {ONLINE_ROUTE}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    from platform_assets.query_predictor.model_files import ModelError
    from platform_assets.query_predictor.replay_rows import ReplayError
    from platform_assets.query_predictor.split_features import FeaturesError
    from platform_assets.training import program

    options = _parser().parse_args(arguments)
    expected = (OptionError, ReplayError, ModelError, FeaturesError)
    return program.run(lambda: replay(options), expected)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}")
    parser.add_argument("--model", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--model_features", type=Path, required=True, help="folder of the features it was trained on")
    parser.add_argument("--features", type=Path, required=True, help="folder of the evaluated week's features")
    parser.add_argument("--sample", type=Path, required=True, help="folder of the evaluated week's training_sample")
    parser.add_argument("--zero_cost", type=Path, required=True, help="the evaluated week's zero_cost_categories.json")
    parser.add_argument("--baseline", default=RULE, help="rule, or the folder of another model")
    parser.add_argument("--output", type=Path, required=True, help="folder for scores, summary and pictures")
    parser.add_argument(
        "--online_route", default=ONLINE_ROUTE, help="finds an online router's decision in clientInfo, in a group"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
