"""What to record or to generate: size, seed, calendar, limits, and how strong each planted effect is.

What does not belong here: how anything is drawn. The same scenario always gives the same statements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

FORMATS = ("parquet", "jsonl", "table")
MOST_DAYS = 3_650
MOST_ROWS = 200_000_000
DEFAULT_START = date(2025, 6, 2)
"""A Monday, so that weeks of a recording are whole."""
MOST_USERS = 20_000
ROWS_PER_USER = 2_500
FEWEST_USERS = 40


class SimulatorError(RuntimeError):
    """The scenario or the folder does not allow what was asked; the message names the remedy."""


@dataclass(frozen=True)
class Recording:
    """One recording: `queries` statements over `days` days, each really run with the limits below."""

    queries: int = 6_300
    days: int = 63
    start: date = DEFAULT_START
    users: int = 40
    seed: int = 7
    scale: float = 0.2
    """TPC-H scale factor of schema `sales`; `sandbox` holds a tenth of its rows."""
    cpu_limit_seconds: float = 0.3
    """A query that uses more CPU is interrupted: EXCEEDED_CPU_LIMIT."""
    hurried_cpu_limit_seconds: float = 0.2
    """The limit that dashboards ask for in their sessions. Limits and patience are CPU time, as wall time is the machine's."""
    memory_limit_mb: int = 256
    """What DuckDB may hold; without a place to spill it gives up: EXCEEDED_LOCAL_MEMORY_LIMIT."""

    def __post_init__(self) -> None:
        _within("queries", self.queries, self.days, 1_000_000)
        _within("days", self.days, 1, MOST_DAYS)
        _within("users", self.users, 6, MOST_USERS)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("scale", self.scale, 0.001, 100)
        _within("cpu_limit_seconds", self.cpu_limit_seconds, 0.05, 3_600)
        _within("hurried_cpu_limit_seconds", self.hurried_cpu_limit_seconds, 0.05, 3_600)
        _within("memory_limit_mb", self.memory_limit_mb, 32, 1_000_000)


@dataclass(frozen=True)
class Scenario:
    """One generated log: `rows` queries over `days` days, with costs from the law of a recording."""

    rows: int
    days: int = 63
    start: date = DEFAULT_START
    users: int | None = None
    """None takes one per 2,500 rows, 40 to 20,000."""
    seed: int = 7
    heavy_share: float = 0.02
    """Share of all rows that are heavy; one factor on all costs is solved for it."""
    repeat_share: float = 0.35
    """Probability that a person sends one of the last texts again, on top of what dashboards repeat by themselves."""
    season: float = 1.0
    """Strength of weekdays, hours and month ends: 0 makes all hours alike."""
    drift: float = 1.0
    """How fast users come and go and new templates replace old ones: 0 keeps both."""
    user_spread: float = 0.5
    """Standard deviation of the planted log factor that a user's data puts on all of the user's costs."""
    noise: float = 1.0
    """Factor on the law's noise, which is the recording's unexplained spread within one template."""
    text_change_day: int | None = None
    """First day, counted from 0, from which a share of the texts is written another way: a planted covariate shift. None: never."""
    text_change_share: float = 0.5
    """Share of the queries that read tables which the change reaches."""

    def __post_init__(self) -> None:
        _within("rows", self.rows, self.days, MOST_ROWS)
        _within("days", self.days, 1, MOST_DAYS)
        _within("users", self.user_count, 6, MOST_USERS)
        _within("seed", self.seed, 0, 2**63 - 1)
        _within("heavy_share", self.heavy_share, 0.001, 0.5)
        _within("repeat_share", self.repeat_share, 0, 0.95)
        for name in ("season", "drift", "user_spread", "noise"):
            _within(name, getattr(self, name), 0, 10)
        if self.text_change_day is not None:
            _within("text_change_day", self.text_change_day, 0, self.days - 1)
        _within("text_change_share", self.text_change_share, 0, 1)

    @property
    def user_count(self) -> int:
        """Users, with the default worked out."""
        if self.users is not None:
            return self.users
        return min(max(self.rows // ROWS_PER_USER, FEWEST_USERS), MOST_USERS)


def days_of(scenario: Recording | Scenario) -> list[date]:
    """The calendar, one UTC day after the other."""
    return [scenario.start + timedelta(days=number) for number in range(scenario.days)]


def _within(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise SimulatorError(f"{name} is {value}; write a number from {least:,} to {most:,}")
