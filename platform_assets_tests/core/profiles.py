"""Tables and profiles that tests of profiles and drift share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from platform_assets.core.column_profile import TOP_K, ColumnProfile, Distribution, TopValues
from platform_assets.core.drift import ColumnDrift, compare
from platform_assets.core.drift_verdict import Thresholds
from platform_assets.core.profile import Profile, profile_table

NUMBERS = st.one_of(
    st.none(),
    st.floats(-1e300, 1e300),
    st.sampled_from([0.0, -0.0, 1.0, 2.5, float("nan"), float("inf"), -float("inf")]),
)
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "", "é"]), st.text(st.characters(codec="utf-8"), max_size=5))
ITEMS = st.one_of(
    st.none(), st.lists(st.one_of(st.none(), st.fixed_dictionaries({"r": TEXTS, "n": NUMBERS})), max_size=3)
)
ROWS = st.lists(st.fixed_dictionaries({"x": NUMBERS, "s": TEXTS, "l": ITEMS}), max_size=60)
SCHEMA = pa.schema(
    {"x": pa.float64(), "s": pa.string(), "l": pa.list_(pa.struct({"r": pa.string(), "n": pa.float64()}))}
)
LIMITS = Thresholds()


def profile_of(folder: Path, table: pa.Table, **options: Any) -> Profile:
    pq.write_table(table, folder / "table.parquet", row_group_size=7 if table.num_rows < 1000 else None)
    return profile_table([folder / "table.parquet"], **options)


def table_profile(folder: Path, **columns: Any) -> Profile:
    return profile_of(folder, pa.table(columns), threads=1)


def column_of(folder: Path, values: Any, kind: pa.DataType | None = None) -> ColumnProfile:
    return profile_of(folder, pa.table({"c": pa.array(values, kind)})).columns["c"]


def rows_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def top_of(counts: dict[int, int]) -> TopValues:
    ordered = sorted(((f"v{value}", count) for value, count in counts.items()), key=lambda item: (-item[1], item[0]))
    other = sum(count for _, count in ordered[TOP_K:])
    return TopValues(tuple(ordered[:TOP_K]), other, unlisted=ordered[TOP_K - 1][1] if other else 0)


def numbers(values: Sequence[float], nulls: int = 0) -> Profile:
    """The profile of a column `c`, made here from the definition, with every value as an edge."""
    counts = Counter(float(value) for value in values)
    finite = sorted(value for value in counts if np.isfinite(value))
    distribution = Distribution(
        tuple(finite),
        tuple(float(counts[value]) for value in finite),
        (0.0,) * max(len(finite) - 1, 0),
        float(counts[-float("inf")]),
        float(counts[float("inf")]),
    )
    rows = len(values) + nulls
    column = ColumnProfile("number", rows, nulls, len(counts), len(counts), distribution=distribution)
    return Profile(rows, {"c": column})


def texts(counts: dict[str, int], nulls: int = 0, other: int = 0, distinct: int | None = None) -> Profile:
    """The profile of a text column `c` with these counts."""
    rows = sum(counts.values()) + nulls + other
    distinct = distinct or len(counts)
    ordered = tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    top = TopValues(ordered, other, unlisted=ordered[-1][1] if other else 0)
    return Profile(rows, {"c": ColumnProfile("text", rows, nulls, distinct, distinct, top=top)})


def only(reference: Profile, current: Profile) -> ColumnDrift:
    [drift] = compare(reference, current)
    return drift
