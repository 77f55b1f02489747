"""What of a day's queries is routed as heavy from which score on, zero-cost stage included: whole counts, for any kind of score.

Queries of safe categories never reach a score: routed as light, and missed where they are heavy. What does not belong here: whether
that is enough (`requirements`), where scores come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Queries:
    """Queries of known label. `is_free`: a safe category's. `dropped_heavy` are heavy ones beside these rows, missed as well."""

    is_heavy: Flags
    is_free: Flags
    dropped_heavy: int = 0

    @property
    def heavy(self) -> int:
        """All heavy queries, whatever becomes of them."""
        return int(self.is_heavy.sum()) + self.dropped_heavy

    @property
    def free_heavy(self) -> int:
        """Those of them that no score can catch."""
        return int((self.is_heavy & self.is_free).sum()) + self.dropped_heavy

    @cached_property
    def reach(self) -> Flags:
        """Who reaches a score."""
        return ~self.is_free

    def part(self, chosen: Flags) -> Queries:
        """Some of the rows; what lies beside them is no part of it."""
        return Queries(self.is_heavy[chosen], self.is_free[chosen])

    def routed(self, routes: Flags) -> Routed:
        """What comes of a decision by row."""
        sent = routes & self.reach
        return Routed(len(sent), int(sent.sum()), self.heavy, int((sent & self.is_heavy).sum()), self.free_heavy)


@dataclass(frozen=True)
class Routed:
    """Counts of a routing, end to end."""

    rows: int
    sent: int
    heavy: int
    caught: int
    free_heavy: int = 0

    @property
    def missed(self) -> int:
        """Heavy queries routed as light, by the score or before it."""
        return self.heavy - self.caught

    @property
    def share(self) -> float:
        """Share of the rows that is routed as heavy; 0 without rows."""
        return self.sent / self.rows if self.rows else 0.0

    @property
    def recall(self) -> float | None:
        """None without a heavy query."""
        return self.caught / self.heavy if self.heavy else None

    @property
    def precision(self) -> float | None:
        """None where nothing is routed."""
        return self.caught / self.sent if self.sent else None

    @property
    def f1(self) -> float | None:
        """None where there is nothing to find and nothing was routed."""
        return 2 * self.caught / (self.sent + self.heavy) if self.sent + self.heavy else None


def share_to_catch(queries: Queries, scores: NDArray[np.floating], caught: int) -> float | None:
    """The least share of rows to route, best scores first, until so many heavy ones are caught; None: not all can be.

    Equal scores are drawn at random, and the expected share counts: no order among them can be claimed.
    """
    heavy = queries.is_heavy[queries.reach]
    if caught > heavy.sum():
        return None
    if caught <= 0:
        return 0.0
    places = np.unique(-scores[queries.reach], return_inverse=True)[1]
    found, sent = np.cumsum(np.bincount(places, heavy)), np.cumsum(np.bincount(places))
    last = int(np.searchsorted(found, caught))
    before = (int(found[last - 1]), int(sent[last - 1])) if last else (0, 0)
    inside, needed = int(found[last]) - before[0], caught - before[0]
    tied = int(sent[last]) - before[1]
    # Of n rows in random order with h heavy ones, the k-th heavy one stands at k * (n + 1) / (h + 1) on average.
    expected = needed * (tied + 1) / (inside + 1)
    return float((before[1] + expected) / len(queries.is_heavy))
