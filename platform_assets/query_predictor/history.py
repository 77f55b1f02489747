"""What was known of users, catalogs, schemas and templates at 00:00 UTC of each day, from the labelled stream, unsampled.

A query counts on day D iff it had ended by D 00:00 less the delay: one that runs for three days says nothing until then, and a
query never enters the history of its own day. One pass over the rows gives what each day adds (`gather`); sums are of whole
numbers, so that a snapshot is that of the day before plus one day, bit for bit. From the same table come snapshots, which
serving opens (`history_snapshot`), and the sums of asked rows, which training needs. What does not belong here: the arithmetic
from sums to features (`history_values`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine, Parameter
from platform_assets.query_predictor.documented_keys import HEAVY_ERRORS
from platform_assets.query_predictor.history_values import STRENGTH

SQL = Path(__file__).parent / "sql"
CODE_VERSION = transform.code_version(
    Path(__file__).parent / "history_values.py",
    *(SQL / f"{name}.sql" for name in ("history_days", "history_snapshot", "history_asked")),
)
EPOCH = date(1970, 1, 1)
NAME = "history.json"
TABLES = ("users", "catalogs", "schemas", "templates")
_EVERY_DAY = 1_000_000


@dataclass(frozen=True)
class HistoryOptions:
    """What counts. Stored with a snapshot, so that whoever recounts it asks the same."""

    delay: timedelta = timedelta(0)
    """How long after its end a query is known of, in whole seconds."""
    window_days: int | None = None
    """For how many days a query counts once it is known of; None: for good, as far as rows are given."""
    strength: float = STRENGTH
    """How many queries of the average a share is shrunk by."""
    resource_errors: tuple[str, ...] = HEAVY_ERRORS
    """Names of errors that count as failed."""

    def __post_init__(self) -> None:
        if self.delay < timedelta(0) or self.delay.microseconds:
            raise ValueError(f"a delay of {self.delay} is no whole number of seconds from 0 on")
        if self.window_days is not None and self.window_days < 1:
            raise ValueError(f"a window of {self.window_days} days holds no query: give 1 or more, or None for all")
        if self.strength <= 0:
            raise ValueError(f"a strength of {self.strength} does not shrink: give a number above 0")

    def as_of(self, day: date) -> datetime:
        """Up to when queries must have ended to count on a day."""
        return datetime.combine(day, time(), UTC) - self.delay

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for history.json."""
        return {
            "delay_seconds": int(self.delay.total_seconds()), "window_days": self.window_days, "strength": self.strength,
            "resource_errors": list(self.resource_errors),
        }  # fmt: skip

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> HistoryOptions:
        """What `to_mapping` gave. Raises KeyError, TypeError or ValueError for anything else."""
        delay = timedelta(seconds=content["delay_seconds"])
        return cls(delay, content["window_days"], content["strength"], tuple(content["resource_errors"]))


def gather(engine: Engine, labelled: Sequence[Path], options: HistoryOptions, target: Path) -> Path:
    """Write what each day adds, from the kept rows of all labelled days that may matter, in any order."""
    parameters: dict[str, Parameter] = {
        "epoch": EPOCH,
        "delay_seconds": int(options.delay.total_seconds()),
        "resource_errors": ",".join(options.resource_errors),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    engine.run(
        transform.load(SQL / "history_days.sql"), {"labelled_queries": labelled}, {"history_days": target}, parameters
    )
    return target


def write_snapshot(engine: Engine, history_days: Path, day: date, options: HistoryOptions, folder: Path) -> Path:
    """Write the snapshot of a day into `folder`: one table per kind of key, and history.json."""
    folder.mkdir(parents=True, exist_ok=True)
    totals = folder / "totals.parquet"
    engine.run(
        transform.load(SQL / "history_snapshot.sql"),
        {"history_days": [history_days]},
        {**{name: folder / f"{name}.parquet" for name in TABLES}, "totals": totals},
        {"day": day_number(day), "window_days": options.window_days or _EVERY_DAY},
    )
    counts = pq.ParquetFile(totals).read().to_pylist()[0]
    totals.unlink()
    content = {"day": day.isoformat(), "as_of": options.as_of(day).isoformat(), **options.to_mapping(), "all": counts}
    content["keys"] = {name: _rows(folder / f"{name}.parquet") for name in TABLES}
    (folder / NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder


def write_asked(engine: Engine, asked: Path, history_days: Path, options: HistoryOptions, target: Path) -> Path:
    """Write the sums that rows see, in the order of `row`.

    `asked` has row, user, catalog and schema ('' where not told), template, and day: the day it was created (`day_number`).
    """
    engine.run(
        transform.load(SQL / "history_asked.sql"),
        {"asked": [asked], "history_days": [history_days]},
        {"asked_history": target},
        {"window_days": options.window_days or _EVERY_DAY},
    )
    return target


def read_report(folder: Path) -> dict[str, Any]:
    """What `write_snapshot` says of a snapshot: day, as_of, options, counts of all queries and of keys."""
    return json.loads((folder / NAME).read_text(encoding="utf-8"))


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def _rows(path: Path) -> int:
    return pq.read_metadata(path).num_rows
