"""The baskets of a split by date, hour or week, group after group, with no order of the whole split held.

What a batch of them is made of does not belong here (`world_model.loader`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from platform_assets.world_model.dataset import WorldModelDataset

# What is asked for, and the column that says it.
GROUPS = {"date": "day", "hour": "hour", "week": "week"}
# Of a split, read at a time while looking for the baskets of a group.
SCANNED = 2**20


class Groups:
    """The baskets of at least `minimum_items`, and of these the `chosen` [baskets of the split] ones, or all.

    Raises ValueError for a `group_by` that there is none of.
    """

    def __init__(
        self,
        dataset: WorldModelDataset,
        group_by: str | None,
        minimum_items: int,
        chosen: NDArray[np.bool_] | None = None,
    ) -> None:
        if group_by is not None and group_by not in GROUPS:
            raise ValueError(f"group_by is one of {', '.join(GROUPS)}, or None, not {group_by!r}")
        self._dataset, self._group_by, self._least = dataset, group_by, minimum_items
        self._chosen = chosen

    def pieces(self, size: int) -> Iterator[tuple[int | None, NDArray[np.int64]]]:
        """Baskets by group in the order of their keys, at most `size` of them at a time."""
        for group in self._groups():
            waiting = np.zeros(0, np.int64)
            for rows in self._members(group):
                waiting = np.concatenate([waiting, rows])
                while len(waiting) >= size:
                    yield group, waiting[:size]
                    waiting = waiting[size:]
            if len(waiting):
                yield group, waiting

    def key(self, group: int | None) -> str | int | None:
        """The ISO date, the hour, or the Monday of the week; None without groups."""
        if group is None or self._group_by == "hour":
            return group
        if self._group_by == "week":
            return self._dataset.cache.weeks[group]
        first = date.fromisoformat(self._dataset.cache.document["first_day"])
        return (first + timedelta(days=group)).isoformat()

    def _groups(self) -> list[int | None]:
        if self._group_by is None:
            return [None]
        column = getattr(self._dataset.arrays, GROUPS[self._group_by])
        seen = {
            int(each) for start in range(0, len(column), SCANNED) for each in np.unique(column[start : start + SCANNED])
        }
        return [*sorted(seen)]

    def _members(self, group: int | None) -> Iterator[NDArray[np.int64]]:
        """The baskets of a group that are asked for. The split is read again for each group: their order would be as large as it."""
        arrays = self._dataset.arrays
        for start in range(0, len(arrays), SCANNED):
            stop = min(start + SCANNED, len(arrays))
            rows = np.arange(start, stop)
            if self._group_by is not None:
                rows = start + np.flatnonzero(getattr(arrays, GROUPS[self._group_by])[start:stop] == group)
            rows = rows[arrays.offsets[rows + 1] - arrays.offsets[rows] >= self._least]
            yield rows if self._chosen is None else rows[self._chosen[rows]]
