"""What a model knows of the past when a replayed query is asked: its own snapshot, as old as it is by then.

A model serves with one snapshot, of the Monday after its week, and nothing refreshes it. Queries of that day and later are given the
17 numbers of the snapshot, however old it is when they come. Those before keep the numbers of their own day, which the features have:
the snapshot would know how they ended. What does not belong here: the 78 numbers of text and session, and terms (`replay_rows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from platform_assets.query_predictor.features import BASE_FEATURE_COUNT
from platform_assets.query_predictor.history_snapshot import HistorySnapshot
from platform_assets.query_predictor.split_features import Matrix, SplitFeatures

COLUMNS = ("user", "catalog", "schema")


@dataclass(frozen=True)
class ServedHistory:
    """Of R rows, as one model is given them. `values` [R, 17]; `age` [R]: whole days from the day of what is known to the row's."""

    day: date
    """The snapshot's."""
    values: Matrix
    is_of_snapshot: NDArray[np.bool_]
    age: NDArray[np.int64]

    def document(self) -> dict[str, Any]:
        """As JSON values; a row whose numbers are of its own day has an age of 0."""
        return {
            "snapshot": self.day.isoformat(), "rows_of_snapshot": int(self.is_of_snapshot.sum()),
            "mean_days": float(self.age.mean()), "max_days": int(self.age.max()),
        }  # fmt: skip


def as_served(
    rows: SplitFeatures, batches: Iterable[pa.RecordBatch], snapshots: Sequence[HistorySnapshot]
) -> tuple[ServedHistory, ...]:
    """One for each snapshot. `batches` hold COLUMNS of the rows, in their order."""
    found = tuple(_own_days(rows, each) for each in snapshots)
    start = 0
    for batch in batches:
        named = [batch[name].to_pylist() for name in COLUMNS]
        stop = start + batch.num_rows
        for snapshot, history in zip(snapshots, found, strict=True):
            for place in (np.flatnonzero(history.is_of_snapshot[start:stop]) + start).tolist():
                user, catalog, schema = (values[place - start] for values in named)
                history.values[place] = snapshot.features(user or "", catalog, schema, str(rows.template[place]))
        start = stop
    return found


def _own_days(rows: SplitFeatures, snapshot: HistorySnapshot) -> ServedHistory:
    """The features' own numbers, and which of them the snapshot replaces."""
    past = (rows.created.astype("datetime64[D]") - np.datetime64(snapshot.day)).astype(np.int64)
    values = np.array(rows.numbers[:, BASE_FEATURE_COUNT:], np.float32)
    return ServedHistory(snapshot.day, values, past >= 0, np.maximum(past, 0))
