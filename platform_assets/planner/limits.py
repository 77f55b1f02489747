"""Where the planner's checks draw their lines. Light: loaded with the definitions, so that a deployment can set its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Limits:
    """Limits of the daily checks; those of drift stand in `planner.drift`."""

    quarantine_share: float = 0.05
    """Share of a day's events that may be refused by a rule; re-sent events do not count."""
    join_coverage: float = 0.95
    """Share of accepted plans whose household, constraints and pantry must be known."""
    source_lag: timedelta = timedelta(hours=6)
    """How long before the end of a day the source's newest recording may lie."""
