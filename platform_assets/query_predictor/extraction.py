"""One UTC day of queries: out of a source, judged and typed, and parted into queries and quarantined rows.

Rows read = queries + quarantined rows + exact copies, whatever the source holds. The result lies in a scratch folder; publishing
it is the asset's business.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.core import transform
from platform_assets.core.engine import Engine
from platform_assets.core.quality import Outcome
from platform_assets.query_predictor import (
    event_table,
    query_rows,
    source_json_lines,
    source_parquet,
    source_table,
    sources,
    text_hash,
)
from platform_assets.query_predictor.query_rows import QUARANTINED, TYPED, RawQuery, Refused
from platform_assets.query_predictor.sources import Source

SQL = Path(__file__).parent / "sql"
_MODULES = (event_table, query_rows, source_json_lines, source_parquet, source_table, sources, text_hash)
CODE_VERSION = transform.code_version(SQL / "queries.sql", *(Path(inspect.getfile(module)) for module in _MODULES))


@dataclass(frozen=True)
class ExtractedDay:
    """Files and counts of one day. `refused` counts quarantined rows by rule."""

    queries: Path
    quarantined: Path
    rows_read: int
    kept: int
    copies: int
    refused: dict[str, int]


def extract_day(
    source: Source,
    engine: Engine,
    day: date,
    folder: Path,
    strays: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> ExtractedDay:
    """Extract a day into `folder`; with `strays` also the rows that belong to no day, which are all quarantined."""
    folder.mkdir(parents=True, exist_ok=True)
    typed, refused = folder / "typed_queries.parquet", folder / "refused_queries.parquet"
    rows_read = _write(source, day, strays, typed, refused, progress)
    queries, quarantined = folder / "queries.parquet", folder / "quarantined_queries.parquet"
    numbered = folder / "numbered_queries.parquet"
    engine.run(
        transform.load(SQL / "queries.sql"),
        {"typed_queries": [typed], "refused_queries": [refused]},
        {"numbered": numbered, "queries": queries, "quarantined_queries": quarantined},
        {"remedy": query_rows.RULES["conflicting_query"], "text_limit": query_rows.RAW_LIMIT},
    )
    copies = engine.rows("SELECT count(*) AS rows FROM numbered WHERE occurrence > 1", {"numbered": [numbered]})[0][
        "rows"
    ]
    kept = pq.read_metadata(queries).num_rows
    return ExtractedDay(queries, quarantined, rows_read, kept, copies, count_by_rule(engine, quarantined))


def count_by_rule(engine: Engine, quarantined: Path) -> dict[str, int]:
    """Quarantined rows per rule."""
    rows = engine.rows(
        "SELECT rule, count(*) AS rows FROM quarantined GROUP BY 1 ORDER BY 1", {"quarantined": [quarantined]}
    )
    return {row["rule"]: row["rows"] for row in rows}


def rows_reconcile(day: ExtractedDay) -> Outcome:
    """Rows that the source gave = queries + quarantined rows + exact copies."""
    counts = Counter(day.refused)
    quarantined = counts.total()
    reason = f"{day.rows_read} read, {day.kept} kept + {quarantined} quarantined + {day.copies} exact copies"
    passed = day.rows_read == day.kept + quarantined + day.copies
    return Outcome(
        "rows_reconcile", passed, reason,
        {"rows_read": day.rows_read, "kept": day.kept, "quarantined": quarantined, "copies": day.copies},
    )  # fmt: skip


def _write(source: Source, day: date, strays: bool, typed: Path, refused: Path, progress: Callable[[int], None]) -> int:
    position = 0
    with pq.ParquetWriter(typed, TYPED) as good, pq.ParquetWriter(refused, QUARANTINED) as bad:
        for batch in source.read(day, strays):
            accepted, quarantined = _judge(batch, position)
            position += len(batch)
            for writer, rows, schema in ((good, accepted, TYPED), (bad, quarantined, QUARANTINED)):
                if rows:
                    columns = [
                        pa.array(values, kind)
                        for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
                    ]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            progress(position)
    return position


def _judge(batch: list[RawQuery], position: int) -> tuple[list[tuple], list[tuple]]:
    accepted, quarantined = [], []
    for place, row in enumerate(batch, start=position):
        try:
            accepted.append((*query_rows.typed(row), place))
        except Refused as refusal:
            quarantined.append(query_rows.quarantined(row, refusal))
    return accepted, quarantined
