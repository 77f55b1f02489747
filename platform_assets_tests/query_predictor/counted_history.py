"""History as it is gathered and asked: for tests that compare what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core.engine import Engine
from platform_assets.query_predictor import history, history_values
from platform_assets.query_predictor.history import HistoryOptions
from platform_assets_tests.query_predictor.labelled_rows import LABELLED, Row, write_days


def batch(folder: Path, days: Path, asked: Sequence[Row], options: HistoryOptions) -> np.ndarray:
    """The way of training."""
    table = pa.table(
        {
            "row": pa.array(range(len(asked)), pa.int64()),
            **{name: pa.array([row[name] or "" for row in asked], pa.string()) for name in ("user", "catalog", "schema", "template")},
            "day": pa.array([history.day_number(row["createTime"].date()) for row in asked], pa.int64()),
        }
    )  # fmt: skip
    pq.write_table(table, folder / "asked.parquet")
    path = history.write_asked(engine(folder), folder / "asked.parquet", days, options, folder / "sums.parquet")
    return history_values.from_table(pq.read_table(path), options.strength)


def engine(folder: Path) -> Engine:
    return Engine(folder / "scratch", threads=1)


def gathered(folder: Path, rows: Sequence[Row], options: HistoryOptions) -> Path:
    files = write_days(folder / "labelled", rows)
    if not files:
        files = [folder / "none.parquet"]
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(LABELLED.empty_table(), files[0])
    return history.gather(engine(folder), files, options, folder / "history_days.parquet")
