"""The rows of a replay as a table: what a query was, what each policy made of it, what that costs. A row each query, once.

Everything that a verdict rests on is a column, so that a verdict follows from the table alone. What does not belong here: means over
rows (`replay_summary`), the verdict (`judgement`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.query_predictor import query_baselines
from platform_assets.query_predictor.replay_rows import ReplayRows
from platform_assets.query_predictor.replay_sides import Side

SEEN, UNSEEN = "seen", "unseen"


def table_of(rows: ReplayRows, sides: dict[str, Side], cost_fn: float, cost_fp: float) -> pa.Table:
    """`sides` by name, candidate and baseline; both pay the same for a mistake."""
    split = rows.features
    days = split.created.astype("datetime64[D]")
    # The first day that numpy knows was a Thursday.
    mondays = days - (days.astype(np.int64) + 3) % 7
    columns = {
        "query_id": pa.array(rows.query_id, pa.string()),
        "created": pa.array(split.created.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC")),
        "cluster": pa.array(split.template.astype(str), pa.string()),
        "category": pa.array(split.category.astype(str), pa.string()),
        "slice_template": pa.array(np.where(split.seen_template, SEEN, UNSEEN), pa.string()),
        "slice_week": pa.array(mondays.astype(str), pa.string()),
        "is_heavy": pa.array(split.is_heavy),
        "online_route": pa.array(rows.online, pa.string()),
        # What ranks by history has the candidate's, as old as the candidate has it.
        **{f"{name}_score": pa.array(rank(split)) for name, rank in query_baselines.BASELINES.items()},
    }
    for name, side in sides.items():
        columns |= _of_side(name, side, split.is_heavy, cost_fn, cost_fp)
    return pa.table(columns)


def write(table: pa.Table, path: Path) -> None:
    """The same bytes for the same rows."""
    pq.write_table(table, path, compression="zstd")


def _of_side(name: str, side: Side, is_heavy: np.ndarray, cost_fn: float, cost_fp: float) -> dict[str, pa.Array]:
    missed, false_alarm = is_heavy & ~side.routed, side.routed & ~is_heavy
    found = {
        "score": side.scores,
        "is_free": side.queries.is_free,
        "routed": side.routed,
        "missed": missed,
        "false_alarm": false_alarm,
        # Heavy queries beside all rows that it lets by are missed as well: the same on each row, as is what they cost.
        "cost": cost_fn * missed + cost_fp * false_alarm + cost_fn * side.queries.dropped_heavy / max(1, len(is_heavy)),
        "dropped_heavy": np.full(len(is_heavy), side.queries.dropped_heavy, np.int64),
    }
    return {f"{name}_{column}": pa.array(values) for column, values in found.items()}
