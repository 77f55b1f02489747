"""The ground truth: one row per planted fault, the latent tastes, and the files they are written to.

What does not belong here: planting. Nothing of this reaches the database; a pipeline is judged against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from platform_assets.simulators.meal_app.catalogue import Catalogue
from platform_assets.simulators.meal_app.events import EventLog
from platform_assets.simulators.meal_app.households import Population

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("household_id", pa.string()),
        ("plan_id", pa.string()),
        ("event_type", pa.string()),
        ("day", pa.date32()),
        ("fault", pa.string()),
        ("expected", pa.string()),
        ("rule", pa.string()),
    ]
)
GROUND_TRUTH_FILE, TASTES_FILE, ATTRIBUTES_FILE = "ground_truth.parquet", "tastes.parquet", "recipe_attributes.parquet"


@dataclass
class Ledger:
    """Rows of truth, collected while faults are planted.

    expected says where a correct pipeline leaves the row: `quarantined_events` under `rule`; `events`, because it is valid;
    or `excluded` from the enriched plans, under `rule`. `fault` names the kind more closely than `rule`.
    """

    parts: list[pa.Table] = field(default_factory=list)

    def note(self, log: EventLog, rows: np.ndarray, fault: str | list[str], expected: str, rule: str) -> None:
        """Write down these rows of the log, as they are now."""
        taken = log.table.select(["id", "unit_id", "event_type", "timestamp"]).take(pa.array(rows))
        columns = [
            taken["id"],
            taken["unit_id"],
            log.plan_ids.take(pa.array(log.plan[rows])),
            taken["event_type"],
            pc.cast(taken["timestamp"], pa.date32()),
            pa.repeat(fault, len(rows)) if isinstance(fault, str) else pa.array(fault, pa.string()),
            pa.repeat(expected, len(rows)),
            pa.repeat(rule, len(rows)),
        ]
        self.parts.append(pa.Table.from_arrays(columns, schema=SCHEMA))

    def table(self) -> pa.Table:
        """All rows, in the order they were written down."""
        return pa.concat_tables([SCHEMA.empty_table(), *self.parts])


def empty_day_rows(days: np.ndarray) -> pa.Table:
    """One row per day without events; a correct pipeline writes that day's partition, with no rows in it."""
    count = len(days)
    columns = {field.name: pa.nulls(count, field.type) for field in SCHEMA}
    columns["day"] = pa.array(days.astype("int32"), pa.int32()).cast(pa.date32())
    columns |= {name: pa.repeat(value, count) for name, value in _EMPTY_DAY.items()}
    return pa.table(columns, schema=SCHEMA)


_EMPTY_DAY = {"fault": "empty_day", "expected": "events", "rule": "empty_day"}


def taste_rows(catalogue: Catalogue, people: Population) -> pa.Table:
    """One row per household: household_id, and what it feels about each attribute."""
    names, _ = catalogue.attributes
    return pa.table({"household_id": people.ids} | dict(zip(names, map(pa.array, people.taste.T), strict=True)))


def attribute_rows(catalogue: Catalogue) -> pa.Table:
    """One row per recipe: id and attributes; a household's utility of it is the dot product with its taste."""
    names, matrix = catalogue.attributes
    identifiers = pa.array([recipe.id for recipe in catalogue.recipes])
    return pa.table({"recipe_id": identifiers} | dict(zip(names, map(pa.array, matrix.T), strict=True)))


class TruthFiles:
    """Writes the truth into a folder, part by part, so that a large scenario need not fit in memory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> TruthFiles:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def write(self, name: str, rows: pa.Table) -> None:
        """Append rows to one of the files."""
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(self.folder / name, rows.schema)
        self._writers[name].write_table(rows)
