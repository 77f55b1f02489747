"""Where the world model's checks draw their lines. Light: loaded with the definitions, so that a deployment can set its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of the weekly checks."""

    quarantine_share: float = 0.05
    """Share of a week's raw rows that may be refused by a rule."""
    row_count_factor: float = 2.0
    """How many times more, or fewer, rows than the median of the weeks before a week may have."""
    trailing_weeks: int = 8
    """The weeks before that a week's rows are compared with; those without rows do not count."""
    least_weeks: int = 3
    """With fewer weeks before, there is nothing to compare with."""
