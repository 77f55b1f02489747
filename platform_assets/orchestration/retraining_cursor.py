"""What the retraining sensor knows between two ticks: how far it has read, what it asked for last, which weeks wait.

All of it is in the sensor's own cursor, as JSON. What does not belong here: whether a waiting week is due (`retraining`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import dagster as dg


@dataclass
class Cursor:
    """What the sensor knows between ticks; all of it is in the sensor's own cursor."""

    storage_id: int = 0
    last_week: str = ""
    new_rows: dict[str, int] = field(default_factory=dict)
    """Rows of the passed weeks after `last_week` that no training was requested for yet: the weeks that wait."""
    inherited_id: int = 0
    """The newest materialisation when the sensor was switched on: it and all before it are inherited."""
    inherited_week: str = ""
    """The newest inherited week; none where there was no dataset yet."""
    urgent: dict[str, str] = field(default_factory=dict)
    """Waiting weeks that do not wait for the gap of weeks, and why; kept so that no tick reads a week again to know it."""

    @classmethod
    def read(cls, text: str | None) -> Cursor | None:
        """From the sensor's cursor; None on its very first tick. A field that an older version did not write is empty."""
        return cls(**json.loads(text)) if text else None

    @classmethod
    def switched_on(cls, instance: dg.DagsterInstance, dataset: dg.AssetKey) -> Cursor:
        """The first tick's: nothing was read yet, and what is there is inherited."""
        newest = instance.fetch_materializations(dataset, limit=1).records
        return cls(inherited_id=newest[0].storage_id if newest else 0)

    def write(self) -> str:
        """As the sensor's cursor."""
        return json.dumps(asdict(self), sort_keys=True)

    def take(self, storage_id: int, week: str | None) -> str | None:
        """Step past a materialisation; returns its week. A range's own record has none."""
        self.storage_id = storage_id
        if week and storage_id <= self.inherited_id:
            self.inherited_week = max(self.inherited_week, week)
        return week

    def waits(self, week: str, rows: int, urgent: str) -> None:
        """A week's dataset is there and passed: so many rows, and why it is urgent, if it is."""
        self.new_rows[week] = rows
        self.urgent.pop(week, None)
        if urgent:
            self.urgent[week] = urgent

    def is_out(self, week: str) -> None:
        """The week does not wait any more."""
        self.new_rows.pop(week, None)
        self.urgent.pop(week, None)

    def trained(self, week: str, say: Callable[[str], None]) -> None:
        """A training of the week is requested, or was done: it and those before it wait no longer."""
        if behind := sorted(older for older in self.new_rows if older < week):
            say(f"no training of their own for {', '.join(behind)}: {week} is newer")
        self.last_week = week
        self.new_rows = {later: rows for later, rows in self.new_rows.items() if later > week}
        self.urgent = {later: why for later, why in self.urgent.items() if later > week}
