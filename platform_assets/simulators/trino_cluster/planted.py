"""Costs drawn from the planted law, a block of arrivals at a time: what each should take, what it took, what ended it.

expected log cost = law(family, traits, schema size) + user + template + growth + scale; noise comes on top and is never
known to a reader of the log. What does not belong here: text, and files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from platform_assets.simulators.trino_cluster.costs import Law, is_work, term_rows
from platform_assets.simulators.trino_cluster.scenario import Scenario
from platform_assets.simulators.trino_cluster.traffic import Arrival

HEAVY_SECONDS, HEAVY_BYTES = 300.0, 10 * 2**30
CPU_LIMIT_SECONDS = 1_200.0
MEMORY_LIMIT_BYTES = 40 * 2**30
RUN_LIMIT_SECONDS, HURRIED_RUN_LIMIT_SECONDS = 1_800.0, 25.0
"""Wall time; the sessions of dashboards ask for the short one."""
PATIENCE_SECONDS = (5.0, 120.0)
"""Wall seconds after which those who have little patience cancel."""
PARALLELISM = 16.0
"""CPU seconds per wall second of a query that runs long enough to be spread over the cluster."""
TEMPLATE_SPREAD = 0.35
PLANTED_TERMS = {
    "cpu": {"log_days": 0.45, "log_size": 0.7, "log_days_x_tenth": 0.25},
    "memory": {"log_days": 0.3, "log_size": 0.5, "log_days_x_tenth": 0.3},
}
"""How costs grow with period and size of data is planted, not taken from the recording: its data is so small that the
fixed cost of planning hides most of the growth. All other coefficients are the recording's."""
GROWTH_PER_30_DAYS = 0.04
"""Log growth of all costs, as data grows; times the scenario's drift."""
MISTAKE_CODES = ("SYNTAX_ERROR", "COLUMN_NOT_FOUND", "TABLE_NOT_FOUND", "FUNCTION_NOT_FOUND")
NO_ERROR, CANCELLED, CPU_LIMIT, TIME_LIMIT, MEMORY_LIMIT, MISTAKE = range(6)
OUTCOMES = (
    None,
    "USER_CANCELED",
    "EXCEEDED_CPU_LIMIT",
    "EXCEEDED_TIME_LIMIT",
    "EXCEEDED_LOCAL_MEMORY_LIMIT",
    "mistake",
)
_CHEAPEST_SECONDS, _SMALLEST_BYTES = 0.001, 1_024


def planted_law(law: Law) -> Law:
    """A recording's law with the planted coefficients in place of its own."""
    cpu, memory = (
        replace(cost, terms=cost.terms | PLANTED_TERMS[name])
        for name, cost in (("cpu", law.cpu), ("memory", law.memory))
    )
    return replace(law, cpu=cpu, memory=memory)


@dataclass(frozen=True)
class Scale:
    """Log factors from the recording's costs to the generated ones, solved once so that the heavy share comes out."""

    cpu: float
    memory: float


@dataclass(frozen=True)
class Costs:
    """(N,) each. `mean_*` is before noise; `heavy_probability` is over the noise alone, limits and patience aside."""

    mean_cpu: np.ndarray
    mean_memory: np.ndarray
    heavy_probability: np.ndarray
    cpu_seconds: np.ndarray
    wall_seconds: np.ndarray
    queued_seconds: np.ndarray
    memory_bytes: np.ndarray
    outcome: np.ndarray
    """Index into OUTCOMES."""

    @property
    def is_heavy(self) -> np.ndarray:
        """(N,) by the documented rule: a cost at its threshold, or a resource error."""
        resources = (self.outcome >= CPU_LIMIT) & (self.outcome <= MEMORY_LIMIT)
        return (self.cpu_seconds >= HEAVY_SECONDS) | (self.memory_bytes > HEAVY_BYTES) | resources


class CostModel:
    """The law, with the factors of users planted by `user_factors`, (U,) logs."""

    def __init__(
        self, scenario: Scenario, law: Law, user_factors: np.ndarray, hurried: np.ndarray, scale: Scale
    ) -> None:
        self.scenario, self.law, self.scale = scenario, law, scale
        self._factors, self._hurried = user_factors, hurried
        self.cpu_noise, self.memory_noise = (scenario.noise * cost.noise for cost in (law.cpu, law.memory))

    def expected(self, arrivals: list[Arrival], day: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) log CPU seconds and log bytes before noise."""
        statements = [each.statement for each in arrivals]
        terms = term_rows(statements, [each.estate.size for each in arrivals])
        works = np.array([is_work(each) for each in statements], bool)
        extra = self._factors[[each.user for each in arrivals]]
        extra += TEMPLATE_SPREAD * np.array([each.traits.template for each in statements])
        extra += self.scenario.drift * GROWTH_PER_30_DAYS * day / 30
        extra = np.where(works, extra, 0.0)
        families = [each.family for each in statements]
        cpu = self.law.cpu.means(families, terms) + extra + self.scale.cpu
        return cpu, self.law.memory.means(families, terms) + extra + self.scale.memory

    def draw(self, rng: np.random.Generator, arrivals: list[Arrival], day: int) -> Costs:
        """What the arrivals of one day took."""
        mean_cpu, mean_memory = self.expected(arrivals, day)
        count = len(arrivals)
        cpu = np.exp(mean_cpu + self.cpu_noise * rng.standard_normal(count))
        memory = np.exp(mean_memory + self.memory_noise * rng.standard_normal(count))
        wall = 0.02 + cpu / np.clip(cpu, 1.0, PARALLELISM) * rng.lognormal(0.2, 0.3, count)
        outcome = np.where([each.statement.family == "mistaken" for each in arrivals], MISTAKE, NO_ERROR)
        ends = np.ones(count)
        for kind, limit, used in self._limits(arrivals, cpu, wall, memory):
            stops = (used > limit) & (outcome != MISTAKE) & (limit / used < ends)
            outcome = np.where(stops, kind, outcome)
            ends = np.where(stops, limit / used, ends)
        return Costs(
            mean_cpu, mean_memory, self._heavy_probability(mean_cpu, mean_memory),
            np.maximum(cpu * ends, _CHEAPEST_SECONDS), wall * ends, self._queued(rng, arrivals),
            np.maximum(memory * ends, _SMALLEST_BYTES).astype(np.int64), outcome,
        )  # fmt: skip

    def _limits(
        self, arrivals: list[Arrival], cpu: np.ndarray, wall: np.ndarray, memory: np.ndarray
    ) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Each way to end early: its outcome, its limit, and what counts against it. The one reached first holds."""
        short, long = PATIENCE_SECONDS
        patience = np.array([np.inf if each.patience is None else each.patience for each in arrivals])
        hurried = self._hurried[[each.user for each in arrivals]]
        return [
            (CANCELLED, short + (long - short) * patience, wall),
            (CPU_LIMIT, np.full(len(cpu), CPU_LIMIT_SECONDS), cpu),
            (TIME_LIMIT, np.where(hurried, HURRIED_RUN_LIMIT_SECONDS, RUN_LIMIT_SECONDS), wall),
            (MEMORY_LIMIT, np.full(len(cpu), float(MEMORY_LIMIT_BYTES)), memory),
        ]

    def _queued(self, rng: np.random.Generator, arrivals: list[Arrival]) -> np.ndarray:
        """Seconds in the queue: mostly none, longer about noon."""
        hours = np.array([each.second // 3_600 % 24 for each in arrivals])
        busy = np.exp(-(((hours - 11) / 4.0) ** 2))
        return rng.exponential(0.05 + 2.0 * busy * self.scenario.season) * (rng.random(len(arrivals)) < 0.3)

    def _heavy_probability(self, cpu: np.ndarray, memory: np.ndarray) -> np.ndarray:
        return 1 - _below(np.log(HEAVY_SECONDS) - cpu, self.cpu_noise) * _below(
            np.log(HEAVY_BYTES) - memory, self.memory_noise
        )


def _below(distance: np.ndarray, noise: float) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(distance / noise) if noise > 0 else (distance > 0).astype(float)


def solve_scale(model: CostModel, blocks: list[list[Arrival]], days: list[int]) -> Scale:
    """Factors at which the scenario's share of the pilot's queries is expected to be heavy.

    CPU and memory first get the same reach: each alone marks as many as the other. One factor on both is then solved by
    bisection on the expected share, so that no draw of noise is in it.
    """
    means = [model.expected(block, day) for block, day in zip(blocks, days, strict=True)]
    cpu, memory = (np.concatenate([pair[side] for pair in means]) for side in (0, 1))
    share = model.scenario.heavy_share
    to_cpu = np.log(HEAVY_SECONDS) - np.quantile(cpu, 1 - share)
    to_memory = np.log(HEAVY_BYTES) - np.quantile(memory, 1 - share)
    low, high = -5.0, 5.0
    for _ in range(50):
        middle = (low + high) / 2
        found = model._heavy_probability(cpu + to_cpu + middle, memory + to_memory + middle).mean()
        low, high = (low, middle) if found > share else (middle, high)
    return Scale(float(to_cpu + middle), float(to_memory + middle))
