"""Digest: `digest_table` on a million narrow rows, against md5 over each row's JSON.

md5 over JSON is what one writes without an engine's hash(): in Python (json.dumps, hashlib), or in the same engine
(`md5_number(to_json(row))`). Both are measured on a sample: their rates do not depend on the number of rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import BenchmarkError, in_own_process, median_peak, median_rate, rate_ratio, take_turns
from benchmarks.table import Line

ROWS, SAMPLE_ROWS = 1_000_000, 102_400
# Of the sample: small enough that every thread of the engine has several.
SAMPLE_ROW_GROUP = 10_240
TARGET = 1_000_000
# A text that never repeats, because one that does is hashed once per dictionary entry and flatters us.
ROWS_SQL = """
    SELECT md5(i::VARCHAR) AS event_id, hash(i) % 20000 AS household, TIMESTAMPTZ '2026-01-02' + i * INTERVAL '1' SECOND AS happened_at,
           'recipe_' || hash(i, 1) % 900 AS recipe_id, (hash(i, 2) % 1000) / 7.0::DOUBLE AS cost, hash(i, 3) % 2 = 0 AS kept
    FROM range({rows}) AS r(i)
"""


def run(folder: Path) -> list[Line]:
    """Two lines, one a peer."""
    import duckdb

    whole, sample = folder / "whole.parquet", folder / "sample.parquet"
    for path, rows, group in ((whole, ROWS, 100_000), (sample, SAMPLE_ROWS, SAMPLE_ROW_GROUP)):
        duckdb.sql(f"COPY ({ROWS_SQL.format(rows=rows)}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE {group})")
    contestants = ((digest, whole), (md5_in_engine, sample), (md5_in_python, sample))
    ours, engine, python = take_turns(*(partial(in_own_process, work, path=str(path)) for work, path in contestants))
    if (counted := [ours[0].items, engine[0].items, python[0].items]) != [ROWS, SAMPLE_ROWS, SAMPLE_ROWS]:
        raise BenchmarkError(f"digest: the contestants counted {counted} rows")
    rate = median_rate(ours)
    first = {"target": f">= {TARGET:,} rows/s", "met": rate >= TARGET}
    return [
        Line(
            "digest: 1 M narrow rows",
            f"{rate:,.0f} rows/s",
            f"{median_rate(peer):,.0f} rows/s ({name}, {SAMPLE_ROWS:,} rows, scaled)",
            f"{rate_ratio(ours, peer):.1f}x",
            f"{median_peak(ours):,.0f}",
            **target,
        )
        for peer, name, target in (
            (python, "md5 of JSON in Python", first),
            (engine, "md5 of JSON in DuckDB", {}),
        )
    ]


def digest(path: str) -> Callable[[], int]:
    """Ours."""
    import duckdb  # noqa: F401  (loaded outside the clock, as for the peers)

    from platform_assets.core.digest import digest_table

    return lambda: digest_table([Path(path)]).rows


def md5_in_engine(path: str) -> Callable[[], int]:
    """The same multiset idea, a sum of md5 over each row as JSON."""
    import duckdb

    sql = (
        f"SELECT count(*), sum(md5_number(to_json(t)::VARCHAR) % 18446744073709551616) FROM read_parquet('{path}') AS t"
    )

    def work() -> int:
        with duckdb.connect() as connection:
            found = connection.execute(sql).fetchone()
        return found[0] if found else 0

    return work


def md5_in_python(path: str) -> Callable[[], int]:
    """Row by row: json.dumps, md5, summed."""
    import pyarrow.parquet as pq

    def work() -> int:
        rows = total = 0
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                text = json.dumps(row, sort_keys=True, default=str)
                total += int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "big")
                rows += 1
        return rows

    return work
