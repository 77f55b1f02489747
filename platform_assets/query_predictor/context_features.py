"""The 8 features of what is known of a query besides its text: when it was created, and the session it came from.

What does not belong here: who sent it. A user says something by what the user did before, which is history's, not by a name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

_DAY = 86_400
_MONDAY = 4 * _DAY  # 1970-01-05, in seconds since 1970-01-01
_SATURDAY = 5


@dataclass(frozen=True)
class Context:
    """A query's session. `created` must say its time zone; empty texts count as missing."""

    created: datetime
    catalog: str | None = None
    schema: str | None = None
    client_info: str | None = None


def context_features(context: Context) -> NDArray[np.float32]:
    """Float32 [8] in the order of CONTEXT_FEATURES. Raises ValueError for a creation time without a time zone."""
    if context.created.tzinfo is None:
        raise ValueError(
            "the creation time of a query has no time zone: give it one, datetime.UTC for Trino's own logs"
        )
    seconds = (context.created - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    hour, weekday = (2 * math.pi * (seconds % _DAY) / _DAY), int((seconds - _MONDAY) // _DAY % 7)
    day = 2 * math.pi * weekday / 7
    return np.array(
        [
            math.sin(hour), math.cos(hour), math.sin(day), math.cos(day), weekday >= _SATURDAY,
            bool(context.catalog), bool(context.schema), len(context.client_info or ""),
        ],
        np.float32,
    )  # fmt: skip
