"""Where the checks of the query predictor's days and weeks draw their lines. Light: loaded with the definitions, so that a deployment can
set its own. What is heavy, and how a sample is drawn, does not belong here (`configuration`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of the daily checks, and of the weekly ones that have any."""

    quarantine_share: float = 0.05
    """Share of a day's rows that may be refused by a rule."""
    row_count_factor: float = 2.0
    """How many times more, or fewer, queries than the median of the same weekdays before a day may have."""
    heavy_share_factor: float = 2.0
    """How many times more, or less, heavy than the days before a day may be, beyond what chance explains."""
    trailing_weeks: int = 4
    """The weeks before that a day is compared with."""
    least_days: int = 2
    """With fewer published days to compare with, there is nothing to say."""
    parse_fallback_share: float = 0.1
    """Share of a week's queries whose text no parser reads: their features are those of tokens alone."""
