"""Pairs of replayed policies, judged: on all rows, on many samples of households, and what arithmetic predicts for those.

Every verdict is `judgement.judge`'s, on a file of scores as the replay writes it. What does not belong here: which pairs
(`benchmarks.planner_gate`). Legend: R rows, C households, M metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import statistics
from platform_assets.core.gate import Comparison, Metric, Thresholds, Verdict, decide
from platform_assets.core.verdict import MetricResult
from platform_assets.planner import judgement

# Minimums that the smallest sample meets; margins and everything else are the gate's own.
SMALL = judgement.thresholds(200, 150)
CANDIDATE, BASELINE, RAW = "candidate_", "baseline_", "raw_"
SIMULATED = 20_000
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Replayed:
    """The rows of a replay, and by policy its scores of them."""

    rows: pa.Table
    policies: Mapping[str, pa.Table]

    @classmethod
    def read(cls, files: Mapping[Path, tuple[str, str]]) -> Replayed:
        """Files of scores over the same rows, with the names of their candidate and baseline."""
        policies, rows = {}, []
        for path, names in files.items():
            table = pq.read_table(path)
            policies |= {name: _columns(table, side) for name, side in zip(names, (CANDIDATE, BASELINE), strict=True)}
            rows.append(
                table.select([name for name in table.column_names if not name.startswith((CANDIDATE, BASELINE))])
            )
        if any(not each["plan_id"].equals(rows[0]["plan_id"]) for each in rows):
            raise ValueError("the replays are of different rows: replay all policies on the same weeks")
        return cls(rows[0], policies)

    @property
    def owners(self) -> np.ndarray:
        """(R,) household ids."""
        return np.asarray(self.rows["household_id"])

    def pair(self, candidate: pa.Table, baseline: pa.Table) -> pa.Table:
        """The two side by side, as the replay writes them."""
        columns = {name: self.rows[name] for name in self.rows.column_names}
        for side, scores in ((CANDIDATE, candidate), (BASELINE, baseline)):
            columns |= {f"{side}{name}": scores[name] for name in scores.column_names}
        return pa.table(columns)

    def mixed(self, first: str, second: str, share: float) -> pa.Table:
        """The first's scores, but the second's for a share of the households, the same ones on every call."""
        owners = self.owners
        households = np.random.default_rng(0).permutation(np.unique(owners))
        taken = np.isin(owners, households[: round(share * len(households))])
        both = pa.concat_tables([self.policies[first], self.policies[second]])
        return both.take(pa.array(np.arange(len(owners)) + len(owners) * taken))


def as_proposed(scores: pa.Table) -> pa.Table:
    """A policy's scores as if what it proposed had been served: the validator is left out."""
    return pa.table(
        {name: scores[RAW + name if RAW + name in scores.column_names else name] for name in scores.column_names}
    )


def judge(pair: pa.Table, folder: Path, limits: Thresholds = SMALL) -> Verdict:
    """The gate's verdict."""
    path = folder / "replay_scores.parquet"
    pq.write_table(pair, path)
    return judgement.judge(path, "candidate", "baseline", limits, {})


def judge_by(pair: pa.Table, metric: Metric) -> Verdict:
    """The gate's verdict by one metric with a margin of one's own."""
    candidate, baseline = ({metric.name: np.asarray(pair[side + metric.name])} for side in (CANDIDATE, BASELINE))
    comparison = Comparison(pair["plan_id"].to_pylist(), pair["household_id"].to_pylist(), candidate, baseline)
    return decide(comparison, [metric], replace(SMALL, must_not_fail=()))


def samples(pair: pa.Table, households: int, draws: int, both_ways: bool = False) -> Iterator[pa.Table]:
    """The rows of so many random households each; `both_ways` swaps candidate and baseline in every second sample.

    Two trainings of one recipe are not the same model: swapped, what one of them happens to be better cancels out.
    """
    owners = np.asarray(pair["household_id"])
    known, random = np.unique(owners), np.random.default_rng([households, draws])
    swapped = _swapped(pair)
    for draw in range(draws):
        chosen = random.choice(known, households, replace=False)
        table = swapped if both_ways and draw % 2 else pair
        yield table.filter(pa.array(np.isin(owners, chosen)))


def deviations(verdict: Verdict) -> dict[str, float]:
    """Metric -> standard deviation of a household's difference, as the gate's standard error implies it."""
    bounds = {each.metric.name: each.bounds for each in verdict.metrics if each.bounds and each.is_judged}
    return {name: (each.standard_error or 0.0) * sqrt(each.clusters) for name, each in bounds.items()}


def chance_of_all(pair: pa.Table, verdict: Verdict, households: int) -> float:
    """How often a truly equal candidate passes every metric at once: means taken as normal, correlated as on these rows."""
    spread = deviations(verdict)
    judged = [each for each in verdict.metrics if each.metric.name in spread and spread[each.metric.name] > 0]
    names = [each.metric.name for each in judged]
    errors = np.array([spread[name] for name in names]) / sqrt(households)
    drawn = np.random.default_rng(0).multivariate_normal(
        np.zeros(len(names)), _correlations(pair, names) * np.outer(errors, errors), SIMULATED
    )
    margins = np.array([each.bounds.margin for each in judged if each.bounds])
    passed = drawn - _NORMAL.inv_cdf(0.95) * errors > -margins
    for column, each in enumerate(judged):
        passed[:, column] &= (drawn[:, column] >= 0) | (not each.metric.at_least_equal)
    return float(passed.all(axis=1).mean())


def chance_if_equal(result: MetricResult) -> float:
    """What the verdict says an equal candidate's chance is; a tie passes."""
    found = result.bounds
    return 1.0 if found is None or found.chance_equal_passes is None else found.chance_equal_passes


def chance_both_ways(result: MetricResult, lead: float) -> float:
    """How often a metric passes, each way in turn, when one of the two is better by `lead`."""
    found = result.bounds
    if found is None or not found.standard_error:
        return 1.0
    shifts = ((found.margin + each) / found.standard_error for each in (lead, -lead))
    return float(np.mean([_NORMAL.cdf(shift - _NORMAL.inv_cdf(0.95)) for shift in shifts]))


def rejected_from(verdict: Verdict, metric: str, households: int, chance: float = 0.8) -> float:
    """The true loss from which on a metric fails with this chance: the margin, and what the spread adds to it."""
    found = verdict.result(metric).bounds
    assert found is not None
    quantiles = _NORMAL.inv_cdf(0.95) + _NORMAL.inv_cdf(chance)
    return found.margin + quantiles * deviations(verdict)[metric] / sqrt(households)


def _correlations(pair: pa.Table, names: Sequence[str]) -> np.ndarray:
    """(M, M) of the households' differences from the mean, over the rows on which the gate judges each metric."""
    owners, residuals = np.asarray(pair["household_id"]), []
    for name in names:
        candidate, baseline = (np.asarray(pair[f"{side}{name}"], np.float64) for side in (CANDIDATE, BASELINE))
        is_judged = ~np.isnan(baseline)
        difference = np.where(is_judged, np.nan_to_num(candidate) - np.nan_to_num(baseline), 0.0)
        from_mean = np.where(is_judged, difference - difference[is_judged].mean(), 0.0)
        residuals.append(statistics.cluster_sums(from_mean, owners)[0])
    return np.corrcoef(residuals)


def _columns(table: pa.Table, side: str) -> pa.Table:
    names = [name for name in table.column_names if name.startswith(side)]
    return table.select(names).rename_columns([name.removeprefix(side) for name in names])


def _swapped(pair: pa.Table) -> pa.Table:
    def other(name: str) -> str:
        for side, instead in ((CANDIDATE, BASELINE), (BASELINE, CANDIDATE)):
            if name.startswith(side):
                return instead + name.removeprefix(side)
        return name

    return pair.rename_columns([other(name) for name in pair.column_names])
