"""What to simulate: size, dates, seed, and how often each fault of a real log is planted.

What does not belong here: how anything is drawn. The same scenario always gives the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from pathlib import Path

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FRIDAY = 4
# Plans drawn uniformly are a little more than asked for, so that lost events do not push the logged share below it.
RANDOMISED_MARGIN = 1.03
# Rows a chunk may hold, as household-weeks: about 20,000 events, whatever the scenario's size.
HOUSEHOLD_WEEKS_PER_CHUNK = 6_000


class SimulatorError(RuntimeError):
    """The scenario or the database does not allow what was asked; the message names the remedy."""


@dataclass(frozen=True)
class Faults:
    """Share of each fault; at most one fault per event. A share above 0 plants at least one where anything can carry it."""

    late: float = 0.01
    """Events recorded 1 to 6 days after they happened; still valid."""
    resent: float = 0.005
    """Events sent again: same type, plan_id, request_id and timestamp, a new id and a later created_at."""
    malformed_payload: float = 0.005
    """Events whose payload breaks the contract of their type (see faults.PAYLOAD_KINDS)."""
    unknown_event_type: float = 0.003
    """Events of a type that nobody documented."""
    missing_policy_version_id: float = 0.003
    """Events whose context lacks policy_version_id."""
    missing_experiment_id: float = 0.002
    """Events with an entry of experiments that lacks experiment_id."""
    missing_variant_id: float = 0.002
    """Events with an entry of experiments that lacks variant_id."""
    clock_skew: float = 0.003
    """Events whose timestamp lies 1 to 12 hours after created_at."""
    unknown_household: float = 0.003
    """Plans all of whose events carry a unit_id that is in no household table."""
    malformed_pantry: float = 0.005
    """Pantry snapshots whose items break the contract (see faults.PANTRY_KINDS)."""
    empty_day: float = 0.015
    """Days without any event: plans that touch such a day are missing as a whole."""

    def __post_init__(self) -> None:
        for each in fields(self):
            share = getattr(self, each.name)
            if not 0 <= share <= 0.5:
                raise SimulatorError(f"fault share {each.name} is {share}; write a number from 0 to 0.5")

    @classmethod
    def none(cls) -> Faults:
        """A log without faults."""
        return cls(**{each.name: 0.0 for each in fields(cls)})


@dataclass(frozen=True)
class Scenario:
    """One simulated world; events happen in [start, start + 7 * weeks days), UTC."""

    seed: int
    households: int
    start: date
    """A Friday: the planner's weeks start there."""
    weeks: int
    recipes_file: Path | None = None
    """Real recipes (JSON lines) instead of the invented catalogue."""
    faults: Faults = field(default_factory=Faults)
    randomised_share: float = 0.1
    """Share of plans drawn uniformly from the household's admissible recipes."""

    def __post_init__(self) -> None:
        if self.start.weekday() != FRIDAY:
            raise SimulatorError(f"start {self.start} is a {self.start:%A}; the planner's weeks start on Friday")
        if self.households < 1 or self.weeks < 1 or self.seed < 0:
            raise SimulatorError("households and weeks must be 1 or more, and the seed 0 or more")
        if not 0 <= self.randomised_share <= 1:
            raise SimulatorError(f"randomised_share is {self.randomised_share}; write a number from 0 to 1")

    @property
    def start_us(self) -> int:
        """First instant, in microseconds since 1970."""
        return midnight_us(self.start)

    @property
    def end_us(self) -> int:
        """First instant after the last, in microseconds since 1970."""
        return self.start_us + self.weeks * WEEK

    @property
    def chunk_households(self) -> int:
        """Households that are simulated together; bounds the memory that a scenario of any size needs."""
        return max(50, HOUSEHOLD_WEEKS_PER_CHUNK // self.weeks)


def midnight_us(day: date) -> int:
    """Midnight UTC of a date, in microseconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND
