"""Files of a generated log and its ground truth, a block at a time; each has its name only when it is whole.

    parquet  queries_YYYYMMDD.parquet, the event listener's columns
    jsonl    queries_YYYYMMDD.jsonl, Trino's HTTP event listener's QueryCompletedEvent, one a line
    table    trino_queries.sql: the listener's table for Postgres with its rows, `psql -f` loads it

The ground truth is truth.json and planted.parquet, a row a query. What does not belong here: what the rows are.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from platform_assets.simulators.trino_cluster import planted
from platform_assets.simulators.trino_cluster.generator import ESTATES, Block, Generator
from platform_assets.simulators.trino_cluster.http_events import events
from platform_assets.simulators.trino_cluster.layout import SCHEMA
from platform_assets.simulators.trino_cluster.postgres_table import copy_rows, create_table
from platform_assets.simulators.trino_cluster.scenario import FORMATS, SimulatorError

TRUTH_FILE, PLANTED_FILE, TABLE_FILE = "truth.json", "planted.parquet", "trino_queries.sql"
_PATTERNS = ("queries_*.parquet", "queries_*.jsonl", TABLE_FILE)
_PLANTED = pa.schema([
    ("query_id", pa.string()), ("family", pa.string()), ("days", pa.float32()), ("forgot", pa.bool_()),
    ("joins", pa.int8()), ("groups", pa.int8()), ("template", pa.float32()),
    ("mean_log_cpu", pa.float32()), ("mean_log_memory", pa.float32()), ("heavy_probability", pa.float32()),
    ("is_heavy", pa.bool_()), ("text_changed", pa.bool_()),
])  # fmt: skip


def check(folder: Path, format: str, replace: bool) -> None:
    """Raises SimulatorError where `write_log` would refuse, and empties the folder of an earlier log if asked to."""
    if format not in FORMATS:
        raise SimulatorError(f"format is {format!r}; choose one of {', '.join(FORMATS)}")
    earlier = [path for pattern in _PATTERNS for path in folder.glob(pattern)]
    if earlier and not replace:
        raise SimulatorError(f"{folder} already holds {earlier[0].name}; choose an empty folder, or use --replace")
    for path in earlier:
        path.unlink()


def write_log(
    generator: Generator, folder: Path, format: str = "parquet", truth: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Write all rows; returns the facts that truth.json holds, which is written where a folder is given."""
    folder.mkdir(parents=True, exist_ok=True)
    tally, opened = _Tally(), -1
    with ExitStack() as files, ExitStack() as day_file, _planted_file(truth) as note:
        write: Callable[[pa.Table], None] | None = None
        if format == "table":
            write = files.enter_context(_table_file(folder / TABLE_FILE))
        for block in generator.blocks():
            if block.day != opened:
                day_file.close()
                if format != "table":
                    name = f"queries_{generator.days[block.day]:%Y%m%d}.{format}"
                    write = day_file.enter_context(_OPENERS[format](folder / name))
                for _ in range(block.day - opened):
                    advance()
                opened = block.day
            assert write is not None
            write(block.rows)
            note(block)
            tally.count(block)
    facts = _facts(generator, tally)
    if truth:
        (truth / TRUTH_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return facts


@contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _parquet_file(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    options: dict[str, Any] = {"write_statistics": ["query_id"], "compression": "zstd"}
    with _whole_file(path) as partial, pq.ParquetWriter(partial, SCHEMA, **options) as writer:
        yield writer.write_table


@contextmanager
def _json_file(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    with _whole_file(path) as partial, partial.open("wb") as sink:
        yield lambda rows: sink.writelines(events(rows))


@contextmanager
def _table_file(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    with _whole_file(path) as partial, partial.open("wb") as sink:
        sink.write(create_table())
        yield lambda rows: copy_rows(sink, rows)


_OPENERS = {"parquet": _parquet_file, "jsonl": _json_file}


@contextmanager
def _planted_file(folder: Path | None) -> Iterator[Callable[[Block], None]]:
    if folder is None:
        yield lambda block: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _whole_file(folder / PLANTED_FILE) as partial, pq.ParquetWriter(partial, _PLANTED) as writer:
        yield lambda block: writer.write_table(_planted_rows(block))


def _planted_rows(block: Block) -> pa.Table:
    statements, costs = [each.statement for each in block.arrivals], block.costs
    names = ("days", "forgot", "joins", "groups", "template")
    traits = [[getattr(each.traits, name) for each in statements] for name in names]
    arrays = [costs.mean_cpu, costs.mean_memory, costs.heavy_probability, costs.is_heavy]
    changed = [each.text_changed for each in block.arrivals]
    columns = [block.rows["query_id"].to_pylist(), [each.family for each in statements], *traits, *arrays, changed]
    return pa.table(
        [pa.array(values, kind.type) for values, kind in zip(columns, _PLANTED, strict=True)], schema=_PLANTED
    )


class _Tally:
    """Counts of what was written."""

    def __init__(self) -> None:
        self.rows: Counter[int] = Counter()
        self.heavy: Counter[int] = Counter()
        self.outcomes: Counter[str] = Counter()

    def count(self, block: Block) -> None:
        self.rows[block.day] += block.rows.num_rows
        self.heavy[block.day] += int(block.costs.is_heavy.sum())
        self.outcomes.update(code or "FINISHED" for code in block.rows["error_code"].to_pylist())


def _facts(generator: Generator, tally: _Tally) -> dict[str, Any]:
    rows, heavy = sum(tally.rows.values()), sum(tally.heavy.values())
    constants = [name for name in vars(planted) if name.isupper() and not name.startswith("_")]
    factors = np.round(generator.user_factors, 4).tolist()
    people = [
        {"user": user.name, "role": user.role.name, "log_factor": factor, "born_day": user.born, "last_day": user.last,
         "catalog": user.home.catalog, "schema": user.home.schema}
        for user, factor in zip(generator.draw_users(), factors, strict=True)
    ]  # fmt: skip
    return {
        "scenario": asdict(generator.scenario) | {"start": generator.scenario.start.isoformat()},
        "rows": rows,
        "heavy": heavy,
        "heavy_share": heavy / rows,
        "outcomes": dict(sorted(tally.outcomes.items())),
        "rows_by_day": [tally.rows[day] for day in range(len(generator.days))],
        "heavy_by_day": [tally.heavy[day] for day in range(len(generator.days))],
        "constants": {name: getattr(planted, name) for name in constants},
        "law": asdict(generator.law),
        "scale": asdict(generator.scale),
        "noise": {"cpu": generator.model.cpu_noise, "memory": generator.model.memory_noise},
        "schemas": [asdict(estate) for estate in ESTATES],
        "users": people,
    }
