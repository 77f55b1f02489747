"""Kept rows of labelled days, as `labels` writes them: for the tests of history and of feature sets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.query_predictor import templates
from platform_assets.query_predictor.categories import category
from platform_assets.query_predictor.query_rows import QUERIES
from platform_assets_tests.query_predictor.query_samples import typed_query

LABELLED = pa.schema(
    [*QUERIES, ("is_heavy", pa.bool_()), ("heavy_reason", pa.string()), ("boundary_distance", pa.float64()),
     ("template", pa.string()), ("category", pa.string())]
)  # fmt: skip
SAMPLED = pa.schema([*LABELLED, ("inclusion_probability", pa.float64()), ("weight", pa.float64())])
Row = dict[str, Any]


def labelled_row(number: int, created: datetime, lasts: timedelta, **changes: Any) -> Row:
    row = typed_query(number, createTime=created, endTime=created + lasts, **changes)
    heavy = row["cpuTime"] >= 300
    return {
        **row, "is_heavy": heavy, "heavy_reason": "cpu" if heavy else None, "boundary_distance": 1.0,
        "template": templates.template(row["query"]), "category": category(row["query"]), "inclusion_probability": 1.0,
        "weight": 1.0,
    }  # fmt: skip


def write_days(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """One folder per UTC day of creation, one file per label; every file is there."""
    days: dict[date, list[Row]] = {}
    for row in rows:
        days.setdefault(row["createTime"].date(), []).append(row)
    paths = []
    for day, found in days.items():
        for name, heavy in (("false", False), ("true", True)):
            path = folder / f"{day}" / f"is_heavy={name}" / "rows.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist([row for row in found if row["is_heavy"] is heavy], LABELLED), path)
            paths.append(path)
    return paths


def write_split(path: Path, rows: Sequence[Row]) -> Path:
    """A split of a sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rows, key=lambda row: (row["createTime"], row["queryId"]))
    pq.write_table(pa.Table.from_pylist(ordered, SAMPLED), path)
    return path
