"""Whether the planner's gate passes an equal model as often as it says, and rejects planted regressions for their reason.

    python -m benchmarks.planner_gate [--households N] [--steps N] [--processes N]

Real models, trained by their own programs on four simulated weeks and replayed on the two after them: the same recipe with
two seeds (A/A), accepted plans dealt to other households, recipe ids mixed up, a model without grammar and validator, and
one whose households' tastes have changed since. It takes under half an hour on two cores and is run only by name.

An accepted plan is mostly what the app had proposed without knowing any taste, so that alignments are about .06 here, and the
margin of .02 is a third of that: a model that has learnt nothing of its households may keep within it, and it is the combined
score, with a margin of .01, that rejects it. A stale model is more diverse than a fresh one, which the combined score rewards,
and alignment rejects it. The last lines say from which loss on a margin rejects, and whether there is so much to lose.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import planner_gate_runs as runs
from benchmarks.planner_gate_samples import (
    Replayed,
    as_proposed,
    chance_both_ways,
    chance_if_equal,
    chance_of_all,
    judge,
    judge_by,
    rejected_from,
    samples,
)
from benchmarks.planner_gate_world import build_world
from benchmarks.postgres import workplace
from benchmarks.table import Line, show
from platform_assets.core.gate import Metric, Thresholds, Verdict
from platform_assets.planner.judgement import ALIGNMENT, EDITS, OFFLINE, RAW_RESPECT, RESPECT

HOUSEHOLDS, STEPS, PROCESSES = 4_000, 1_200, min(2, os.cpu_count() or 1)
SIZES, DRAWS = (150, 250, 500), 200
PLANTED_SIZE, PLANTED_DRAWS, TOLERANCE, ROWS_WANTED = 500, 40, 0.10, 5_000
NARROW = Metric(ALIGNMENT, 0.005)
STANDARD = Thresholds(must_not_fail=(("household", "unseen"),))


def run(folder: Path, households: int = HOUSEHOLDS, steps: int = STEPS, processes: int = PROCESSES) -> list[Line]:
    """The lines of `report`, and what was spent on what."""
    spent: dict[str, float] = {}
    with _timed(spent, "world"):
        world = build_world(folder, households)
    with _timed(spent, "base"):
        runs.train_base(world, folder, steps)
    with _timed(spent, "adapters"):
        runs.train_models(world, folder, runs.trainings(world, folder), processes)
    with _timed(spent, "replays"):
        runs.replay_pairs(world, folder, runs.pairs(world), processes)
    with _timed(spent, "verdicts"):
        lines = report(folder)
    parts = ", ".join(f"{name} {each / 60:.1f} min" for name, each in spent.items())
    lines.append(Line(f"two populations of {households:,} households", parts))
    return [replace(line, name=f"planner_gate: {line.name}") for line in lines]


def report(folder: Path) -> list[Line]:
    """What the replays in a folder show."""
    usual = Replayed.read({folder / f"{name}.parquet": sides for name, sides in runs.USUAL.items()})
    drifted = Replayed.read({folder / f"{name}.parquet": sides for name, sides in runs.DRIFTED.items()})
    equal = usual.pair(usual.policies[runs.SECOND], usual.policies[runs.FIRST])
    return [
        *_equal(equal, folder), *_respect(usual, drifted),
        *(_judged(each, folder) for each in _planted(usual, drifted)),
        *_doses(usual, folder), *_smallest(judge(equal, folder, STANDARD)),
    ]  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A regression, or None for `by` where there is none; `by` is the constraint or the metric that must tell it."""

    name: str
    pair: pa.Table
    by: str | None
    outcomes: tuple[str, ...] = ("fail",)


@contextmanager
def _timed(spent: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    spent[name] = time.perf_counter() - began


def _planted(usual: Replayed, drifted: Replayed) -> Iterator[Planted]:
    first, free = usual.policies[runs.FIRST], usual.policies[runs.FREE]
    stale, fresh = drifted.policies[runs.FIRST], drifted.policies[runs.FRESH]
    dealt = usual.pair(usual.policies[runs.DEALT], first)
    yield Planted("plans dealt to others", dealt, OFFLINE, ("fail", "inconclusive"))
    yield Planted("recipe ids mixed up", usual.pair(usual.policies[runs.MIXED], first), OFFLINE)
    yield Planted("no grammar, no validator", usual.pair(as_proposed(free), first), RESPECT)
    yield Planted("no grammar, validator kept", usual.pair(free, first), RAW_RESPECT)
    yield Planted("last month's model after drift", drifted.pair(stale, fresh), ALIGNMENT)
    yield Planted("fresh model after drift (control)", drifted.pair(fresh, stale), None, ("pass",))


def _equal(pair: pa.Table, folder: Path) -> Iterator[Line]:
    """A/A: shares of samples that pass, beside what the verdicts themselves and arithmetic predict."""
    whole = judge(pair, folder, STANDARD)
    drawn = {size: list(samples(pair, size, DRAWS, both_ways=True)) for size in SIZES}
    verdicts = [[judge(each, folder) for each in tables] for tables in drawn.values()]
    passed = [_share(each.outcome == "pass" for each in found) for found in verdicts]
    yield _passing("the whole verdict", passed, [chance_of_all(pair, whole, size) for size in SIZES])
    for name in (each.metric.name for each in whole.metrics if each.is_judged):
        yield _passing_by(name, verdicts)
    # The gate's own margins are wide for such models: only a narrow one tests the arithmetic, and sees that seeds differ.
    lead = whole.result(NARROW.name).bounds
    narrow = [[judge_by(each, NARROW) for each in tables] for tables in drawn.values()]
    yield _passing_by(NARROW.name, narrow, lead.estimate if lead else 0.0, f", margin {NARROW.margin:g}")
    yield _pair_line("A/A, all rows", whole, ("pass", "inconclusive"))


def _passing_by(name: str, verdicts: Sequence[Sequence[Verdict]], lead: float | None = None, remark: str = "") -> Line:
    results = [[each.result(name) for each in found] for found in verdicts]
    passed = [_share(each.status == "pass" for each in found) for found in results]
    chance = chance_if_equal if lead is None else partial(chance_both_ways, lead=lead)
    return _passing(f"{name}{remark}", passed, [_share(map(chance, found)) for found in results])


def _passing(what: str, passed: Sequence[float], chance: Sequence[float]) -> Line:
    worst = max(abs(one - other) for one, other in zip(passed, chance, strict=True))
    return Line(
        f"A/A, {'/'.join(map(str, SIZES))}: {what}", f"{_slashed(passed)} of {DRAWS} pass", f"{_slashed(chance)} predicted",
        f"{worst:.2f} apart at most", "", f"within {TOLERANCE:g}", worst <= TOLERANCE,
    )  # fmt: skip


def _respect(usual: Replayed, drifted: Replayed) -> Iterator[Line]:
    """Every row of every constrained replay, served and raw."""
    held = [scores for name, scores in usual.policies.items() if name not in (runs.FREE, runs.HEURISTIC)]
    sides = [*held, *drifted.policies.values()]
    rows = min(len(side) for side in sides)
    broken = {name: sum(int((np.asarray(side[name]) != 1).sum()) for side in sides) for name in (RESPECT, RAW_RESPECT)}
    changed = sum(sum(_counts(side, "interventions_").values()) for side in sides)
    yield Line(
        f"constraint respect, constrained: {len(sides)} x {rows:,} rows",
        f"{broken[RESPECT]} served, {broken[RAW_RESPECT]} raw rows broken", "", f"{changed} interventions", "",
        f"none, of {ROWS_WANTED:,} rows or more", not any(broken.values()) and not changed and rows >= ROWS_WANTED,
    )  # fmt: skip
    free = usual.policies[runs.FREE]
    broken = {name: int((np.asarray(free[name]) != 1).sum()) for name in (RESPECT, RAW_RESPECT)}
    rules = Counter(_counts(as_proposed(free), "violations_")).most_common()
    yield Line(
        f"constraint respect, no grammar: {len(free):,} rows",
        f"{broken[RAW_RESPECT]} raw rows broken: " + ", ".join(f"{rule} {count:,}" for rule, count in rules if count),
        f"{broken[RESPECT]} served", f"{sum(_counts(free, 'interventions_').values()):,} interventions",
    )  # fmt: skip


def _judged(planted: Planted, folder: Path) -> Line:
    found = Counter(judge(each, folder).outcome for each in samples(planted.pair, PLANTED_SIZE, PLANTED_DRAWS))
    shares = ", ".join(f"{name} {found[name] / PLANTED_DRAWS:.2f}" for name in ("fail", "inconclusive", "pass"))
    line = _pair_line(planted.name, judge(planted.pair, folder, STANDARD), planted.outcomes, planted.by)
    return replace(line, peer=f"samples of {PLANTED_SIZE}: {shares}")


def _doses(usual: Replayed, folder: Path) -> Iterator[Line]:
    """The same fault in a part of the households only."""
    for share in (0.25, 0.5, 0.75):
        pair = usual.pair(usual.mixed(runs.FIRST, runs.MIXED, share), usual.policies[runs.FIRST])
        yield _pair_line(f"recipe ids mixed up for {share:.0%}", judge(pair, folder, STANDARD), None)


def _smallest(verdict: Verdict) -> Iterator[Line]:
    """The losses that a margin rejects four times in five; nobody can lose more than there is."""
    for name in (OFFLINE, ALIGNMENT, EDITS):
        losses = {size: rejected_from(verdict, name, size) for size in (*SIZES, verdict.clusters)}
        bounds = verdict.result(name).bounds
        there = bounds.baseline_mean if bounds else 0.0
        told = ", ".join(f"{loss:.3f} with {size:,}" for size, loss in losses.items())
        blind = ": it cannot fail" * (there <= min(losses.values()))
        yield Line(f"{name} fails 4 times in 5 at a loss of", told, f"the baseline has {there:.3f}{blind}")


def _pair_line(name: str, verdict: Verdict, outcomes: Sequence[str] | None, by: str | None = None) -> Line:
    """A verdict over all rows; met when it is one of the outcomes, and for the reason it should have."""
    reasons = _against(verdict)
    loss = ", ".join(_difference(verdict, metric) for metric in (OFFLINE, ALIGNMENT))
    met = None if outcomes is None else verdict.outcome in outcomes and (by is None or by in reasons)
    wanted = "" if outcomes is None else f"{' or '.join(outcomes)}{f' by {by}' if by else ''}"
    return Line(name, f"{verdict.outcome} ({', '.join(reasons) or 'nothing against it'})", "", loss, "", wanted, met)


def _against(verdict: Verdict) -> list[str]:
    """What keeps a verdict from passing: broken constraints, then metrics, then slices that block."""
    if verdict.outcome == "pass":
        return []
    broken = [each.name for each in verdict.constraints if each.broken]
    lost = [each.metric.name for each in verdict.metrics if each.is_judged and each.status == verdict.outcome]
    blocked = sum(each.blocks for each in verdict.slices)
    return broken + lost + [f"{blocked} slices"] * bool(blocked)


def _difference(verdict: Verdict, metric: str) -> str:
    bounds = verdict.result(metric).bounds
    if bounds is None or bounds.interval is None:
        return f"{metric} not compared"
    return f"{metric} {bounds.estimate:+.4f} [{bounds.interval[0]:+.4f}, {bounds.interval[1]:+.4f}]"


def _counts(scores: pa.Table, prefix: str) -> dict[str, int]:
    names = [name for name in scores.column_names if name.startswith(prefix)]
    return {name.removeprefix(prefix): int(np.asarray(scores[name]).sum()) for name in names}


def _share(chances: Iterable[float]) -> float:
    return float(np.mean(list(chances)))


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
