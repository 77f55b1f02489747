"""Whether the planner's gate passes an equal model as often as it says, and rejects planted regressions for their reason.

    python -m benchmarks.planner_gate [--households N] [--steps N] [--processes N]

Real models, trained by their own programs on four simulated weeks and replayed on the two after them: the same recipe with
two seeds (A/A), accepted plans dealt to other households, recipe ids mixed up, a model without grammar and validator, and
one whose households' tastes have changed since. It takes under half an hour on two cores and is run only by name.

An accepted plan is mostly what the app had proposed without knowing any taste, so that alignments are about .06 here, and the
margin of .02 is a third of that: losing all taste costs less than the margin. Such a model is held back by the rule that the
combined score must not be below the baseline's, not by a margin; the last lines say from which loss on a margin rejects.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.planner_gate_runs import HEURISTIC, UNHELD, Recipe, replay_pairs, train_base, train_models
from benchmarks.planner_gate_samples import (
    Replayed,
    as_proposed,
    chance_of_all,
    judge,
    rejected_from,
    sampled,
)
from benchmarks.planner_gate_world import World, build_world, shuffled_between_rows, shuffled_recipes, with_targets
from benchmarks.postgres import workplace
from benchmarks.table import Line, show
from platform_assets.core.gate import Thresholds, Verdict
from platform_assets.planner.judgement import ALIGNMENT, OFFLINE, RAW_RESPECT, RESPECT

HOUSEHOLDS, STEPS, PROCESSES = 4_000, 1_200, min(2, os.cpu_count() or 1)
SIZES, DRAWS = (150, 250, 500), 200
PLANTED_SIZE, PLANTED_DRAWS = 500, 60
TOLERANCE, ROWS_WANTED = 0.10, 5_000
FIRST, SECOND, DEALT, MIXED, FRESH = "first", "second", "dealt_plans", "mixed_ids", "fresh"
FREE = f"{UNHELD}:{FIRST}"
# Replay -> candidate and baseline; the last one on the weeks after the drift.
USUAL = {"seeds": (SECOND, FIRST), "labels": (DEALT, MIXED), "free": (FREE, HEURISTIC)}
DRIFTED = {"drift": (FIRST, FRESH)}
STANDARD = Thresholds(must_not_fail=(("household", "unseen"),))


def run(folder: Path, households: int = HOUSEHOLDS, steps: int = STEPS, processes: int = PROCESSES) -> list[Line]:
    """The lines of `report`, and what was spent on what."""
    spent, began = {}, time.perf_counter()

    def note(name: str) -> None:
        spent[name] = time.perf_counter() - began - sum(spent.values())

    world = build_world(folder, households)
    note("world")
    train_base(world, folder, steps)
    note("base")
    train_models(world, folder, _made_of(world, folder), processes)
    note("adapters")
    jobs = {
        name: {
            "candidate": sides[0],
            "baseline": sides[1],
            "weeks": list(map(str, weeks)),
            "recipes": str(world.recipes),
        }
        for jobs, weeks in ((USUAL, world.usual.evaluated), (DRIFTED, world.drifted.evaluated))
        for name, sides in jobs.items()
    }
    replay_pairs(folder, jobs, processes)
    note("replays")
    lines = report(folder)
    note("verdicts")
    parts = ", ".join(f"{name} {each / 60:.1f} min" for name, each in spent.items())
    return [*lines, Line(f"planner_gate: twice {households:,} households", parts)]


def report(folder: Path) -> list[Line]:
    """What the replays in a folder show."""
    usual = Replayed.read({folder / f"{name}.parquet": sides for name, sides in USUAL.items()})
    drifted = Replayed.read({folder / f"{name}.parquet": sides for name, sides in DRIFTED.items()})
    equal = usual.pair(usual.policies[SECOND], usual.policies[FIRST])
    lines = [*_equal(equal, folder), *_respect(usual, drifted)]
    for planted in _planted(usual, drifted):
        lines.append(_judged(planted, folder))
    lines += _doses(usual, folder)
    return [*lines, *_smallest(judge(equal, folder, STANDARD))]


@dataclass(frozen=True)
class Planted:
    """A regression, or None for `by` where there is none; `by` is the constraint or the metric that must tell it."""

    name: str
    pair: pa.Table
    by: str | None
    outcomes: tuple[str, ...] = ("fail",)


def _made_of(world: World, folder: Path) -> dict[str, Recipe]:
    weeks = world.usual.trained
    return {
        FIRST: Recipe(weeks, 0),
        SECOND: Recipe(weeks, 1),
        DEALT: Recipe(with_targets(weeks, folder / "weeks_dealt", shuffled_between_rows())),
        MIXED: Recipe(with_targets(weeks, folder / "weeks_mixed", shuffled_recipes(world.catalogue))),
        FRESH: Recipe(world.drifted.trained),
    }


def _planted(usual: Replayed, drifted: Replayed) -> Iterator[Planted]:
    first, free = usual.policies[FIRST], usual.policies[FREE]
    stale, fresh = drifted.policies[FIRST], drifted.policies[FRESH]
    yield Planted("plans dealt to others", usual.pair(usual.policies[DEALT], first), OFFLINE, ("fail", "inconclusive"))
    yield Planted("recipe ids mixed up", usual.pair(usual.policies[MIXED], first), OFFLINE)
    yield Planted("no grammar, no validator", usual.pair(as_proposed(free), first), RESPECT)
    yield Planted("no grammar, validator kept", usual.pair(free, first), RAW_RESPECT)
    yield Planted("last month's model after drift", drifted.pair(stale, fresh), OFFLINE)
    yield Planted("fresh model after drift (control)", drifted.pair(fresh, stale), None, ("pass",))


def _equal(pair: pa.Table, folder: Path) -> Iterator[Line]:
    """A/A: shares of samples that pass, beside what the verdicts themselves and arithmetic predict."""
    whole = judge(pair, folder, STANDARD)
    verdicts = {size: list(sampled(pair, folder, size, DRAWS, both_ways=True)) for size in SIZES}
    for size, found in verdicts.items():
        passed, chance = _share(each.outcome == "pass" for each in found), chance_of_all(pair, whole, size)
        yield Line(
            f"A/A, {size} households: verdict passes", f"{passed:.2f} of {DRAWS}", f"{chance:.2f} predicted",
            f"{passed - chance:+.2f}", "", f"within {TOLERANCE:g}", abs(passed - chance) <= TOLERANCE,
        )  # fmt: skip
    for name in (each.metric.name for each in whole.metrics if each.is_judged):
        results = {size: [each.result(name) for each in found] for size, found in verdicts.items()}
        passed = [_share(each.status == "pass" for each in found) for found in results.values()]
        chance = [float(np.mean([_chance(each) for each in found])) for found in results.values()]
        worst = max(abs(one - other) for one, other in zip(passed, chance, strict=True))
        yield Line(
            f"A/A, {' / '.join(map(str, SIZES))}: {name}", _slashed(passed), f"{_slashed(chance)} predicted",
            f"{worst:.2f} apart at most", "", f"within {TOLERANCE:g}", worst <= TOLERANCE,
        )  # fmt: skip
    yield _pair_line("A/A, all rows", whole, ("pass", "inconclusive"))


def _chance(result: object) -> float:
    """What the verdict says an equal candidate's chance is; a tie passes."""
    bounds = getattr(result, "bounds")  # noqa: B009
    return 1.0 if bounds is None or bounds.chance_equal_passes is None else bounds.chance_equal_passes


def _respect(usual: Replayed, drifted: Replayed) -> Iterator[Line]:
    """Every row of every constrained replay, served and raw."""
    sides = [usual.policies[name] for name in (FIRST, SECOND, DEALT, MIXED)] + list(drifted.policies.values())
    rows = min(len(side) for side in sides)
    broken = {name: sum(int((np.asarray(side[name]) != 1).sum()) for side in sides) for name in (RESPECT, RAW_RESPECT)}
    changed = sum(sum(_counts(side, "interventions_").values()) for side in sides)
    yield Line(
        f"constraint respect, constrained: {len(sides)} x {rows:,} rows",
        f"{broken[RESPECT]} served, {broken[RAW_RESPECT]} raw rows broken", "", f"{changed} interventions", "",
        f"none, of {ROWS_WANTED:,} rows or more", not any(broken.values()) and not changed and rows >= ROWS_WANTED,
    )  # fmt: skip
    free = usual.policies[FREE]
    rules = Counter(_counts(as_proposed(free), "violations_")).most_common(6)
    served = int((np.asarray(free[RESPECT]) != 1).sum())
    yield Line(
        f"constraint respect, unconstrained: {len(free):,} rows",
        f"{int((np.asarray(free[RAW_RESPECT]) != 1).sum()):,} raw rows broken", f"{served} served",
        f"{sum(_counts(free, 'interventions_').values()):,} interventions", "",
        ", ".join(f"{rule} {count:,}" for rule, count in rules if count),
    )  # fmt: skip


def _judged(planted: Planted, folder: Path) -> Line:
    whole = judge(planted.pair, folder, STANDARD)
    found = Counter(each.outcome for each in sampled(planted.pair, folder, PLANTED_SIZE, PLANTED_DRAWS))
    line = _pair_line(planted.name, whole, planted.outcomes, planted.by)
    shares = ", ".join(f"{name} {found[name] / PLANTED_DRAWS:.2f}" for name in ("fail", "inconclusive", "pass"))
    return Line(line.name, line.ours, f"samples of {PLANTED_SIZE}: {shares}", line.ratio, "", line.target, line.met)


def _doses(usual: Replayed, folder: Path) -> Iterator[Line]:
    """The same fault in a part of the households only."""
    for share in (0.25, 0.5, 0.75):
        pair = usual.pair(usual.mixed(FIRST, MIXED, share), usual.policies[FIRST])
        yield _pair_line(f"recipe ids mixed up for {share:.0%}", judge(pair, folder, STANDARD), None)


def _smallest(verdict: Verdict) -> Iterator[Line]:
    """The losses that a margin rejects four times in five."""
    for name in (ALIGNMENT, OFFLINE):
        losses = {size: rejected_from(verdict, name, size) for size in (*SIZES, verdict.clusters)}
        bounds = verdict.result(name).bounds
        mean = f"of a baseline of {bounds.baseline_mean:.3f}" if bounds else ""
        told = ", ".join(f"{loss:.3f} with {size:,}" for size, loss in losses.items())
        yield Line(f"{name} fails 4 times in 5 from", told, mean)


def _pair_line(name: str, verdict: Verdict, outcomes: Sequence[str] | None, by: str | None = None) -> Line:
    """A verdict over all rows; met when it is one of the outcomes, and for the reason it should have."""
    reasons = _against(verdict)
    loss = ", ".join(_difference(verdict, metric) for metric in (OFFLINE, ALIGNMENT))
    met = None if outcomes is None else verdict.outcome in outcomes and (by is None or by in reasons)
    wanted = "" if outcomes is None else f"{' or '.join(outcomes)}{f' by {by}' if by else ''}"
    return Line(name, f"{verdict.outcome} ({', '.join(reasons) or 'nothing against it'})", "", loss, "", wanted, met)


def _against(verdict: Verdict) -> list[str]:
    """What keeps a verdict from passing: broken constraints, and the metrics that do not pass."""
    broken = [each.name for each in verdict.constraints if each.broken]
    return broken + [
        each.metric.name for each in verdict.metrics if each.is_judged and each.status == verdict.outcome != "pass"
    ]


def _difference(verdict: Verdict, metric: str) -> str:
    bounds = verdict.result(metric).bounds
    assert bounds is not None and bounds.interval is not None
    return f"{metric} {bounds.estimate:+.4f} [{bounds.interval[0]:+.4f}, {bounds.interval[1]:+.4f}]"


def _counts(scores: pa.Table, prefix: str) -> dict[str, int]:
    names = [name for name in scores.column_names if name.startswith(prefix)]
    return {name.removeprefix(prefix): int(np.asarray(scores[name]).sum()) for name in names}


def _share(passed: Iterator[bool] | Sequence[bool]) -> float:
    return float(np.mean(list(passed)))


def _slashed(shares: Sequence[float]) -> str:
    return " / ".join(f"{each:.2f}" for each in shares)


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planner_gate")
    parser.add_argument("--households", type=int, default=HOUSEHOLDS, help="of each of the two populations")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the base model")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="trainings and replays at a time")
    options = parser.parse_args()
    began, load = time.perf_counter(), os.getloadavg()[0]
    with workplace() as folder:
        lines = run(folder, options.households, options.steps, options.processes)
    show(lines, time.perf_counter() - began, round(load, 1))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
