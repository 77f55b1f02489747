"""What the query predictor routes as heavy on test days that nothing has seen, beside the template's history and a rule.

    python -m benchmarks.query_predictor_quality [--rows N] [--seeds N ...] [--weeks N] [--training OPTION ...]

Logs are generated, one a seed, and the shipped recording is read; the newest weeks of each are built by the domain's own
functions, and a model is trained on each and judged as it would be in production. Rankers are compared by the share of all
queries that they route for the same recall. Beside: what a router would need that knows all that was planted but the noise; what
a threshold would do that was chosen for a certain recall instead of by cost; ONNX against the trees; served rows against
training's. It is run only by name.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.postgres import workplace
from benchmarks.query_predictor_runs import Run, run_week
from benchmarks.query_predictor_world import Log, build_week, generated, measured
from benchmarks.table import Line, show
from platform_assets.query_predictor.onnx_model import LARGEST_DIFFERENCE
from platform_assets.query_predictor.requirements import RECALL, recall_lower_bound
from platform_assets.query_predictor.routing import Routed

ROWS, SEEDS, WEEKS = 100_000, (7,), 1
BASELINES = ("fingerprint", "rule")


def run(
    folder: Path, rows: int = ROWS, seeds: Sequence[int] = SEEDS, weeks: int = WEEKS, threads: int = 1,
    options: Sequence[str] = (), recorded: bool = True,
) -> list[Line]:  # fmt: skip
    """The lines of each week; of several weeks of generated logs also what they are together."""
    words = ["--threads", str(threads), *options]
    found = [each for seed in seeds for each in _of_log(generated(folder / f"seed_{seed}", rows, seed), weeks, words)]
    lines = [line for each in found for line in _of_run(each)]
    lines += _together(found) if len(found) > 1 else []
    if recorded:
        lines += [line for each in _of_log(measured(folder / "recorded"), weeks, words) for line in _of_run(each)]
    return lines


def _of_log(log: Log, weeks: int, words: Sequence[str]) -> list[Run]:
    return [run_week(build_week(log, week), words) for week in log.weeks[-weeks:]]


def _of_run(run: Run) -> Iterator[Line]:
    """Everything about one week."""
    model = run.evaluation["model"]
    yield Line(f"{run.name}: {model['rows']:,} test queries, {model['heavy']} heavy", f"{run.metrics['trees']} trees")
    yield _shares(f"routed share at an observed recall of {RECALL}", run, "observed")
    yield _shares(f"routed share at a certified recall of {RECALL}", run, "certified")
    yield _frozen(run)
    yield _certain(run)
    for name, title in (("auc", "AUC"), ("average_precision", "average precision")):
        theirs = ", ".join(f"{each} {_number(run.evaluation['baselines'][each][name])}" for each in BASELINES)
        yield Line(f"  {title}", _number(model[name]), theirs)
    for name, part in run.evaluation["by_template"].items():
        yield _part(name, part)
    yield Line("  cross-validation, AUC", _folds(run.metrics))
    yield Line("  requirements", run.judgement.outcome)
    for check in run.judgement.checks:
        yield Line(f"    {check.name}{'' if check.blocks else ' (warns only)'}", check.status, check.reason)
    yield from _onnx(run.metrics)
    yield Line("  parity", run.parity.reason, met=run.parity.passed, target="bit-equal")


def _shares(title: str, run: Run, kind: str) -> Line:
    """Of the model, beside what each baseline needs; below both is the target."""
    ours, theirs = (getattr(run.shares("model"), kind), [getattr(run.shares(name), kind) for name in BASELINES])
    told = ", ".join(f"{name} {_share(each)}" for name, each in zip(BASELINES, theirs, strict=True))
    told += f", planted {_share(getattr(run.planted, kind))}" if run.planted else ""
    if ours is None:
        return Line(f"  {title}", "too few heavy queries")
    first = f"{ours / theirs[0]:.2f}x" if theirs[0] else ""
    is_below = all(each is None or ours < each for each in theirs)
    return Line(f"  {title}", _share(ours), told, first, "", "below both", is_below)


def _frozen(run: Run) -> Line:
    """What the documented rule's threshold does; whether the recall is certain is judged."""
    model, found = run.evaluation["model"], run.judgement.checks[0]
    told = f"{_told(_routed(model))}, precision {_number(model['precision'])}, F1 {_number(model['f1'])}"
    met = {"pass": True, "fail": False, "inconclusive": None}[found.status]
    return Line(
        "  frozen threshold, by cost",
        told,
        _at_same_recall(run.evaluation["baselines"]),
        "",
        "",
        f"recall surely {RECALL}",
        met,
    )


def _certain(run: Run) -> Line:
    if run.certain is None:
        return Line("  frozen threshold, by certain recall", "too few heavy validation queries")
    return Line("  frozen threshold, by certain recall", _told(run.certain))


def _part(name: str, part: Mapping[str, Any]) -> Line:
    """Queries whose template the train split had, or had not."""
    model = part["model"]
    told = f"{_told(_routed(model))}, AUC {_number(model['auc'])}"
    return Line(f"  {name} templates: {model['rows']:,}, {model['heavy']} heavy", told, _at_same_recall(part))


def _at_same_recall(rankers: Mapping[str, Any]) -> str:
    return "same recall: " + ", ".join(
        f"{name} {_share(rankers[name]['routed_share_at_models_recall'])}" for name in BASELINES
    )


def _folds(metrics: Mapping[str, Any]) -> str:
    """By template and by time, as far as they have both classes."""
    return ", ".join(
        f"{kind} {metrics[f'cv_{kind}_auc']:.4f}" for kind in ("grouped", "time") if f"cv_{kind}_auc" in metrics
    )


def _onnx(metrics: Mapping[str, Any]) -> Iterator[Line]:
    for part, title in (
        ("", "all rows"),
        ("next_to_splits_", "made next to splits"),
        ("next_to_threshold_", "next to the threshold"),
    ):
        rows, apart, flips = (metrics[f"onnx_{part}{name}"] for name in ("rows", "largest_difference", "label_flips"))
        told = f"{rows:,}: up to {apart:.2g} apart, {flips} flips"
        yield Line(
            f"  ONNX and trees, {title}", told, "", "", "", f"<= {LARGEST_DIFFERENCE:g}, no flip",
            apart <= LARGEST_DIFFERENCE and not flips,
        )  # fmt: skip


def _together(runs: Sequence[Run]) -> Iterator[Line]:
    """Recalls over all weeks' queries; routed shares and AUC as means over the weeks."""
    counts = Counter(run.judgement.outcome for run in runs)
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    yield Line(f"{len(runs)} weeks of generated logs together", "", f"requirements: {told}")
    for kind in ("observed", "certified"):
        yield _mean_shares(f"  mean routed share at {kind} recall", runs, kind)
    for title, chosen in (
        ("by cost", [_routed(run.evaluation["model"]) for run in runs]),
        ("by certain recall", [run.certain for run in runs if run.certain]),
    ):
        yield _mean_routing(f"  frozen threshold, {title}, {len(chosen)} weeks", chosen)
    yield Line("  mean AUC", _number(fmean(run.evaluation["model"]["auc"] for run in runs)))


def _mean_shares(title: str, runs: Sequence[Run], kind: str) -> Line:
    """Of the weeks in which every ranker reaches the recall."""
    each = [[getattr(run.shares(name), kind) for name in ("model", *BASELINES)] for run in runs]
    each = [shares for shares in each if None not in shares]
    if not each:
        return Line(title, "no week has enough heavy queries")
    ours, *theirs = (fmean(shares) for shares in zip(*each, strict=True))
    told = ", ".join(f"{name} {_share(share)}" for name, share in zip(BASELINES, theirs, strict=True))
    planted = [getattr(run.planted, kind) for run in runs if run.planted and getattr(run.planted, kind) is not None]
    told += f", planted {_share(fmean(planted))}" if planted else ""
    won = sum(shares[0] < min(shares[1:]) for shares in each)
    return Line(
        title, f"{_share(ours)}, below both in {won} of {len(each)} weeks", told, f"{ours / theirs[0]:.2f}x", "", "below both",
        ours < min(theirs),
    )  # fmt: skip


def _mean_routing(title: str, chosen: Sequence[Routed]) -> Line:
    if not chosen:
        return Line(title, "no week has enough heavy validation queries")
    whole = Routed(*(sum(getattr(each, field.name) for each in chosen) for field in fields(Routed)))
    recalls = sorted(each.recall for each in chosen if each.recall is not None)
    by_week = f"; by week {recalls[0]:.4f} to {recalls[-1]:.4f}" if recalls else ""
    met = None if whole.recall is None else whole.recall >= RECALL
    return Line(title, f"{_told(whole)}{by_week}", "", "", "", f"recall {RECALL}", met)


def _routed(model: Mapping[str, Any]) -> Routed:
    """The counts behind an evaluation's numbers."""
    sent = round(model["routed_share"] * model["rows"])
    return Routed(
        model["rows"], sent, model["heavy"], model["heavy"] - model["missed"], model["missed_before_the_model"]
    )


def _told(found: Routed) -> str:
    if found.recall is None:
        return f"no heavy query, {_share(found.share)} routed"
    surely = recall_lower_bound(found.caught, found.heavy)
    return f"recall {found.recall:.4f} ({found.missed} missed, surely {surely:.4f}), {_share(found.share)} routed"


def _share(value: float | None) -> str:
    return "never" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.query_predictor_quality")
    parser.add_argument("--rows", type=int, default=ROWS, help="of each generated log, over 63 days")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="one generated log each")
    parser.add_argument("--weeks", type=int, default=WEEKS, help="newest weeks of each log; a log has three whole ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recorded", action=argparse.BooleanOptionalAction, default=True, help="also the shipped log")
    parser.add_argument(
        "--training", nargs=argparse.REMAINDER, default=[], help="further options of the training program"
    )
    options = parser.parse_args()
    began, load = time.perf_counter(), os.getloadavg()[0]
    with workplace() as folder:
        lines = run(
            folder, options.rows, options.seeds, options.weeks, options.threads, options.training, options.recorded
        )
    show(lines, time.perf_counter() - began, round(load, 1))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
